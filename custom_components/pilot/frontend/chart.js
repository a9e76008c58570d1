// Draws the timeline.

import { drawing, keep, make, set } from "./dom.js";
import { layout, ROW } from "./layout.js";
import { place, ticks } from "./scale.js";

/** @typedef {import("./model").Boundary} Boundary */
/** @typedef {import("./layout").Bar} Bar */

/**
 * What is to be seen.
 *
 * @typedef {object} View
 * @property {import("./model").House} house As it would be with what is being corrected.
 * @property {import("./scale").Span} span
 * @property {number} now
 * @property {import("./time").Words} words
 * @property {import("./texts").Say} say
 * @property {Boundary[]} boundaries Those that can be moved; none for who may not.
 * @property {Boundary | undefined} moving
 * @property {boolean} impossible Whether what is being moved cannot be where it is.
 * @property {string | undefined} selected The key of a placement.
 * @property {Record<string, import("./types").Area>} areas
 */

// Rooms stand above their lanes where the card is narrower than this, in pixels.
const NARROW = 560;

// A bar's name is left out where the bar is narrower than this, in pixels.
const NAMED = 36;

// The colours are explained where a bar is narrower than this, in pixels: its name is cut off.
const EXPLAINED = 96;

// A grip is but a line where its bar is narrower than this, in pixels: others are near.
const ROOMY = 28;

// How many colours a theme has.
const COLORS = 54;

export class Chart {
  constructor() {
    this.lanes = make("div", { class: "lanes" });
    this.grid = make("div", { class: "grid", "aria-hidden": "true" });
    this.ways = drawing("svg", { class: "ways", "aria-hidden": "true" });
    this.bars = make("div", { class: "bars", role: "list" });
    this.handles = make("div", { class: "handles" });
    this.now = make("div", { class: "now", "aria-hidden": "true" });
    this.line = make("div", { class: "line", "aria-hidden": "true", hidden: true });
    this.bubble = make("div", { class: "bubble", "aria-hidden": "true", hidden: true });
    this.plot = make(
      "div",
      { class: "plot" },
      this.grid,
      this.ways,
      this.bars,
      this.now,
      this.handles,
      this.line,
      this.bubble,
    );
    this.axis = make("div", { class: "axis", "aria-hidden": "true" });
    // Bars say their names themselves to who hears them.
    this.legend = make("div", { class: "legend", "aria-hidden": "true", hidden: true });
    this.element = make("div", { class: "chart" }, this.lanes, this.plot, this.axis, this.legend);
  }

  /** How wide the time axis is, in pixels. */
  get width() {
    return this.plot.clientWidth;
  }

  /** @param {View} view */
  draw(view) {
    const stacked = this.element.clientWidth < NARROW;
    this.element.classList.toggle("stacked", stacked);
    const { width } = this;
    if (!width) return;
    const drawn = layout(view.house, view.span, width, view.now, stacked);
    const colors = new Map(view.house.devices.map((device) => [device.id, color(device.color)]));
    this.plot.style.height = `${drawn.height}px`;
    this.#lanes(drawn.lanes, view);
    this.#time(view, width);
    this.#ways(drawn.ways, colors, drawn.height, width);
    this.#bars(drawn.bars, colors, view);
    this.#legend(drawn.bars, colors, view);
    this.#handles(drawn.bars, colors, view, width);
    this.#moving(view, width);
  }

