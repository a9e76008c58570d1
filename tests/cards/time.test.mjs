// Moments in the zones that people live in.

import assert from "node:assert/strict";
import { test } from "node:test";

import { clock, fromInput, HOUR, MINUTE, moment, toInput, Words } from "../../custom_components/pilot/frontend/time.js";

const at = Date.parse;
const LOCALE = { language: "en", time_format: "24", time_zone: "server", first_weekday: "language" };

test("a clock on the wall", () => {
  const moment_ = at("2026-11-07T09:30:00Z");
  assert.deepEqual(clock(moment_, "Europe/Paris"), { year: 2026, month: 11, day: 7, hour: 10, minute: 30 });
  assert.deepEqual(clock(moment_, "Asia/Kathmandu"), { year: 2026, month: 11, day: 7, hour: 15, minute: 15 });
});

for (const zone of ["UTC", "Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"]) {
  test(`what a clock shows is when it shows it: ${zone}`, () => {
    // All of a year, also where clocks are changed.
    for (let hour = 0; hour < 366 * 24; hour += 1) {
      const before = at("2026-01-01T00:00:00Z") + hour * HOUR + 17 * MINUTE;
      const after = moment(clock(before, zone), zone);
      // An hour that comes twice is its first.
      assert.ok(after === before || (after < before && before - after <= HOUR), new Date(before).toISOString());
      assert.deepEqual(clock(after, zone), clock(before, zone));
    }
  });
}

test("a time that is skipped is an hour later", () => {
  const skipped = { year: 2026, month: 3, day: 29, hour: 2, minute: 30 };
  assert.equal(moment(skipped, "Europe/Paris"), at("2026-03-29T01:30:00Z"));
});

test("a time that comes twice is the first", () => {
  const twice = { year: 2026, month: 10, day: 25, hour: 2, minute: 30 };
  assert.equal(moment(twice, "Europe/Paris"), at("2026-10-25T00:30:00Z"));
});

test("fields overflow", () => {
  assert.equal(moment({ year: 2026, month: 12, day: 32, hour: 0, minute: 0 }, "UTC"), at("2027-01-01T00:00:00Z"));
});

test("what a field shows", () => {
  assert.equal(toInput(at("2026-11-07T09:30:59Z"), "Europe/Paris"), "2026-11-07T10:30");
  assert.equal(fromInput("2026-11-07T10:30", "Europe/Paris"), at("2026-11-07T09:30:00Z"));
  assert.equal(fromInput("", "Europe/Paris"), undefined);
});

test("words are in the language, the notation and the zone of the user", () => {
  const when = at("2026-11-07T13:05:00Z");
  const write = (locale) => new Words({ ...LOCALE, ...locale }, "Europe/Paris").exact(when);

  assert.match(write({}), /Nov 7, 2026.*14:05/);
  assert.match(write({ time_format: "12" }), /2:05\sPM/);
  assert.match(write({ time_format: "language" }), /2:05\sPM/);
  assert.match(write({ language: "fr" }), /sam\. 7 nov\. 2026.*14:05/);
});

test("weeks begin as the user wants it, or as the language has it", () => {
  const day = (locale) => new Words({ ...LOCALE, ...locale }, "UTC").firstWeekday;

  assert.equal(day({ first_weekday: "saturday" }), 6);
  assert.equal(day({ language: "fr" }), 1);
  assert.equal(day({ language: "en-US" }), 0);
});

test("durations", () => {
  const words = new Words(LOCALE, "UTC");

  assert.equal(words.duration(0, 26 * HOUR + 5 * MINUTE), "1 day 2 hr");
  assert.equal(words.duration(0, 95 * MINUTE), "1 hr 35 min");
  assert.equal(words.duration(0, 10), "–");
});
