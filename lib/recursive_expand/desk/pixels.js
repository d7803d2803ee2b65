// Slices of a case: decoded from the server's binary answer (server/desk/pixels.py), kept for a while.

import { ask } from "./requests.js";

const MAGIC = "DESK0001";
const CHUNK = 32;

export function decode(buffer) {
  const bytes = new Uint8Array(buffer);
  if (String.fromCharCode(...bytes.subarray(0, 8)) !== MAGIC) throw new Error("the server sent no slices; reload the page");
  const length = new DataView(buffer).getUint32(8, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(12, 12 + length)));
  const voxels = header.numbers.length * header.rows * header.columns;
  const start = 12 + length;
  // Uint16 of the same bits: a lookup table takes them as its index.
  const hu = new Uint16Array(buffer, start, voxels);
  const after = start + voxels * 2 + ((4 - ((voxels * 2) % 4)) % 4);
  const runs = new Uint32Array(buffer, after, header.runs * 3);
  const mask = new Uint8Array(voxels);
  for (let i = 0; i < runs.length; i += 3) mask.fill(runs[i + 2], runs[i], runs[i] + runs[i + 1]);
  return { header, hu, mask };
}

// A slice: Uint16 bits of HU, class values, and what is derived from them once.
export class Plane {
  constructor(number, rows, columns, hu, mask) {
    Object.assign(this, { number, rows, columns, hu, mask });
  }

  // Class values in this slice, in order.
  get classes() {
    return (this._classes ??= [...new Set(this.mask)].filter((value) => value > 0).sort((a, b) => a - b));
  }

  // Smallest box around the mask, or null.
  get box() {
    if (this._box !== undefined) return this._box;
    let [top, left, bottom, right] = [this.rows, this.columns, -1, -1];
    for (let row = 0, at = 0; row < this.rows; row++) {
      for (let column = 0; column < this.columns; column++, at++) {
        if (!this.mask[at]) continue;
        if (row < top) top = row;
        if (row > bottom) bottom = row;
        if (column < left) left = column;
        if (column > right) right = column;
      }
    }
    return (this._box = bottom < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 });
  }

  // The outline of each class as a path along the voxels' edges, in voxels.
  get outlines() {
    if (this._outlines) return this._outlines;
    const paths = new Map();
    const box = this.box;
    if (box) {
      const at = (row, column) =>
        row < 0 || column < 0 || row >= this.rows || column >= this.columns ? 0 : this.mask[row * this.columns + column];
      for (let row = box.top; row < box.top + box.height; row++) {
        for (let column = box.left; column < box.left + box.width; column++) {
          const value = at(row, column);
          if (!value) continue;
          if (!paths.has(value)) paths.set(value, new Path2D());
          const path = paths.get(value);
          if (at(row - 1, column) !== value) { path.moveTo(column, row); path.lineTo(column + 1, row); }
          if (at(row + 1, column) !== value) { path.moveTo(column, row + 1); path.lineTo(column + 1, row + 1); }
          if (at(row, column - 1) !== value) { path.moveTo(column, row); path.lineTo(column, row + 1); }
          if (at(row, column + 1) !== value) { path.moveTo(column + 1, row); path.lineTo(column + 1, row + 1); }
        }
      }
    }
    return (this._outlines = paths);
  }
}

function planesOf({ header, hu, mask }) {
  const size = header.rows * header.columns;
  return header.numbers.map(
    (number, i) =>
      new Plane(number, header.rows, header.columns, hu.subarray(i * size, (i + 1) * size), mask.subarray(i * size, (i + 1) * size)),
  );
}

async function load(item, which, proposal, each) {
  for (let first = 0, total = 1; first < total; first += CHUNK) {
    const query = { case_id: item.case_id, proposal, which, first, count: CHUNK };
    const decoded = decode(await ask("desk/pixels", { query, binary: true }));
    total = decoded.header.total;
    if (each(decoded.header, planesOf(decoded)) === false) return;
  }
}

// The marked slices of proposals, by item; those not used for long are dropped and asked for again.
export class Shelf {
  constructor(limit = 600) {
    this.limit = limit;
    this.kept = new Map();
  }

  // What is decoded already, or undefined.
  ready(item) {
    const entry = this.kept.get(item.key);
    if (entry?.planes) {
      this.kept.delete(item.key);
      this.kept.set(item.key, entry);
    }
    return entry?.planes;
  }

  get(item) {
    const entry = this.kept.get(item.key);
    if (entry) return entry.promise;
    const made = { planes: undefined };
    made.promise = (async () => {
      const planes = [];
      await load(item, "marked", item.proposal, (header, more) => {
        planes.header = header;
        planes.push(...more);
      });
      // Contours are made here, not when a key is pressed.
      for (const plane of planes) void plane.outlines;
      made.planes = planes;
      this._drop();
      return planes;
    })();
    made.promise.catch(() => this.kept.delete(item.key));
    this.kept.set(item.key, made);
    return made.promise;
  }

  _drop() {
    let slices = 0;
    for (const [key, entry] of [...this.kept].reverse()) {
      slices += entry.planes?.length ?? 0;
      if (slices > this.limit) this.kept.delete(key);
    }
  }
}

// All slices of a case, as they arrive. `changed` is called after each part; it returns false to stop.
export async function loadVolume(item, proposal, changed) {
  const volume = { planes: [], header: null, whole: false };
  await load(item, "all", proposal, (header, planes) => {
    volume.header ??= header;
    for (const plane of planes) volume.planes[plane.number] = plane;
    volume.whole = volume.planes.length === header.slices && !volume.planes.includes(undefined);
    return changed(volume);
  });
  return volume;
}
