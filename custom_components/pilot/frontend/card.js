// The card: what Home Assistant calls, and what holds the parts together.

import { Chart, nameOf } from "./chart.js";
import { Editor } from "./editor.js";
import { form } from "./form.js";
import { Frame } from "./frame.js";
import { backwards, boundaries, first, moved, movement, only, overlaps, read } from "./model.js";
import { around, latest, PERIODS, shifted } from "./scale.js";
import { fill } from "./table.js";
import { explain, inPicker, load } from "./texts.js";
import { Words } from "./time.js";

/** @typedef {import("./types").HomeAssistant} HomeAssistant */
/** @typedef {import("./types").Config} Config */
/** @typedef {import("./model").Boundary} Boundary */
/** @typedef {import("./model").House} House */

const TYPE = "pilot-rooms-card";
const ROOT = "component.pilot.config_panel.rooms_card";

/** @type {House} */
const NOTHING = { devices: [], rooms: [], placements: [] };

// How often the line of now moves, in milliseconds.
const TICK = 30_000;

class RoomsCard extends HTMLElement {
  /** @type {Config} */
  #config = { type: `custom:${TYPE}` };

  /** @type {HomeAssistant | undefined} */
  #hass;

  /** @type {import("./texts").Say | undefined} */
  #say;

  /** @type {Words | undefined} */
  #words;

  /** @type {House | undefined} */
  #house;

  /** @type {import("./scale").Period} */
  #period = "week";

  /** @type {import("./scale").Span | undefined} Nothing: the latest. */
  #chosen;

  /** @type {{boundary: Boundary, to: number} | undefined} Confirmed, and not done yet. */
  #pending;

  /**
   * What the form is about, as it was when it was opened; a new placement has no key.
   *
   * @type {{key: string | undefined, placement: import("./model").Placement | undefined} | undefined}
   */
  #open;

  #tabular = false;

  /** @type {(() => Promise<void>) | undefined} */
  #unsubscribe;

  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  #chart = new Chart();

