// The time axis.

import assert from "node:assert/strict";
import { test } from "node:test";

import { around, latest, PERIODS, place, shifted, snapped, ticks } from "../../custom_components/pilot/frontend/scale.js";
import { clock, DAY, HOUR, MINUTE } from "../../custom_components/pilot/frontend/time.js";

const NOW = Date.parse("2026-11-07T09:30:00Z");
const PARIS = "Europe/Paris";
const FIRST = NOW - 100 * DAY;

test("the latest of a period has now in it, near its end", () => {
  for (const period of PERIODS) {
    const span = latest(period, FIRST, NOW);
    assert.ok(place(span, 100, NOW) > 95 && place(span, 100, NOW) < 100, period);
  }
  assert.ok(latest("all", FIRST, NOW).start <= FIRST);
});

test("another period shows what was in the middle", () => {
  const week = { start: NOW - 40 * DAY, end: NOW - 33 * DAY };
  const day = around("day", week, FIRST, NOW);

  assert.equal((day.start + day.end) / 2, (week.start + week.end) / 2);
  assert.deepEqual(around("year", week, FIRST, NOW), latest("year", FIRST, NOW));
});

test("earlier and later", () => {
  const newest = latest("week", FIRST, NOW);
  const earlier = shifted(newest, -1, newest);

  assert.ok(earlier.end < newest.end && earlier.end > newest.start);
  assert.deepEqual(shifted(earlier, 1, newest), newest);
  assert.deepEqual(shifted(newest, 1, newest), newest);
});

test("what is aimed at is a round time of the zone", () => {
  const aim = (length, width) =>
    clock(snapped({ start: NOW - length, end: NOW }, width, NOW - 7 * HOUR - 13 * MINUTE, PARIS), PARIS);

  assert.deepEqual(aim(DAY, 1440), { year: 2026, month: 11, day: 7, hour: 3, minute: 15 });
  assert.deepEqual(aim(7 * DAY, 800), { year: 2026, month: 11, day: 7, hour: 3, minute: 0 });
  assert.deepEqual(aim(365 * DAY, 800), { year: 2026, month: 11, day: 7, hour: 0, minute: 0 });
});

test("ticks of a week are its days, at midnight of the zone", () => {
  const span = { start: Date.parse("2026-10-22T10:00:00Z"), end: Date.parse("2026-10-29T10:00:00Z") };
  const found = ticks(span, 800, PARIS, 1);

  // The clocks are put back on the 25th.
  assert.deepEqual(
    found.map(({ at }) => new Date(at).toISOString().slice(5, 16)),
    ["10-22T22:00", "10-23T22:00", "10-24T22:00", "10-25T23:00", "10-26T23:00", "10-27T23:00", "10-28T23:00"],
  );
});

test("weeks begin with the first day of the week", () => {
  const found = ticks({ start: NOW - 30 * DAY, end: NOW }, 500, PARIS, 1);

  assert.ok(found.length >= 4);
  for (const { at } of found) assert.equal(new Date(at + 6 * HOUR).getUTCDay(), 1);
});

test("ticks are in order, in the picture, and not too close", () => {
  for (const zone of ["UTC", PARIS, "Australia/Lord_Howe", "Pacific/Apia"]) {
    for (const days of [0.01, 0.1, 1, 3, 7, 12, 30, 90, 365, 1000, 5000, 20000]) {
      for (const width of [240, 500, 1200]) {
        const span = { start: NOW - days * DAY, end: NOW };
        const found = ticks(span, width, zone, 0).map(({ at }) => at);
        found.forEach((at, index) => {
          assert.ok(at >= span.start && at < span.end);
          // February is shorter than other months, and a day in spring than other days.
          if (index) assert.ok(place(span, width, at) - place(span, width, found[index - 1]) > 0.85 * 64, `${zone} ${days} ${width}`);
        });
        assert.ok(found.length <= width / (0.85 * 64) + 1);
      }
    }
  }
  assert.deepEqual(ticks({ start: 0, end: 1 }, 0, "UTC", 1), []);
});
