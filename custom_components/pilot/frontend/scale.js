// From moments to places on the time axis and back. Pure.

import { clock, DAY, HOUR, MINUTE, moment } from "./time.js";

/** @typedef {"minute" | "hour" | "day" | "month" | "year"} Unit */
/** @typedef {"day" | "week" | "month" | "year" | "all"} Period */
/** @typedef {{start: number, end: number}} Span */
/** @typedef {{at: number, unit: Unit}} Tick */

/** @type {readonly Period[]} */
export const PERIODS = ["day", "week", "month", "year", "all"];

/** @type {Record<Exclude<Period, "all">, number>} */
const LENGTH = { day: DAY, week: 7 * DAY, month: 30 * DAY, year: 365 * DAY };

// What a person can aim at lies at least this far apart, in pixels.
const AIM = 3;

// A tick of the axis may not be closer than this to the next, in pixels.
const TICK = 64;

/** @type {readonly [number, Unit, number][]} How long a step is, and what it is counted in. */
const STEPS = [
  [MINUTE, "minute", 1],
  [5 * MINUTE, "minute", 5],
  [15 * MINUTE, "minute", 15],
  [30 * MINUTE, "minute", 30],
  [HOUR, "hour", 1],
  [3 * HOUR, "hour", 3],
  [6 * HOUR, "hour", 6],
  [12 * HOUR, "hour", 12],
  [DAY, "day", 1],
  [2 * DAY, "day", 2],
  [7 * DAY, "day", 7],
  [31 * DAY, "month", 1],
  [92 * DAY, "month", 3],
  [366 * DAY, "year", 1],
];

/**
 * The stretch of time that a period shows when it ends now.
 *
 * @param {Period} period
 * @param {number} first When the first placement began.
 * @param {number} now
 * @returns {Span}
 */
export function latest(period, first, now) {
  const length = period === "all" ? Math.max(now - first, DAY) * 1.03 : LENGTH[period];
  // Some future is shown, for the line of now to stand in the picture.
  const end = now + length / 50;
  return { start: end - length, end };
}

/**
 * The stretch of time that another period shows around what is shown.
 *
 * @param {Period} period
 * @param {Span} shown
 * @param {number} first
 * @param {number} now
 * @returns {Span}
 */
export function around(period, shown, first, now) {
  const newest = latest(period, first, now);
  if (period === "all" || shown.end >= now) return newest;
  const middle = (shown.start + shown.end) / 2;
  const half = (newest.end - newest.start) / 2;
  return middle + half > newest.end ? newest : { start: middle - half, end: middle + half };
}

/**
 * The stretch of time before or after this one.
 *
 * @param {Span} shown
 * @param {-1 | 1} direction
 * @param {Span} newest Nothing later than this is shown.
 * @returns {Span}
 */
export function shifted({ start, end }, direction, newest) {
  // A little of what was seen stays in the picture.
  const by = (end - start) * 0.9 * direction;
  return end + by > newest.end ? newest : { start: start + by, end: end + by };
}

/**
 * Where on an axis of this width a moment is.
 *
 * @param {Span} span
 * @param {number} width
 * @param {number} at
 */
export function place({ start, end }, width, at) {
  return ((at - start) / (end - start)) * width;
}

/**
 * Round a moment to what a person can aim at, on a clock of the zone.
 *
 * @param {Span} span
 * @param {number} width
 * @param {number} at
 * @param {string} zone
 */
export function snapped(span, width, at, zone) {
  const step = stepFor(((span.end - span.start) / width) * AIM, DAY);
  const [length] = step;
  const wall = clock(at, zone);
  const midnight = moment({ ...wall, hour: 0, minute: 0 }, zone);
  if (length >= DAY) {
    const next = moment({ ...wall, day: wall.day + 1, hour: 0, minute: 0 }, zone);
    return at - midnight < next - at ? midnight : next;
  }
  const steps = Math.round((wall.hour * HOUR + wall.minute * MINUTE) / length);
  return moment({ ...wall, hour: 0, minute: (steps * length) / MINUTE }, zone);
}

/**
 * The marks of the time axis: round times of the zone, not too close to each other.
 *
 * @param {Span} span
 * @param {number} width
 * @param {string} zone
 * @param {number} firstWeekday
 * @returns {Tick[]}
 */
export function ticks(span, width, zone, firstWeekday) {
  if (width <= 0) return [];
  const shortest = ((span.end - span.start) / width) * TICK;
  let [length, unit, count] = stepFor(shortest);
  if (length < shortest) count = Math.ceil(shortest / length);
  /** @type {Tick[]} */
  const found = [];
  let wall = floor(clock(span.start, zone), unit, count, firstWeekday);
  for (;;) {
    const at = moment(wall, zone);
    if (at >= span.end) return found;
    if (at >= span.start) found.push({ at, unit });
    wall = next(wall, unit, count, zone);
  }
}

/**
 * The shortest of the usual steps that is not shorter than this.
 *
 * @param {number} shortest
 * @param {number} [longest]
 */
function stepFor(shortest, longest = Infinity) {
  const allowed = STEPS.filter(([length]) => length <= longest);
  return allowed.find(([length]) => length >= shortest) ?? allowed[allowed.length - 1];
}

/**
 * @param {import("./time").Clock} wall
 * @param {Unit} unit
 * @param {number} count
 * @param {number} firstWeekday
 * @returns {import("./time").Clock}
 */
function floor(wall, unit, count, firstWeekday) {
  const { year, month, day, hour, minute } = wall;
  const down = (/** @type {number} */ value) => Math.floor(value / count) * count;
  switch (unit) {
    case "minute":
      return { ...wall, minute: down(minute) };
    case "hour":
      return { ...wall, hour: down(hour), minute: 0 };
    case "day": {
      const utc = Date.UTC(year, month - 1, day);
      const weekday = new Date(utc).getUTCDay();
      const back = count === 7 ? (weekday - firstWeekday + 7) % 7 : (utc / DAY) % count;
      return { ...wall, day: day - back, hour: 0, minute: 0 };
    }
    case "month":
      return { year, month: down(month - 1) + 1, day: 1, hour: 0, minute: 0 };
    case "year":
      return { year: down(year), month: 1, day: 1, hour: 0, minute: 0 };
  }
}

/**
 * @param {import("./time").Clock} wall
 * @param {Unit} unit
 * @param {number} count
 * @param {string} zone
 * @returns {import("./time").Clock}
 */
function next(wall, unit, count, zone) {
  const later = { ...wall, [unit]: wall[unit] + count };
  // At noon every day has the date that is meant.
  if (unit === "day") return { ...clock(moment({ ...later, hour: 12 }, zone), zone), hour: 0 };
  if (unit === "minute" || unit === "hour") return clock(moment(later, zone), zone);
  if (unit === "month" && later.month > 12) {
    return { ...later, year: later.year + 1, month: later.month - 12 };
  }
  return later;
}
