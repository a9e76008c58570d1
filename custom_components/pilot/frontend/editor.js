// Moves boundaries, with a pointer or with the keyboard. It knows where they are moved and when
// that is meant, and leaves to its host to draw it and to do it.

import { snapped } from "./scale.js";
import { clock, DAY, HOUR, MINUTE, moment } from "./time.js";

/** @typedef {import("./model").Boundary} Boundary */

/**
 * What the editor asks of the card.
 *
 * @typedef {object} Host
 * @property {(key: string) => Boundary | undefined} boundary
 * @property {() => import("./scale").Span} span
 * @property {() => number} width
 * @property {() => number} now
 * @property {() => string} zone
 * @property {() => void} changed
 * @property {(boundary: Boundary, to: number) => void} confirmed
 */

// A hand that trembles moves nothing, in pixels.
const TREMBLE = 4;

export class Editor {
  /**
   * @param {HTMLElement} plot
   * @param {Host} host
   */
  constructor(plot, host) {
    this.plot = plot;
    this.host = host;
    /** @type {{boundary: Boundary, to: number, by: "pointer" | "keyboard"} | undefined} */
    this.moving = undefined;
    /** @type {{id: number, x: number, boundary: Boundary, offset: number} | undefined} */
    this.held = undefined;
    plot.addEventListener("pointerdown", (event) => this.#down(event));
    plot.addEventListener("pointermove", (event) => this.#move(event));
    plot.addEventListener("pointerup", (event) => this.#up(event));
    plot.addEventListener("pointercancel", () => this.revert());
    plot.addEventListener("keydown", (event) => this.#key(event));
    plot.addEventListener("focusout", () => {
      if (this.moving?.by === "keyboard") this.revert();
    });
  }

  /** What is being moved, or held at least. */
  get boundary() {
    return this.moving?.boundary ?? this.held?.boundary;
  }

  /** Leave everything as it was. */
  revert() {
    const { held, moving } = this;
    this.held = this.moving = undefined;
    if (held) this.#release(held.id);
    if (moving) this.host.changed();
  }

  /** @param {PointerEvent} event */
  #down(event) {
    const boundary = this.#boundaryAt(event);
    if (!boundary || event.button !== 0 || this.held) return;
    // No text is selected, and no dashboard is dragged.
    event.preventDefault();
    event.stopPropagation();
    this.revert();
    handleOf(event)?.focus({ preventScroll: true });
    this.held = {
      id: event.pointerId,
      x: event.clientX,
      boundary,
      offset: this.#momentAt(event.clientX) - boundary.at,
    };
    // The handle itself may go and come while it is drawn anew.
    this.plot.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const { held, host } = this;
    if (held?.id !== event.pointerId) return;
    if (!this.moving && Math.abs(event.clientX - held.x) < TREMBLE) return;
    const aimed = this.#momentAt(event.clientX) - held.offset;
    const to = this.#possible(snapped(host.span(), host.width(), aimed, host.zone()));
    if (this.moving?.to === to) return;
    this.moving = { boundary: held.boundary, to, by: "pointer" };
    host.changed();
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const { held } = this;
    if (held?.id !== event.pointerId) return;
    this.held = undefined;
    this.#release(held.id);
    this.#confirm();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "Escape") {
      if (!this.moving && !this.held) return;
      this.#take(event);
      this.revert();
      return;
    }
    const boundary = this.#boundaryAt(event);
    if (!boundary || this.held) return;
    if (event.key === "Enter") {
      this.#take(event);
      this.#confirm();
      return;
    }
    const from = this.moving?.to ?? boundary.at;
    const to = stepped(event, from, this.host.zone());
    if (to === undefined) return;
    this.#take(event);
    const original = this.moving?.boundary ?? boundary;
    this.moving = { boundary: original, to: this.#possible(to), by: "keyboard" };
    this.host.changed();
  }

  #confirm() {
    const { moving } = this;
    this.moving = undefined;
    if (!moving) return;
    if (moving.to === moving.boundary.at) this.host.changed();
    else this.host.confirmed(moving.boundary, moving.to);
  }

  /** @param {Event} event */
  #take(event) {
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {number} id */
  #release(id) {
    if (this.plot.hasPointerCapture(id)) this.plot.releasePointerCapture(id);
  }

  /** @param {Event} event */
  #boundaryAt(event) {
    const key = handleOf(event)?.dataset.boundary;
    return key === undefined ? undefined : this.host.boundary(key);
  }

  /** @param {number} x */
  #momentAt(x) {
    const { left, width } = this.plot.getBoundingClientRect();
    const { start, end } = this.host.span();
    return start + ((x - left) / width) * (end - start);
  }

  /**
   * Nothing has moved in the future.
   *
   * @param {number} to
   */
  #possible(to) {
    return Math.min(to, Math.floor(this.host.now() / MINUTE) * MINUTE);
  }
}

/**
 * @param {Event} event
 * @returns {HTMLElement | undefined}
 */
function handleOf({ target }) {
  const handle = target instanceof Element && target.closest("[data-boundary]");
  return handle instanceof HTMLElement ? handle : undefined;
}

/**
 * Where a key moves a boundary: five minutes, an hour with Shift, a day with Page Up and Down.
 *
 * @param {{key: string, shiftKey: boolean}} event
 * @param {number} from
 * @param {string} zone
 */
export function stepped({ key, shiftKey }, from, zone) {
  const step = shiftKey ? HOUR : 5 * MINUTE;
  switch (key) {
    case "ArrowRight":
    case "ArrowUp":
      return (Math.floor(from / step) + 1) * step;
    case "ArrowLeft":
    case "ArrowDown":
      return (Math.ceil(from / step) - 1) * step;
    case "PageUp":
      return days(from, 1, zone);
    case "PageDown":
      return days(from, -1, zone);
    default:
      return undefined;
  }
}

/**
 * The same time of another day.
 *
 * @param {number} from
 * @param {number} count
 * @param {string} zone
 */
function days(from, count, zone) {
  const wall = clock(from, zone);
  // A clock has minutes only; what is below them stays.
  const rest = from % MINUTE;
  const day = moment({ ...wall, day: wall.day + count }, zone) + rest;
  return Math.abs(day - from) < 2 * DAY ? day : from + count * DAY;
}
