// Elements that stay the same ones as long as they stand for the same thing, so that they keep
// the focus, and that screen readers tell what changed and no more.

/** @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Properties */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element. Properties are attributes, and listeners where they begin with `on`.
 *
 * @param {string} tag
 * @param {Properties} [properties]
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElement}
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  set(element, properties);
  element.append(.../** @type {(Node | string)[]} */ (children.filter(Boolean)));
  return element;
}

/**
 * @param {Element} element
 * @param {Properties} properties
 */
export function set(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value === true ? "" : value)) {
      element.setAttribute(name, String(value === true ? "" : value));
    }
  }
}

/**
 * Let an element have these children, one for each thing; those of things that stay, stay.
 *
 * @template T
 * @param {Element} parent
 * @param {readonly T[]} things
 * @param {(thing: T) => string} key
 * @param {(thing: T) => Element} create
 * @param {(element: any, thing: T) => void} update
 */
export function keep(parent, things, key, create, update) {
  const root = /** @type {ShadowRoot} */ (parent.getRootNode());
  const focused = root.activeElement;
  const there = new Map(
    [...parent.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, child]),
  );
  /** @type {Element | null} */
  let last = null;
  for (const thing of things) {
    const name = key(thing);
    let child = there.get(name);
    if (child) there.delete(name);
    else {
      child = create(thing);
      /** @type {HTMLElement} */ (child).dataset.key = name;
    }
    update(child, thing);
    /** @type {Element | null} */
    const next = last ? last.nextElementSibling : parent.firstElementChild;
    if (next !== child) parent.insertBefore(child, next);
    last = child;
  }
  for (const child of there.values()) child.remove();
  // An element that was moved has lost the focus.
  if (focused instanceof HTMLElement && parent.contains(focused) && root.activeElement !== focused) {
    focused.focus({ preventScroll: true });
  }
}

/**
 * @param {string} tag
 * @param {Properties} [properties]
 */
export function drawing(tag, properties = {}) {
  const element = document.createElementNS(SVG, tag);
  set(element, properties);
  return element;
}

/**
 * An icon, from its path in a square of 24.
 *
 * @param {string} path
 */
export function icon(path) {
  const picture = drawing("svg", { viewBox: "0 0 24 24", "aria-hidden": "true", class: "icon" });
  picture.append(drawing("path", { d: path }));
  return picture;
}
