// What is drawn where.

import assert from "node:assert/strict";
import { test } from "node:test";

import { layout } from "../../custom_components/pilot/frontend/layout.js";
import { read } from "../../custom_components/pilot/frontend/model.js";

const at = (hour) => hour * 3_600_000;
const iso = (hour) => new Date(at(hour)).toISOString();

function draw(placements, { span = { start: at(0), end: at(100) }, now = at(90), stacked = false } = {}) {
  const rooms = ["attic", "cellar", "gone"].map((id) => ({ area_id: id, name: id, removed: id === "gone" }));
  const devices = ["a", "b", "c"].map((id) => ({ device_id: id, name: id, removed: false }));
  const house = read({
    devices,
    rooms,
    placements: placements.map(([device, area, start, end]) => ({
      device_id: device, area_id: area, start: iso(start), end: end === null ? null : iso(end),
    })),
  });
  return layout(house, span, 1000, now, stacked);
}

test("bars are where and when the device stood there", () => {
  const { bars, lanes } = draw([["a", "attic", 10, 30], ["a", "cellar", 30, null]]);

  assert.deepEqual(bars.map(({ left, width }) => [left, width]), [[100, 200], [300, 600]]);
  assert.ok(bars[0].top < lanes[1].top && bars[1].top > lanes[1].top);
  assert.deepEqual(bars.map(({ opens, closes }) => [opens, closes]), [[true, true], [true, false]]);
});

test("bars are cut at the edges of the picture", () => {
  const { bars } = draw([["a", "attic", -50, 150], ["b", "attic", -20, -10]]);

  assert.deepEqual(bars.map(({ left, width, opens, closes }) => [left, width, opens, closes]), [[0, 1000, false, false]]);
});

test("bars never lie upon each other", () => {
  const { bars, lanes } = draw([
    ["a", "attic", 0, 20], ["b", "attic", 10, 40], ["c", "attic", 30, 45], ["a", "attic", 50, null], ["b", "attic", 60, 70],
  ]);

  for (const one of bars) {
    for (const other of bars) {
      const apart = one.left + one.width <= other.left || other.left + other.width <= one.left;
      assert.ok(one === other || apart || one.top !== other.top);
    }
  }
  // A device that comes back has its row again.
  assert.equal(bars.find(({ left }) => left === 500).top, bars[0].top);
  assert.ok(lanes[0].height > lanes[1].height);
});

test("ways lead from room to room; those with a gap are detours", () => {
  const { ways } = draw([["a", "attic", 10, 30], ["a", "cellar", 30, 50], ["a", "attic", 60, null], ["b", "attic", 5, 9]]);

  assert.deepEqual(
    ways.map(({ from, to, direct }) => [from.x, to.x, direct]),
    [[300, 300, true], [500, 600, false]],
  );
});

test("a room that is gone is drawn as long as something stood in it", () => {
  assert.equal(draw([["a", "attic", 10, null]]).lanes.length, 2);
  assert.equal(draw([["a", "gone", 10, 20]]).lanes.length, 3);
});

test("names of rooms may lie above", () => {
  const rows = [["a", "attic", 10, null]];
  assert.ok(draw(rows, { stacked: true }).height > draw(rows).height);
});
