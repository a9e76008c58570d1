// What is known of placements, and what a correction changes in it. Pure.

/** @typedef {import("./types").Message} Message */
/** @typedef {import("./types").RawPlacement} RawPlacement */

/**
 * A device stood in a room.
 *
 * @typedef {object} Placement
 * @property {string} key Unique.
 * @property {string} device
 * @property {string} area
 * @property {number} start
 * @property {number | null} end Nothing: it stands there still.
 * @property {string} from Its start as Home Assistant wrote it, exact to the microsecond.
 * @property {string | null} until Its end likewise.
 */

/** @typedef {{id: string, name: string, color: number, removed: boolean}} Device */
/** @typedef {{id: string, name: string, removed: boolean}} Room */
/** @typedef {{devices: Device[], rooms: Room[], placements: Placement[]}} House */

/**
 * A moment at which a device came, left, or moved, and that can be corrected.
 *
 * @typedef {object} Boundary
 * @property {string} key Unique, and the same when the moment is another one.
 * @property {string} device
 * @property {number} at
 * @property {Placement | undefined} before Whose end it is.
 * @property {Placement | undefined} after Whose start it is.
 */

/** @typedef {{areas?: string[], devices?: string[]}} Wanted */

/**
 * Read what Home Assistant sends, in the order in which it is drawn.
 *
 * @param {Message} message
 * @returns {House}
 */
export function read(message) {
  const ids = message.devices.map((device) => device.device_id).sort();
  const byName = (/** @type {{name: string}} */ a, /** @type {{name: string}} */ b) =>
    a.name.localeCompare(b.name, undefined, { numeric: true });
  return {
    devices: message.devices
      .map(({ device_id: id, name, removed }) => ({
        id,
        name,
        // By its ID: another device that comes or goes changes no colour but its own.
        color: ids.indexOf(id),
        removed,
      }))
      .sort(byName),
    rooms: message.rooms
      .map(({ area_id: id, name, removed }) => ({ id, name, removed }))
      .sort(byName),
    placements: numbered(message.placements),
  };
}

/**
 * @param {RawPlacement[]} raw
 * @returns {Placement[]}
 */
function numbered(raw) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  return raw.map((one) => {
    const number = counts.get(one.device_id) ?? 0;
    counts.set(one.device_id, number + 1);
    return {
      key: `${one.device_id} ${number}`,
      device: one.device_id,
      area: one.area_id,
      start: Date.parse(one.start),
      end: one.end === null ? null : Date.parse(one.end),
      from: one.start,
      until: one.end,
    };
  });
}

/**
 * Leave only what the card is to show; of rooms, where only some devices are wanted, those that
 * they were in.
 *
 * @param {House} house
 * @param {Wanted} wanted Nothing, or an empty list, does not restrict.
 * @returns {House}
 */
export function only(house, { areas, devices }) {
  const fits = (/** @type {string[] | undefined} */ list, /** @type {string} */ id) =>
    !list?.length || list.includes(id);
  const placements = house.placements.filter(
    ({ area, device }) => fits(areas, area) && fits(devices, device),
  );
  const stood = new Set(placements.map(({ area }) => area));
  return {
    devices: house.devices.filter(({ id }) => fits(devices, id)),
    rooms: house.rooms.filter(({ id }) =>
      areas?.length || !devices?.length ? fits(areas, id) : stood.has(id),
    ),
    placements,
  };
}

/**
 * When the first placement began.
 *
 * @param {Placement[]} placements
 * @param {number} now What it is when there is none.
 */
export function first(placements, now) {
  return placements.reduce((least, { start }) => Math.min(least, start), now);
}

/**
 * Return what can be corrected by moving it.
 *
 * @param {Placement[]} placements
 * @returns {Boundary[]}
 */
export function boundaries(placements) {
  /** @type {Boundary[]} */
  const found = [];
  for (const [device, own] of byDevice(placements)) {
    /** @type {Placement | undefined} */
    let last;
    for (const placement of own) {
      const touches = last !== undefined && last.end === placement.start;
      if (last && last.end !== null && !touches) {
        found.push({ key: `${last.key} end`, device, at: last.end, before: last, after: undefined });
      }
      const before = touches ? last : undefined;
      found.push({ key: `${placement.key} start`, device, at: placement.start, before, after: placement });
      last = placement;
    }
    if (last && last.end !== null) {
      found.push({ key: `${last.key} end`, device, at: last.end, before: last, after: undefined });
    }
  }
  return found.sort((a, b) => a.at - b.at);
}

/**
 * Return the placements of each device, in order.
 *
 * @param {Placement[]} placements
 */
export function byDevice(placements) {
  /** @type {Map<string, Placement[]>} */
  const found = new Map();
  for (const placement of placements) {
    const own = found.get(placement.device);
    if (own) own.push(placement);
    else found.set(placement.device, [placement]);
  }
  for (const own of found.values()) own.sort((a, b) => a.start - b.start);
  return found;
}

/**
 * What it looks like when a boundary is moved, be it possible or not.
 *
 * @param {Placement[]} placements
 * @param {Boundary} boundary
 * @param {number} to
 * @returns {Placement[]}
 */
export function moved(placements, boundary, to) {
  return placements.map((placement) => {
    if (placement.key === boundary.before?.key) return { ...placement, end: to };
    if (placement.key === boundary.after?.key) return { ...placement, start: to };
    return placement;
  });
}

/**
 * Whether a device would be in two places at once, or nowhere for a placement that was.
 *
 * Home Assistant decides what can be; this is what colours the preview.
 *
 * @param {Placement[]} placements
 * @param {string} device
 */
export function overlaps(placements, device) {
  const own = placements.filter((placement) => placement.device === device);
  const ends = (/** @type {Placement} */ { end }) => end ?? Infinity;
  return own.some(
    (one, index) =>
      ends(one) <= one.start ||
      own.some((other, at) => at > index && other.start < ends(one) && one.start < ends(other)),
  );
}

/**
 * The data of the action that moves a boundary.
 *
 * @param {Boundary} boundary
 * @param {string} to
 */
export function movement({ device, before, after }, to) {
  return after
    ? { device_id: device, at: after.from, start: to }
    : { device_id: device, at: before?.from, end: to };
}

/**
 * The data of the action that takes this back.
 *
 * @param {Boundary} boundary
 * @param {string} to Where it was moved.
 */
export function backwards({ device, before, after }, to) {
  return after
    ? { device_id: device, at: to, start: after.from }
    : { device_id: device, at: before?.from, end: before?.until };
}
