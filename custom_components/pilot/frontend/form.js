// The form that tells of one placement, and corrects it.

import { make } from "./dom.js";
import { fromInput, MINUTE, toInput } from "./time.js";

/** @typedef {import("./model").Placement} Placement */

/**
 * What the form is about.
 *
 * @typedef {object} Subject
 * @property {Placement | undefined} placement Nothing: a new one is added.
 * @property {string} heading
 * @property {{id: string, name: string}[]} devices
 * @property {{id: string, name: string}[]} rooms
 * @property {boolean} editable
 * @property {string} told The placement in words.
 * @property {number} now
 * @property {string} zone
 * @property {import("./texts").Say} say
 * @property {(action: string, data: Record<string, unknown>) => Promise<string | undefined>} act
 *   Calls an action; what it returns is what went wrong.
 * @property {() => void} close
 */

/**
 * @param {Subject} subject
 * @returns {HTMLFormElement}
 */
export function form(subject) {
  const { placement, heading, editable, told, say, close } = subject;
  const element = /** @type {HTMLFormElement} */ (
    make(
      "form",
      {
        class: "form",
        novalidate: true,
        "aria-label": heading,
        onkeydown: (/** @type {KeyboardEvent} */ event) => {
          if (event.key !== "Escape") return;
          event.preventDefault();
          event.stopPropagation();
          close();
        },
        onsubmit: (/** @type {Event} */ event) => event.preventDefault(),
      },
      make("h3", {}, heading),
      make("p", { class: "told" }, told),
    )
  );
  if (editable) element.append(...(placement ? correct(subject, placement) : add(subject)));
  else element.append(buttons(button(say("close"), "plain", close)));
  return element;
}

/**
 * @param {Subject} subject
 * @param {Placement} placement
 */
function correct(subject, placement) {
  const { rooms, now, zone, say, close } = subject;
  const current = placement.end === null;
  const room = select("room", say("room"), rooms, placement.area, current);
  const start = when("start", say("start"), placement.start, subject);
  const end = when("end", say("end"), placement.end, subject, current ? say("still") : undefined);
  const fault = make("p", { class: "fault", role: "alert" });
  const run = runner(subject, fault);

  const save = () => {
    /** @type {Record<string, unknown>} */
    const data = { device_id: placement.device, at: placement.from };
    if (start.changed()) data.start = start.iso();
    if (end.changed()) data.end = end.iso();
    if (room.value() !== placement.area) data.area_id = room.value();
    if (Object.keys(data).length === 2) close();
    else run("move_placement", data, [start, end]);
  };

  const middle = Math.round(((placement.end ?? now) + placement.start) / 2 / MINUTE) * MINUTE;
  const at = when("split_at", say("split_at"), middle, { now, zone });
  const after = select("split_room", say("split_room"), rooms, placement.area, current);
  const split = () => {
    /** @type {Record<string, unknown>} */
    const data = { device_id: placement.device, at: at.iso() };
    // Where a device stands now is said elsewhere: only what was before can be another room.
    data[current ? "area_before" : "area_after"] = after.value();
    run("split_placement", data, [at]);
  };
  if (current) after.enable(say("split_room_before"));

  const remove = button(say("delete"), "danger", () => {
    if (remove.dataset.sure) {
      run("delete_placement", { device_id: placement.device, at: placement.from }, []);
      return;
    }
    remove.dataset.sure = "yes";
    remove.textContent = say("delete_sure");
  });
  remove.toggleAttribute("disabled", current);

  return [
    make("div", { class: "fields" }, room.element, start.element, end.element),
    current && make("p", { class: "hint" }, say("current_hint")),
    fault,
    buttons(remove, make("span", { class: "stretch" }), button(say("cancel"), "plain", close), button(say("save"), "main", save)),
    make(
      "details",
      {},
      make("summary", {}, say("split")),
      make("div", { class: "fields" }, at.element, after.element),
      buttons(make("span", { class: "stretch" }), button(say("split_do"), "plain", split)),
    ),
  ].filter((child) => child !== false);
}

/** @param {Subject} subject */
function add(subject) {
  const { devices, rooms, say, close } = subject;
  const device = select("device", say("sensor"), devices, devices[0]?.id ?? "");
  const room = select("room", say("room"), rooms, rooms[0]?.id ?? "");
  const start = when("start", say("start"), null, subject);
  const end = when("end", say("end"), null, subject);
  const fault = make("p", { class: "fault", role: "alert" });
  const run = runner(subject, fault);
  const save = () =>
    run(
      "add_placement",
      {
        device_id: device.value(),
        area_id: room.value(),
        start: start.iso(),
        // Without an end it lasts up to the next one.
        ...(end.iso() ? { end: end.iso() } : {}),
      },
      [start],
    );
  return [
    make("div", { class: "fields" }, device.element, room.element, start.element, end.element),
    fault,
    buttons(
      make("span", { class: "stretch" }),
      button(say("cancel"), "plain", close),
      button(say("add"), "main", save),
    ),
  ];
}

/**
 * Return what calls an action once, and shows what went wrong.
 *
 * @param {Subject} subject
 * @param {HTMLElement} fault
 */
function runner({ act, say }, fault) {
  let busy = false;
  /**
   * @param {string} action
   * @param {Record<string, unknown>} data
   * @param {ReturnType<typeof when>[]} needed
   */
  return async (action, data, needed) => {
    if (busy) return;
    if (needed.some((field) => !field.disabled && !field.iso())) {
      fault.textContent = say("incomplete");
      return;
    }
    fault.textContent = "";
    busy = true;
    const wrong = await act(action, data);
    busy = false;
    if (wrong) fault.textContent = wrong;
  };
}

/**
 * A field for a moment.
 *
 * @param {string} name
 * @param {string} label
 * @param {number | null} value
 * @param {{now: number, zone: string}} of
 * @param {string} [instead] What is said where there is none, nor can be.
 */
function when(name, label, value, { now, zone }, instead) {
  const shown = instead ?? (value === null ? "" : toInput(value, zone));
  const disabled = instead !== undefined;
  const type = disabled ? "text" : "datetime-local";
  const input = /** @type {HTMLInputElement} */ (
    make("input", { type, name, disabled, max: toInput(now, zone) })
  );
  input.value = shown;
  return {
    element: make("label", {}, make("span", {}, label), input),
    disabled,
    // What was not touched keeps its seconds.
    changed: () => input.value !== shown,
    iso: () => {
      const at = fromInput(input.value, zone);
      return at === undefined ? undefined : new Date(at).toISOString();
    },
  };
}

/**
 * @param {string} name
 * @param {string} label
 * @param {{id: string, name: string}[]} options
 * @param {string} value
 * @param {boolean} [disabled]
 */
function select(name, label, options, value, disabled = false) {
  const input = /** @type {HTMLSelectElement} */ (
    make(
      "select",
      { name, disabled },
      ...options.map((option) =>
        make("option", { value: option.id, selected: option.id === value }, option.name),
      ),
    )
  );
  const text = make("span", {}, label);
  return {
    element: make("label", {}, text, input),
    value: () => input.value,
    enable: (/** @type {string} */ other) => {
      input.disabled = false;
      text.textContent = other;
    },
  };
}

/**
 * @param {string} text
 * @param {"main" | "plain" | "danger"} kind
 * @param {() => void} onclick
 */
function button(text, kind, onclick) {
  return make("button", { type: kind === "main" ? "submit" : "button", class: kind, onclick }, text);
}

/** @param {...HTMLElement} children */
function buttons(...children) {
  return make("div", { class: "buttons" }, ...children);
}
