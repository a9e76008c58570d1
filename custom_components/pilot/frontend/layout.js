// What is drawn where: lanes, rows in them, bars and the ways between. Pure.

import { byDevice } from "./model.js";
import { place } from "./scale.js";

/** @typedef {import("./model").Placement} Placement */
/** @typedef {import("./scale").Span} Span */

export const ROW = 30;
export const GAP = 4;
export const PADDING = 6;
export const LABEL = 22;

/**
 * @typedef {object} Lane
 * @property {import("./model").Room} room
 * @property {number} top
 * @property {number} height
 * @property {number} offset Of its rows, from its top: the room's name may lie above them.
 */

/**
 * @typedef {object} Bar
 * @property {Placement} placement
 * @property {number} left
 * @property {number} width
 * @property {number} top
 * @property {boolean} opens Whether its start is in the picture.
 * @property {boolean} closes Whether its end is.
 */

/**
 * A device went from one bar to another.
 *
 * @typedef {object} Way
 * @property {string} key
 * @property {string} device
 * @property {{x: number, y: number}} from
 * @property {{x: number, y: number}} to
 * @property {boolean} direct Whether it came as it left; otherwise it was in no room meanwhile.
 */

/** @typedef {{lanes: Lane[], bars: Bar[], ways: Way[], height: number}} Layout */

/**
 * @param {import("./model").House} house
 * @param {Span} span
 * @param {number} width Of the axis, in pixels.
 * @param {number} now
 * @param {boolean} stacked Whether names of rooms lie above their lanes.
 * @returns {Layout}
 */
export function layout(house, span, width, now, stacked) {
  const until = (/** @type {Placement} */ { end }) => end ?? Math.max(now, span.start);
  const shown = house.placements.filter(
    (placement) => placement.start < span.end && until(placement) > span.start,
  );
  const rows = rowsOf(shown, until);
  const offset = stacked ? LABEL : PADDING;
  let top = 0;
  const lanes = house.rooms
    // A room that is gone is of no interest where nothing stood in it.
    .filter(({ id, removed }) => !removed || shown.some(({ area }) => area === id))
    .map((room) => {
      const used = rows.counts.get(room.id) ?? 1;
      const height = offset + used * ROW + (used - 1) * GAP + PADDING;
      const lane = { room, top, height, offset };
      top += height;
      return lane;
    });
  const tops = new Map(lanes.map((lane) => [lane.room.id, lane.top + lane.offset]));
  const bars = shown.map((placement) => {
    const start = Math.max(placement.start, span.start);
    const end = Math.min(Math.max(until(placement), start), span.end);
    const left = place(span, width, start);
    return {
      placement,
      left,
      width: Math.max(place(span, width, end) - left, 0),
      top: (tops.get(placement.area) ?? 0) + (rows.of.get(placement.key) ?? 0) * (ROW + GAP),
      opens: placement.start >= span.start,
      closes: placement.end !== null && placement.end <= span.end,
    };
  });
  return { lanes, bars, ways: ways(bars, span, width), height: top };
}

/**
 * Give every device a row of each lane, in which nothing else stands when it does: one row for
 * all of its placements there, so that it is found where it was before.
 *
 * @param {Placement[]} shown
 * @param {(placement: Placement) => number} until
 */
function rowsOf(shown, until) {
  /** @type {Map<string, Map<string, Placement[]>>} Placements by area and device. */
  const lanes = new Map();
  for (const placement of [...shown].sort((a, b) => a.start - b.start || (a.key < b.key ? -1 : 1))) {
    const lane = lanes.get(placement.area) ?? new Map();
    lanes.set(placement.area, lane.set(placement.device, [...(lane.get(placement.device) ?? []), placement]));
  }
  /** @type {Map<string, number>} */
  const of = new Map();
  /** @type {Map<string, number>} */
  const counts = new Map();
  const meet = (/** @type {Placement} */ one, /** @type {Placement} */ other) =>
    one.start < until(other) && other.start < until(one);
  for (const [area, lane] of lanes) {
    /** @type {Placement[][]} */
    const rows = [];
    for (const own of lane.values()) {
      let row = rows.findIndex((used) => !used.some((one) => own.some((other) => meet(one, other))));
      if (row < 0) row = rows.push([]) - 1;
      rows[row].push(...own);
      for (const { key } of own) of.set(key, row);
    }
    counts.set(area, rows.length);
  }
  return { of, counts };
}

/**
 * @param {Bar[]} bars
 * @param {Span} span
 * @param {number} width
 * @returns {Way[]}
 */
function ways(bars, span, width) {
  const drawn = new Map(bars.map((bar) => [bar.placement.key, bar]));
  /** @type {Way[]} */
  const found = [];
  for (const [device, own] of byDevice(bars.map((bar) => bar.placement))) {
    for (let index = 1; index < own.length; index += 1) {
      const [from, to] = [own[index - 1], own[index]];
      const [left, right] = [drawn.get(from.key), drawn.get(to.key)];
      if (!left || !right || from.end === null || left.top === right.top) continue;
      found.push({
        key: to.key,
        device,
        from: { x: place(span, width, from.end), y: left.top + ROW / 2 },
        to: { x: place(span, width, to.start), y: right.top + ROW / 2 },
        direct: from.end === to.start,
      });
    }
  }
  return found;
}
