// The same as the timeline, in words.

import { keep, make } from "./dom.js";

/** @typedef {import("./model").Placement} Placement */

/**
 * Fill a table with what stands where.
 *
 * @param {HTMLElement} table
 * @param {object} view
 * @param {import("./model").House} view.house
 * @param {import("./scale").Span} view.span
 * @param {number} view.now
 * @param {import("./time").Words} view.words
 * @param {import("./texts").Say} view.say
 * @param {boolean} view.editable
 * @param {string} view.caption
 */
export function fill(table, { house, span, now, words, say, editable, caption }) {
  const names = new Map([...house.devices, ...house.rooms].map(({ id, name }) => [id, name]));
  const order = new Map(house.devices.map(({ id }, index) => [id, index]));
  const shown = house.placements
    .filter(({ start, end }) => start < span.end && (end ?? now) > span.start)
    .sort(
      (a, b) => (order.get(a.device) ?? 0) - (order.get(b.device) ?? 0) || a.start - b.start,
    );
  if (!table.firstChild) {
    table.append(make("caption", { class: "only-read" }), make("thead", {}, make("tr")), make("tbody"));
  }
  const [head, line, body] = [
    table.querySelector("caption"),
    table.querySelector("thead tr"),
    table.querySelector("tbody"),
  ];
  if (!head || !line || !body) return;
  head.textContent = caption;
  const columns = ["sensor", "room", "start", "end", "duration", ...(editable ? ["correct"] : [])];
  keep(line, columns, String, () => make("th", { scope: "col" }), (cell, column) => {
    cell.textContent = say(column);
  });
  keep(body, shown, ({ key }) => key, () => make("tr"), (row, placement) => {
    const { key, device, area, start, end } = placement;
    const cells = [
      names.get(device) ?? device,
      names.get(area) ?? area,
      words.exact(start),
      end === null ? say("still") : words.exact(end),
      words.duration(start, end ?? now),
    ];
    while (row.children.length < columns.length) {
      row.append(row.children.length ? make("td") : make("th", { scope: "row" }));
    }
    while (row.children.length > columns.length) row.lastChild.remove();
    cells.forEach((text, index) => {
      row.children[index].textContent = text;
    });
    if (!editable) return;
    const cell = row.lastChild;
    if (!cell.firstChild) cell.append(make("button", { type: "button", class: "plain" }));
    cell.firstChild.dataset.placement = key;
    cell.firstChild.textContent = say("correct");
    cell.firstChild.setAttribute("aria-label", `${say("correct")}: ${cells[0]}, ${cells[1]}, ${cells[2]}`);
  });
}