  /**
   * @param {import("./layout").Lane[]} lanes
   * @param {View} view
   */
  #lanes(lanes, { areas }) {
    keep(
      this.lanes,
      lanes,
      ({ room }) => room.id,
      () => make("div", { class: "lane" }, make("ha-icon"), make("span")),
      (element, { room, top, height }) => {
        element.style.top = `${top}px`;
        element.style.height = `${height}px`;
        element.classList.toggle("gone", room.removed);
        element.firstChild.icon = areas[room.id]?.icon ?? "mdi:texture-box";
        element.lastChild.textContent = room.name;
        element.title = room.name;
      },
    );
  }

  /**
   * @param {View} view
   * @param {number} width
   */
  #time({ span, now, words }, width) {
    const marks = ticks(span, width, words.zone, words.firstWeekday).map((tick) => ({
      ...tick,
      x: place(span, width, tick.at),
    }));
    const key = (/** @type {{at: number}} */ { at }) => String(at);
    keep(this.grid, marks, key, () => make("div"), (element, { x }) => {
      element.style.left = `${x}px`;
    });
    // A label that would be cut off at the edge is none.
    const readable = marks.filter(({ x }) => x > 14 && x < width - 18);
    keep(this.axis, readable, key, () => make("span"), (element, { x, at, unit }) => {
      element.style.left = `${x}px`;
      element.textContent = words.tick(at, unit);
    });
    this.now.hidden = now < span.start || now > span.end;
    this.now.style.left = `${place(span, width, now)}px`;
  }

  /**
   * @param {import("./layout").Way[]} ways
   * @param {Map<string, string>} colors
   * @param {number} height
   * @param {number} width
   */
  #ways(ways, colors, height, width) {
    set(this.ways, { viewBox: `0 0 ${width} ${height}`, width, height });
    keep(
      this.ways,
      ways,
      ({ key }) => key,
      () => drawing("path"),
      (element, { device, from, to, direct }) => {
        const bend = direct ? 0 : (to.x - from.x) / 2;
        set(element, {
          d: `M${from.x},${from.y} C${from.x + bend},${from.y} ${to.x - bend},${to.y} ${to.x},${to.y}`,
          class: direct ? "direct" : "detour",
        });
        element.style.setProperty("--bar", colors.get(device) ?? null);
      },
    );
  }

  /**
   * @param {Bar[]} bars
   * @param {Map<string, string>} colors
   * @param {View} view
   */
  #bars(bars, colors, { house, words, say, now, selected }) {
    const rooms = new Map(house.rooms.map(({ id, name }) => [id, name]));
    const devices = new Map(house.devices.map(({ id, name }) => [id, name]));
    keep(
      this.bars,
      bars,
      ({ placement }) => placement.key,
      () =>
        make("div", { role: "listitem" }, make("button", { type: "button", class: "bar" }, make("span"))),
      (item, { placement, left, width, top, opens, closes }) => {
        const button = item.firstChild;
        const device = devices.get(placement.device) ?? placement.device;
        const { start, end } = placement;
        const label = say(end === null ? "bar_current" : "bar", {
          device,
          room: rooms.get(placement.area) ?? placement.area,
          start: words.exact(start),
          end: end === null ? "" : words.exact(end),
          duration: words.duration(start, end ?? now),
        });
        button.style.left = `${left}px`;
        button.style.top = `${top}px`;
        button.style.width = `${Math.max(width, 3)}px`;
        button.style.setProperty("--bar", colors.get(placement.device) ?? null);
        button.classList.toggle("opens", opens);
        button.classList.toggle("closes", closes);
        button.classList.toggle("narrow", width < NAMED);
        set(button, {
          "data-placement": placement.key,
          "aria-label": label,
          "aria-expanded": String(placement.key === selected),
          title: label,
        });
        button.firstChild.textContent = width < NAMED ? "" : device;
      },
    );
  }

  /**
   * @param {Bar[]} bars
   * @param {Map<string, string>} colors
   * @param {View} view
   */
  #legend(bars, colors, { house }) {
    const drawn = new Set(bars.map(({ placement }) => placement.device));
    this.legend.hidden = !bars.some(({ width }) => width < EXPLAINED);
    keep(
      this.legend,
      house.devices.filter(({ id }) => drawn.has(id)),
      ({ id }) => id,
      () => make("span"),
      (element, { id, name }) => {
        element.style.setProperty("--bar", colors.get(id) ?? null);
        element.textContent = name;
      },
    );
  }

  /**
   * @param {Bar[]} bars
   * @param {Map<string, string>} colors
   * @param {View} view
   * @param {number} width
   */
  #handles(bars, colors, view, width) {
    const drawn = new Map(bars.map((bar) => [bar.placement.key, bar]));
    const shown = view.boundaries.filter(
      ({ at, key }) =>
        (at >= view.span.start && at <= view.span.end) || key === view.moving?.key,
    );
    keep(
      this.handles,
      shown,
      ({ key }) => key,
      () => make("div", { role: "slider", tabindex: 0, class: "handle" }),
      (element, boundary) => {
        const { key, device, at, before, after } = boundary;
        element.style.left = `${place(view.span, width, at)}px`;
        element.style.setProperty("--bar", colors.get(device) ?? null);
        element.classList.toggle("moving", key === view.moving?.key);
        set(element, {
          "data-boundary": key,
          "aria-label": nameOf(boundary, view),
          "aria-valuemin": 0,
          "aria-valuemax": Math.round(view.now / 60_000),
          "aria-valuenow": Math.round(at / 60_000),
          "aria-valuetext": view.words.exact(at),
          "aria-invalid": key === view.moving?.key && view.impossible ? "true" : null,
        });
        const ends = [before, after].flatMap((placement) => drawn.get(placement?.key ?? "") ?? []);
        keep(
          element,
          // Where it did not move, its two bars touch, and one grip is for both.
          ends.length === 2 && ends[0].top === ends[1].top ? ends.slice(1) : ends,
          ({ top }) => String(top),
          () => make("div", { class: "grip" }, make("i")),
          (grip, { top, width: of }) => {
            grip.style.top = `${top}px`;
            grip.style.height = `${ROW}px`;
            grip.classList.toggle("fine", of < ROOMY);
          },
        );
      },
    );
  }

  /**
   * @param {View} view
   * @param {number} width
   */
  #moving({ moving, span, words, impossible }, width) {
    this.line.hidden = this.bubble.hidden = !moving;
    this.element.classList.toggle("impossible", Boolean(moving) && impossible);
    if (!moving) return;
    const x = place(span, width, moving.at);
    this.line.style.left = `${x}px`;
    this.bubble.textContent = words.exact(moving.at);
    const half = this.bubble.offsetWidth / 2;
    this.bubble.style.left = `${Math.min(Math.max(x, half), Math.max(width - half, half))}px`;
  }
}

/**
 * @param {number} index
 */
export function color(index) {
  const number = (index % COLORS) + 1;
  return `var(--graph-color-${number}, var(--color-${number}, var(--primary-color)))`;
}

/**
 * What a boundary is: who came, left or moved.
 *
 * @param {Boundary} boundary
 * @param {{house: import("./model").House, say: import("./texts").Say}} view
 */
export function nameOf({ device, before, after }, { house, say }) {
  const room = (/** @type {import("./model").Placement | undefined} */ placement) =>
    house.rooms.find(({ id }) => id === placement?.area)?.name ?? placement?.area ?? "";
  const kind = before && after ? "moved" : after ? "came" : "left";
  return say(`boundary_${kind}`, {
    device: house.devices.find(({ id }) => id === device)?.name ?? device,
    from: room(before),
    to: room(after),
  });
}
