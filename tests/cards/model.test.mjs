// Placements, and what a correction changes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { stepped } from "../../custom_components/pilot/frontend/editor.js";
import { backwards, boundaries, first, moved, movement, only, overlaps, read } from "../../custom_components/pilot/frontend/model.js";
import { DAY, HOUR, MINUTE } from "../../custom_components/pilot/frontend/time.js";

const hour = (number) => `2026-11-07T${String(number).padStart(2, "0")}:00:00.123456+00:00`;
const raw = (device, area, start, end) => ({
  device_id: device, area_id: area, start: hour(start), end: end === null ? null : hour(end),
});
const MESSAGE = {
  devices: [
    { device_id: "b", name: "SHT 10", removed: false },
    { device_id: "a", name: "SHT 9", removed: false },
  ],
  rooms: [
    { area_id: "attic", name: "Attic", removed: false },
    { area_id: "cellar", name: "Cellar", removed: true },
  ],
  placements: [
    raw("a", "attic", 1, 3), raw("b", "attic", 2, null), raw("a", "cellar", 3, 5), raw("a", "attic", 7, 9),
  ],
};
const house = read(MESSAGE);
const find = (key) => boundaries(house.placements).find((boundary) => boundary.key === key);

test("what Home Assistant sends is read", () => {
  assert.deepEqual(house.devices.map(({ name }) => name), ["SHT 9", "SHT 10"]);
  assert.deepEqual(house.devices.map(({ color }) => color), [0, 1]);
  assert.equal(new Set(house.placements.map(({ key }) => key)).size, 4);
  assert.equal(house.placements[1].end, null);
  assert.equal(first(house.placements, 0), 0);
  assert.equal(first(house.placements, Infinity), Date.parse(hour(1)));
});

test("only what is wanted is shown", () => {
  assert.equal(only(house, { areas: ["cellar"] }).placements.length, 1);
  assert.deepEqual(only(house, { devices: ["b"] }).rooms.map(({ id }) => id), ["attic"]);
  assert.equal(only(house, { devices: ["b"], areas: ["attic", "cellar"] }).rooms.length, 2);
  assert.deepEqual(only(house, { areas: [], devices: [] }), house);
});

test("a move is one boundary, a gap has two, and what stands there still has no end", () => {
  assert.deepEqual(
    boundaries(house.placements).map(({ key, before, after }) => [key, before?.area, after?.area]),
    [
      ["a 0 start", undefined, "attic"],
      ["b 0 start", undefined, "attic"],
      ["a 1 start", "attic", "cellar"],
      ["a 1 end", "cellar", undefined],
      ["a 2 start", undefined, "attic"],
      ["a 2 end", "attic", undefined],
    ],
  );
});

test("a move that is dragged moves both placements", () => {
  const to = Date.parse(hour(4));
  const placements = moved(house.placements, find("a 1 start"), to);

  assert.equal(placements[0].end, to);
  assert.equal(placements[2].start, to);
  assert.equal(overlaps(placements, "a"), false);
});

test("what cannot be is seen", () => {
  for (const [key, to] of [["a 1 start", 0], ["a 1 start", 5], ["a 1 end", 8], ["a 2 start", 4]]) {
    assert.equal(overlaps(moved(house.placements, find(key), Date.parse(hour(to))), "a"), true, key);
  }
  assert.equal(overlaps(moved(house.placements, find("a 1 start"), Date.parse(hour(0))), "b"), false);
});

test("the action that moves, and the one that takes it back, to the microsecond", () => {
  const move = find("a 1 start");
  assert.deepEqual(movement(move, "new"), { device_id: "a", at: hour(3), start: "new" });
  assert.deepEqual(backwards(move, "new"), { device_id: "a", at: "new", start: hour(3) });

  const end = find("a 1 end");
  assert.deepEqual(movement(end, "new"), { device_id: "a", at: hour(3), end: "new" });
  assert.deepEqual(backwards(end, "new"), { device_id: "a", at: hour(3), end: hour(5) });
});

test("keys move by five minutes, an hour, a day", () => {
  const from = Date.parse("2026-10-25T00:32:10Z");
  const by = (key, shiftKey = false) => stepped({ key, shiftKey }, from, "Europe/Paris") - from;

  assert.equal(by("ArrowRight"), 2 * MINUTE + 50_000); // To a round time first.
  assert.equal(by("ArrowLeft"), -2 * MINUTE - 10_000);
  assert.equal(by("ArrowUp", true), 27 * MINUTE + 50_000);
  assert.equal(by("ArrowDown", true), -32 * MINUTE - 10_000);
  // The day has 25 hours there.
  assert.equal(by("PageUp"), DAY + HOUR);
  assert.equal(by("PageDown"), -DAY);
  assert.equal(stepped({ key: "x", shiftKey: false }, from, "UTC"), undefined);
});
