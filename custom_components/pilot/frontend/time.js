// Moments, in the time zone and the notation of the user. Pure: moments are milliseconds
// since 1970, UTC.

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** @typedef {{year: number, month: number, day: number, hour: number, minute: number}} Clock */

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * Return a formatter; making one is dear.
 *
 * @param {string | undefined} language
 * @param {Intl.DateTimeFormatOptions} options
 */
function format(language, options) {
  const key = `${language} ${JSON.stringify(options)}`;
  let found = formats.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat(language, options);
    formats.set(key, found);
  }
  return found;
}

/**
 * What a clock on the wall of a zone shows.
 *
 * @param {number} moment
 * @param {string} zone
 * @returns {Clock}
 */
export function clock(moment, zone) {
  /** @type {Record<string, number>} */
  const parts = {};
  const formatter = format("en-US", {
    calendar: "gregory",
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  });
  for (const { type, value } of formatter.formatToParts(moment)) parts[type] = Number(value);
  return {
    year: parts.year,
    month: parts.month,
    day: parts.day,
    hour: parts.hour,
    minute: parts.minute,
  };
}

/**
 * When a clock on the wall shows this. Fields may overflow, as those of `Date.UTC` may. A time
 * that is skipped in spring is as much later as the clocks are put forward; of one that comes
 * twice in autumn it is the first.
 *
 * @param {Clock} wall
 * @param {string} zone
 * @returns {number}
 */
export function moment({ year, month, day, hour, minute }, zone) {
  const asUtc = Date.UTC(year, month - 1, day, hour, minute);
  const before = asUtc - offset(asUtc - DAY, zone);
  const after = asUtc - offset(asUtc + DAY, zone);
  const fitting = [before, after].filter((one) => one + offset(one, zone) === asUtc);
  return fitting.length ? Math.min(...fitting) : before;
}

/**
 * How far a zone's clocks are ahead of UTC, in milliseconds, to the minute.
 *
 * @param {number} at
 * @param {string} zone
 */
function offset(at, zone) {
  const { year, month, day, hour, minute } = clock(at, zone);
  const whole = Math.floor(at / MINUTE) * MINUTE;
  return Date.UTC(year, month - 1, day, hour, minute) - whole;
}

/**
 * What an `<input type="datetime-local">` shows for a moment.
 *
 * @param {number} at
 * @param {string} zone
 */
export function toInput(at, zone) {
  const { year, month, day, hour, minute } = clock(at, zone);
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  return `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}`;
}

/**
 * The moment that an `<input type="datetime-local">` shows; nothing while it is incomplete.
 *
 * @param {string} text
 * @param {string} zone
 * @returns {number | undefined}
 */
export function fromInput(text, zone) {
  const fields = /^(\d{4,})-(\d\d)-(\d\d)T(\d\d):(\d\d)/.exec(text)?.slice(1).map(Number);
  if (!fields) return undefined;
  const [year, month, day, hour, minute] = fields;
  return moment({ year, month, day, hour, minute }, zone);
}

/**
 * Writes moments as a user is used to read them.
 */
export class Words {
  /**
   * @param {import("./types").Locale} locale
   * @param {string} houseZone The time zone of the house.
   */
  constructor(locale, houseZone) {
    this.language = locale.language;
    this.zone =
      locale.time_zone === "server" ? houseZone : Intl.DateTimeFormat().resolvedOptions().timeZone;
    this.cycle = hourCycle(locale);
    this.firstWeekday = firstWeekday(locale);
  }

  /**
   * Day and time, for people who want to know it exactly.
   *
   * @param {number} at
   */
  exact(at) {
    return this.#write(at, {
      weekday: "short",
      year: "numeric",
      month: "short",
      day: "numeric",
      hour: "numeric",
      minute: "2-digit",
    });
  }

  /**
   * The days from one moment to another.
   *
   * @param {number} start
   * @param {number} end
   */
  range(start, end) {
    /** @type {Intl.DateTimeFormatOptions} */
    const options = { timeZone: this.zone, year: "numeric", month: "short", day: "numeric" };
    return format(this.language, options).formatRange(start, end);
  }

  /**
   * A tick of the time axis: as little as its neighbours leave open.
   *
   * @param {number} at
   * @param {import("./scale").Unit} unit
   */
  tick(at, unit) {
    if (unit === "year") return this.#write(at, { year: "numeric" });
    const wall = clock(at, this.zone);
    if (unit === "month") {
      return wall.month === 1
        ? this.#write(at, { year: "numeric" })
        : this.#write(at, { month: "short" });
    }
    if (unit === "day" || (wall.hour === 0 && wall.minute === 0)) {
      return this.#write(at, { month: "short", day: "numeric" });
    }
    return this.#write(at, { hour: "numeric", minute: "2-digit" });
  }

  /**
   * How long it is from one moment to another: "5 h", "2 d, 3 h".
   *
   * @param {number} start
   * @param {number} end
   */
  duration(start, end) {
    const minutes = Math.round((end - start) / MINUTE);
    const days = Math.floor(minutes / 1440);
    const hours = Math.floor((minutes % 1440) / 60);
    const parts = [
      ["day", days],
      ["hour", hours],
      // Minutes are of no interest beside days.
      ["minute", days ? 0 : minutes % 60],
    ]
      .filter(([, number]) => number)
      .map(([unit, number]) =>
        new Intl.NumberFormat(this.language, {
          style: "unit",
          unit: String(unit),
          unitDisplay: "short",
        }).format(Number(number)),
      );
    return parts.join(" ") || "–";
  }

  /**
   * @param {number} at
   * @param {Intl.DateTimeFormatOptions} options
   */
  #write(at, options) {
    /** @type {Intl.DateTimeFormatOptions} */
    const zoned = { timeZone: this.zone, ...options };
    if (options.hour) zoned.hourCycle = this.cycle;
    return format(this.language, zoned).format(at);
  }
}

/**
 * Twelve or twenty-four hours; nothing where the language decides.
 *
 * @param {import("./types").Locale} locale
 * @returns {"h12" | "h23" | undefined}
 */
function hourCycle({ time_format: wanted }) {
  if (wanted === "12") return "h12";
  if (wanted === "24") return "h23";
  if (wanted !== "system") return undefined;
  return Intl.DateTimeFormat(undefined, { hour: "numeric" }).resolvedOptions().hour12
    ? "h12"
    : "h23";
}

const WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/**
 * The day that weeks begin with; Sunday is 0.
 *
 * @param {import("./types").Locale} locale
 */
function firstWeekday({ language, first_weekday: wanted }) {
  const named = WEEKDAYS.indexOf(wanted);
  if (named >= 0) return named;
  try {
    const known = new Intl.Locale(language);
    // Firefox learned of the function late, other browsers had a property before.
    const week = known.getWeekInfo?.() ?? known.weekInfo;
    if (week) return week.firstDay % 7;
  } catch {
    // A language that the browser does not know: most of the world begins on Monday.
  }
  return 1;
}