  #frame = new Frame(this.attachShadow({ mode: "open" }), this.#chart.element, {
    choose: (period) => this.#choose(period),
    shift: (direction) => this.#shift(direction),
    latest: () => {
      this.#chosen = undefined;
      this.#draw();
    },
    tabulate: () => {
      this.#tabular = !this.#tabular;
      this.#draw();
    },
    add: () => this.#select(undefined),
  });

  #editor = new Editor(this.#chart.plot, {
    boundary: (key) => this.#boundaries().find((boundary) => boundary.key === key),
    span: () => this.#span(),
    width: () => this.#chart.width,
    now: () => Date.now(),
    zone: () => this.#words?.zone ?? "UTC",
    changed: () => this.#moved(),
    confirmed: (boundary, to) => this.#confirm(boundary, to),
  });

  #sizes = new ResizeObserver(() => this.#draw());

  constructor() {
    super();
    for (const element of [this.#chart.bars, this.#frame.table]) {
      element.addEventListener("click", ({ target }) => {
        const button = target instanceof Element && target.closest("[data-placement]");
        if (button instanceof HTMLElement) this.#select(button.dataset.placement);
      });
    }
  }

  // --- What Home Assistant calls ------------------------------------------------------------

  static getStubConfig() {
    return { period: "week" };
  }

  static getConfigForm() {
    /** @type {HomeAssistant | undefined} */
    const hass = /** @type {any} */ (document.querySelector("home-assistant"))?.hass;
    return {
      schema: [
        { name: "title", selector: { text: {} } },
        {
          name: "period",
          selector: {
            select: {
              mode: "dropdown",
              options: PERIODS.map((value) => ({
                value,
                label: hass?.localize(`${ROOT}.period_${value}`) || value,
              })),
            },
          },
        },
        { name: "areas", selector: { area: { multiple: true } } },
        { name: "devices", selector: { device: { multiple: true } } },
      ],
      computeLabel: (
        /** @type {{name: string}} */ { name },
        /** @type {import("./types").Localize} */ localize,
      ) => localize(`${ROOT}.option_${name}`) || undefined,
      computeHelper: (
        /** @type {{name: string}} */ { name },
        /** @type {import("./types").Localize} */ localize,
      ) => localize(`${ROOT}.option_${name}_help`) || undefined,
    };
  }

  /** @param {Config} config */
  setConfig(config) {
    if (config.period !== undefined && !PERIODS.includes(config.period)) {
      throw new Error(`period: “${config.period}” is none of ${PERIODS.join(", ")}`);
    }
    for (const name of /** @type {const} */ (["areas", "devices"])) {
      if (config[name] !== undefined && !Array.isArray(config[name])) {
        throw new Error(`${name}: give a list of IDs`);
      }
    }
    if (config.period !== this.#config.period) {
      this.#period = config.period ?? "week";
      this.#chosen = undefined;
    }
    this.#config = config;
    this.#draw();
  }

  /** @param {HomeAssistant} hass */
  set hass(hass) {
    const before = this.#hass;
    this.#hass = hass;
    if (before?.language !== hass.language) this.#load(hass);
    if (
      before?.locale !== hass.locale ||
      before?.areas !== hass.areas ||
      before?.user !== hass.user ||
      before?.themes !== hass.themes
    ) {
      this.#words = new Words(hass.locale, hass.config.time_zone);
      this.#draw();
    }
    if (!before && this.isConnected) this.#subscribe(hass);
  }

  getCardSize() {
    return 3 + (this.#house?.rooms.length ?? 3);
  }

  getGridOptions() {
    return { columns: "full", rows: "auto", min_columns: 6 };
  }

  connectedCallback() {
    if (this.#hass) this.#subscribe(this.#hass);
    this.#timer = setInterval(() => this.#draw(), TICK);
    this.#sizes.observe(this.#chart.plot);
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
    this.#sizes.disconnect();
    this.#editor.revert();
    // The connection may be gone already, and the subscription with it.
    this.#unsubscribe?.().catch(() => undefined);
    this.#unsubscribe = undefined;
  }

  // --- What Home Assistant says -------------------------------------------------------------

  /** @param {HomeAssistant} hass */
  async #load(hass) {
    this.#say = await load(hass);
    this.#draw();
  }

  /** @param {HomeAssistant} hass */
  async #subscribe(hass) {
    if (this.#unsubscribe) return;
    let gone = false;
    const waiting = async () => {
      gone = true;
    };
    this.#unsubscribe = waiting;
    try {
      const unsubscribe = await hass.connection.subscribeMessage(
        (/** @type {import("./types").Message} */ message) => this.#receive(message),
        { type: "pilot/placements/subscribe" },
      );
      if (gone) await unsubscribe();
      else this.#unsubscribe = unsubscribe;
    } catch (error) {
      if (this.#unsubscribe === waiting) this.#unsubscribe = undefined;
      this.#frame.tell(await explain(hass, error), "error");
    }
  }

  /** @param {import("./types").Message} message */
  #receive(message) {
    this.#house = read(message);
    this.#pending = undefined;
    // What was there when it was taken hold of may be another one now.
    const held = this.#editor.boundary;
    if (held) {
      const now = this.#boundaries().find(({ key }) => key === held.key);
      if (now?.at !== held.at) this.#editor.revert();
    }
    const opened = this.#open?.placement;
    if (opened && !same(opened, this.#placement(opened.key))) {
      // Only who is in the form is led out of it.
      if (this.#frame.form.contains(this.shadowRoot?.activeElement ?? null)) this.#close();
      else this.#shut();
    }
    this.#draw();
  }

  // --- Questions ----------------------------------------------------------------------------

  get #placements() {
    return this.#house?.placements ?? [];
  }

  #shown() {
    return only(this.#house ?? NOTHING, this.#config);
  }

  /** Moves are of a device as a whole, also where only some of its rooms are shown. */
  #boundaries() {
    const shown = new Set(this.#shown().placements.map(({ key }) => key));
    return boundaries(this.#placements).filter(
      ({ before, after }) => (before && shown.has(before.key)) || (after && shown.has(after.key)),
    );
  }

  /** @param {string} key */
  #placement(key) {
    return this.#placements.find((placement) => placement.key === key);
  }

  #editable() {
    return Boolean(this.#hass?.user?.is_admin);
  }

  #newest() {
    const now = Date.now();
    return latest(this.#period, first(this.#shown().placements, now), now);
  }

  #span() {
    return this.#chosen ?? this.#newest();
  }

  // --- What the user does -------------------------------------------------------------------

  /** @param {import("./scale").Period} period */
  #choose(period) {
    const now = Date.now();
    const span = this.#chosen && around(period, this.#chosen, first(this.#placements, now), now);
    this.#period = period;
    this.#chosen = span && span.end < now ? span : undefined;
    this.#draw();
  }

  /** @param {-1 | 1} direction */
  #shift(direction) {
    const newest = this.#newest();
    const span = shifted(this.#span(), direction, newest);
    this.#chosen = span.end < newest.end ? span : undefined;
    this.#draw();
  }

  #moved() {
    const { moving } = this.#editor;
    if (moving?.by === "keyboard") {
      // It stays in sight, wherever it goes.
      const { start, end } = this.#span();
      const half = (end - start) / 2;
      if (moving.to < start || moving.to > end) {
        this.#chosen = { start: moving.to - half, end: moving.to + half };
      }
      this.#frame.tell(this.#say?.("keys_confirm"));
    } else {
      this.#frame.tell();
    }
    this.#draw();
  }

  /**
   * @param {Boundary} boundary
   * @param {number} to
   */
  async #confirm(boundary, to) {
    const [words, say, house] = [this.#words, this.#say, this.#house];
    if (!words || !say || !house) return;
    const what = nameOf(boundary, { house, say });
    const moment = new Date(to).toISOString();
    this.#pending = { boundary, to };
    this.#frame.tell();
    this.#draw();
    const fault = await this.#act("move_placement", movement(boundary, moment));
    this.#pending = undefined;
    this.#draw();
    if (fault !== undefined) {
      this.#frame.tell(fault, "error");
      return;
    }
    this.#frame.tell(say("corrected", { what, at: words.exact(to) }), "done", {
      label: say("undo"),
      undo: async () => {
        const failed = await this.#act("move_placement", backwards(boundary, moment));
        this.#frame.tell(failed ?? say("undone"), failed === undefined ? "done" : "error");
      },
    });
  }

  /**
   * Call an action; return what went wrong, if anything did.
   *
   * @param {string} action
   * @param {object} data
   * @returns {Promise<string | undefined>}
   */
  async #act(action, data) {
    const hass = /** @type {HomeAssistant} */ (this.#hass);
    try {
      // The card tells itself what goes wrong, where it goes wrong.
      await hass.callService("pilot", action, data, undefined, false);
      return undefined;
    } catch (error) {
      return explain(hass, error);
    }
  }

  /** @param {string | undefined} key Of a placement; nothing for a new one. */
  #select(key) {
    const [words, say, house, hass] = [this.#words, this.#say, this.#house, this.#hass];
    if (!words || !say || !house || !hass) return;
    if (this.#open?.key === key && this.#open) {
      this.#close();
      return;
    }
    const placement = key === undefined ? undefined : this.#placement(key);
    const rooms = Object.values(hass.areas)
      .map(({ area_id: id, name }) => ({ id, name }))
      .sort((a, b) => a.name.localeCompare(b.name, hass.language));
    const gone = house.rooms.find(({ id }) => id === placement?.area && !(id in hass.areas));
    const element = form({
      placement,
      ...titles(placement, house, words, say),
      devices: house.devices,
      rooms: gone ? [...rooms, gone] : rooms,
      editable: this.#editable(),
      now: Date.now(),
      zone: words.zone,
      say,
      act: async (action, data) => {
        const fault = await this.#act(action, data);
        if (fault === undefined) {
          this.#close();
          this.#frame.tell(say("done"), "done");
        }
        return fault;
      },
      close: () => this.#close(),
    });
    this.#open = { key, placement };
    this.#frame.tell();
    this.#frame.form.replaceChildren(element);
    this.#draw();
    element.scrollIntoView({ block: "nearest" });
    const field = element.querySelector("select:enabled, input:enabled, button:enabled");
    if (field instanceof HTMLElement) field.focus({ preventScroll: true });
  }

  #close() {
    if (!this.#open) return;
    const { key } = this.#open;
    this.#shut();
    this.#draw();
    // Back to where the form was opened.
    const parent = this.#tabular ? this.#frame.table : this.#chart.bars;
    const opened = [...parent.querySelectorAll("[data-placement]")].find(
      (one) => one instanceof HTMLElement && one.dataset.placement === key,
    );
    const target = opened instanceof HTMLElement ? opened : this.#frame.add;
    target.focus({ preventScroll: true });
  }

  #shut() {
    this.#open = undefined;
    this.#frame.form.replaceChildren();
  }

  // --- Drawing ------------------------------------------------------------------------------

  #draw() {
    const [words, say, house, hass] = [this.#words, this.#say, this.#house, this.#hass];
    if (!hass || !words || !say) return;
    const shown = this.#shown();
    const now = Date.now();
    const span = this.#span();
    const editable = this.#editable();
    const nothing = shown.placements.length ? undefined : "empty";
    const shows = house ? (nothing ?? (this.#tabular ? "table" : "timeline")) : "waiting";
    const range = words.range(span.start, Math.min(span.end, Math.max(now, span.start)));
    this.#frame.draw(
      {
        title: this.#config.title || say("title"),
        range,
        period: this.#period,
        newest: this.#chosen === undefined,
        editable,
        dark: Boolean(hass.themes?.darkMode),
        shows,
      },
      say,
    );
    if (shows === "table") {
      const caption = `${say("timeline")}, ${range}`;
      fill(this.#frame.table, { house: shown, span, now, words, say, editable, caption });
    }
    if (shows !== "timeline") return;
    const change = this.#editor.moving ?? this.#pending;
    const placements = change
      ? moved(this.#placements, change.boundary, change.to)
      : this.#placements;
    const visible = new Set(shown.placements.map(({ key }) => key));
    const all = this.#boundaries().map((boundary) =>
      boundary.key === change?.boundary.key ? { ...boundary, at: change.to } : boundary,
    );
    this.#chart.draw({
      house: { ...shown, placements: placements.filter(({ key }) => visible.has(key)) },
      span,
      now,
      words,
      say,
      boundaries: editable ? all : [],
      moving: this.#editor.moving && all.find(({ key }) => key === change?.boundary.key),
      impossible: change !== undefined && overlaps(placements, change.boundary.device),
      selected: this.#open?.key,
      areas: hass.areas,
    });
  }
}

