// What stands around the timeline: title, period, buttons, messages.

import { icon, make, set } from "./dom.js";
import { PERIODS } from "./scale.js";
import { STYLES } from "./styles.js";

/** @typedef {import("./scale").Period} Period */

/**
 * @typedef {object} Actions
 * @property {(period: Period) => void} choose
 * @property {(direction: -1 | 1) => void} shift
 * @property {() => void} latest
 * @property {() => void} tabulate
 * @property {() => void} add
 */

// Material Design Icons: chevron-left, chevron-right, chevron-double-right, table, plus.
const PREVIOUS = "M15.41,16.58L10.83,12L15.41,7.41L14,6L8,12L14,18L15.41,16.58Z";
const NEXT = "M8.59,16.58L13.17,12L8.59,7.41L10,6L16,12L10,18L8.59,16.58Z";
const LATEST =
  "M5.59,7.41L7,6L13,12L7,18L5.59,16.59L10.17,12L5.59,7.41M11.59,7.41L13,6L19,12L13,18L11.59,16.59L16.17,12L11.59,7.41Z";
const TABLE =
  "M5,4H19A2,2 0 0,1 21,6V18A2,2 0 0,1 19,20H5A2,2 0 0,1 3,18V6A2,2 0 0,1 5,4M5,8V12H11V8H5M13,8V12H19V8H13M5,14V18H11V14H5M13,14V18H19V14H13Z";
const PLUS = "M19,13H13V19H11V13H5V11H11V5H13V11H19V13Z";

export class Frame {
  /**
   * @param {ShadowRoot} root
   * @param {HTMLElement} chart
   * @param {Actions} actions
   */
  constructor(root, chart, actions) {
    this.title = make("h2");
    this.add = tool(PLUS, actions.add);
    this.tabulate = tool(TABLE, actions.tabulate);
    this.previous = tool(PREVIOUS, () => actions.shift(-1));
    this.next = tool(NEXT, () => actions.shift(1));
    this.latest = tool(LATEST, actions.latest);
    this.range = make("div", { class: "range", "aria-live": "polite" });
    this.periods = PERIODS.map((period) => ({
      period,
      button: make("button", { type: "button", onclick: () => actions.choose(period) }),
    }));
    this.group = make(
      "div",
      { class: "periods", role: "group" },
      ...this.periods.map(({ button }) => button),
    );

    this.empty = make("p", { class: "empty", hidden: true });
    this.help = make("p", { class: "only-read", id: "help" });
    this.timeline = make(
      "div",
      { class: "body", role: "group", "aria-describedby": "help" },
      this.help,
      chart,
    );
    this.table = make("table");
    // It scrolls sideways where it does not fit, which the keyboard is to reach.
    this.scroller = make("div", { class: "table", role: "region", tabindex: 0 }, this.table);

    this.told = make("span");
    this.undo = make("button", { type: "button", class: "plain", hidden: true });
    this.notice = make("div", { class: "notice", hidden: true }, this.told, this.undo);
    this.form = make("div");

    this.card = make(
      "ha-card",
      {},
      make(
        "div",
        { class: "head" },
        this.title,
        make("div", { class: "tools" }, this.add, this.tabulate),
      ),
      make(
        "div",
        { class: "sub" },
        this.group,
        this.range,
        make("div", { class: "tools" }, this.previous, this.next, this.latest),
      ),
      this.empty,
      this.timeline,
      this.scroller,
      make("div", { role: "status" }, this.notice),
      this.form,
    );
    const style = document.createElement("style");
    style.textContent = STYLES;
    root.append(style, this.card);
  }

  /**
   * @param {object} view
   * @param {string} view.title
   * @param {string} view.range
   * @param {Period} view.period
   * @param {boolean} view.newest Whether there is nothing later to see.
   * @param {boolean} view.editable
   * @param {boolean} view.dark
   * @param {"waiting" | "empty" | "timeline" | "table"} view.shows
   * @param {import("./texts").Say} say
   */
  draw(view, say) {
    const { title, range, period, newest, editable, dark, shows } = view;
    this.card.classList.toggle("dark", dark);
    text(this.title, title);
    text(this.range, range);
    for (const { button, period: one } of this.periods) {
      text(button, say(`period_${one}`));
      set(button, { "aria-pressed": String(one === period) });
    }
    set(this.group, { "aria-label": say("period") });
    for (const [button, key] of /** @type {[HTMLElement, string][]} */ ([
      [this.previous, "previous"],
      [this.next, "next"],
      [this.latest, "latest"],
      [this.tabulate, "as_table"],
      [this.add, "form_add"],
    ])) {
      set(button, { "aria-label": say(key), title: say(key) });
    }
    set(this.tabulate, { "aria-pressed": String(shows === "table") });
    set(this.add, { hidden: !editable });
    set(this.previous, { disabled: period === "all" });
    set(this.next, { disabled: newest });
    set(this.latest, { disabled: newest });
    text(this.help, say(editable ? "help" : "help_read"));
    text(this.empty, say("empty"));
    set(this.empty, { hidden: shows !== "empty" });
    set(this.timeline, { hidden: shows !== "timeline", "aria-label": say("timeline") });
    set(this.scroller, { hidden: shows !== "table", "aria-label": say("as_table") });
  }

  /**
   * Say something below the timeline, or nothing any more.
   *
   * @param {string} [words]
   * @param {"hint" | "done" | "error"} [kind]
   * @param {{label: string, undo: () => void}} [back]
   */
  tell(words = "", kind = "hint", back) {
    this.notice.hidden = !words;
    this.notice.classList.toggle("error", kind === "error");
    set(this.notice, { role: kind === "error" ? "alert" : null });
    text(this.told, words);
    this.undo.hidden = !back;
    text(this.undo, back?.label ?? "");
    this.undo.onclick = () => {
      this.undo.hidden = true;
      back?.undo();
    };
  }
}

/**
 * @param {string} path
 * @param {() => void} onclick
 */
function tool(path, onclick) {
  return make("button", { type: "button", onclick }, icon(path));
}

/**
 * Screen readers tell again what is written again.
 *
 * @param {HTMLElement} element
 * @param {string} words
 */
function text(element, words) {
  if (element.textContent !== words) element.textContent = words;
}
