// Words, in the language of the user: those of the integration's translations.

const ROOT = "component.pilot.config_panel.rooms_card";

/** @typedef {(key: string, values?: Record<string, string | number>) => string} Say */

/**
 * Load what the card says.
 *
 * @param {import("./types").HomeAssistant} hass
 * @returns {Promise<Say>}
 */
export async function load(hass) {
  const localize = await hass.loadBackendTranslation("config_panel", "pilot");
  return (key, values) => localize(`${ROOT}.${key}`, values) || key;
}

/**
 * What went wrong, as Home Assistant tells it.
 *
 * @param {import("./types").HomeAssistant} hass
 * @param {any} error
 * @returns {Promise<string>}
 */
export async function explain(hass, error) {
  const { translation_domain: domain, translation_key: key, translation_placeholders: values } =
    error ?? {};
  if (domain && key) {
    const localize = await hass.loadBackendTranslation("exceptions", domain);
    const told = localize(`component.${domain}.exceptions.${key}.message`, values);
    if (told) return told;
  }
  return error?.message || hass.localize("ui.common.unknown_error") || String(error);
}

/** @type {Record<string, {name: string, description: string}>} */
const PICKER = {
  en: {
    name: "Rooms over time",
    description: "Which sensor stood in which room, from when to when, and a way to correct it.",
  },
  fr: {
    name: "Pièces au fil du temps",
    description: "Quel capteur se trouvait dans quelle pièce, de quand à quand, et de quoi le corriger.",
  },
};

/**
 * What the card is called in the card picker, which asks before anything could be loaded.
 */
export function inPicker() {
  return PICKER[document.documentElement.lang.split("-")[0]] ?? PICKER.en;
}