/**
 * Whether a placement is as it was.
 *
 * @param {import("./model").Placement} was
 * @param {import("./model").Placement | undefined} is
 */
function same(was, is) {
  return was.area === is?.area && was.from === is.from && was.until === is.until;
}

/**
 * What the form is called, and what it tells.
 *
 * @param {import("./model").Placement | undefined} placement
 * @param {House} house
 * @param {Words} words
 * @param {import("./texts").Say} say
 */
function titles(placement, house, words, say) {
  if (!placement) return { heading: say("form_add"), told: say("form_add_help") };
  const { device, area, start, end } = placement;
  return {
    heading: say("form_title", {
      device: house.devices.find(({ id }) => id === device)?.name ?? device,
      room: house.rooms.find(({ id }) => id === area)?.name ?? area,
    }),
    told: say(end === null ? "told_current" : "told", {
      start: words.exact(start),
      end: end === null ? "" : words.exact(end),
      duration: words.duration(start, end ?? Date.now()),
    }),
  };
}

// After an update a page may load it a second time.
if (!customElements.get(TYPE)) {
  customElements.define(TYPE, RoomsCard);
  window.customCards = window.customCards ?? [];
  window.customCards.push({
    type: TYPE,
    get name() {
      return inPicker().name;
    },
    get description() {
      return inPicker().description;
    },
    preview: true,
    documentationURL: "https://github.com/pilot-home/pilot/blob/main/docs/rooms.md",
    getEntitySuggestion: (/** @type {HomeAssistant} */ hass, /** @type {string} */ entityId) => {
      const entity = hass.entities[entityId];
      return entity?.platform === "pilot" && entity.translation_key === "room" && entity.device_id
        ? { config: { type: `custom:${TYPE}`, devices: [entity.device_id] } }
        : null;
    },
  });
}
