// Slices of a case: fetched and decoded by a worker (decoder.js), kept for a while.

import { address, Refused, Unreachable } from "./requests.js";

const CHUNK = 32;
// Of the six requests that a browser has for a server: pictures that come slowly hold up no verdict.
const AT_ONCE = 4;

// A worker, and what waits for its answers.
class Decoder {
  constructor() {
    this.waiting = new Map();
    this.queue = [];
    this.worker = new Worker(new URL("./decoder.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data: { id, answer, failed } }) => {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      this._next();
      if (answer) resolve(answer);
      else reject(failed.status ? new Refused(failed.status, failed.message) : new Unreachable(failed.message));
    };
    this.asked = 0;
  }

  ask(url, side) {
    const id = this.asked++;
    return new Promise((resolve, reject) => {
      this.queue.push({ message: { id, url: String(url), side }, resolve, reject });
      this._next();
    });
  }

  _next() {
    while (this.queue.length && this.waiting.size < AT_ONCE) {
      const { message, ...answer } = this.queue.shift();
      this.waiting.set(message.id, answer);
      this.worker.postMessage(message);
    }
  }
}

// A slice: Uint16 bits of HU, class values, and what the worker derived from them.
export class Plane {
  constructor({ rows, columns }, hu, mask, { number, classes, box, edges, tile }) {
    Object.assign(this, { number, rows, columns, hu, mask, classes, box, edges });
    if (tile) this.tile = { key: `${tile.side} false`, ...tile };
  }

  // The outline of each class as a path along the voxels' edges, in voxels.
  get outlines() {
    if (this._outlines) return this._outlines;
    this._outlines = new Map();
    for (const [value, pieces] of this.edges) {
      const path = new Path2D();
      for (let i = 0; i < pieces.length; i += 4) {
        path.moveTo(pieces[i], pieces[i + 1]);
        path.lineTo(pieces[i + 2], pieces[i + 3]);
      }
      this._outlines.set(value, path);
    }
    this.edges = null;
    return this._outlines;
  }
}

function planesOf({ header, hu, mask, planes }) {
  const size = header.rows * header.columns;
  return planes.map((plane, i) => new Plane(header, hu.subarray(i * size, (i + 1) * size), mask.subarray(i * size, (i + 1) * size), plane));
}

async function load(decoder, item, { which, proposal, side }, each) {
  for (let first = 0, total = 1; first < total; first += CHUNK) {
    const query = { case_id: item.case_id, proposal, which, first, count: CHUNK };
    const decoded = await decoder.ask(address("desk/pixels", query), side);
    total = decoded.header.total;
    if (each(decoded.header, planesOf(decoded)) === false) return;
  }
}

// The marked slices of proposals, by item; those not used for long are dropped and asked for again.
export class Shelf {
  // `side` gives the tiles' side in device pixels, once it is known: their samples are made ahead, too.
  constructor(side, limit = 600) {
    Object.assign(this, { side, limit });
    this.decoder = new Decoder();
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
      await load(this.decoder, item, { which: "marked", proposal: item.proposal, side: this.side() }, (header, more) => {
        planes.header = header;
        planes.push(...more);
      });
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

let volumes = null;

// All slices of a case, as they arrive. `changed` is called after each part; it returns false to stop.
export async function loadVolume(item, proposal, changed) {
  // A worker of its own: a volume of 30 MB does not hold up what comes next on the sheet.
  volumes ??= new Decoder();
  const volume = { planes: [], header: null, whole: false };
  await load(volumes, item, { which: "all", proposal }, (header, planes) => {
    volume.header ??= header;
    for (const plane of planes) volume.planes[plane.number] = plane;
    volume.whole = volume.planes.length === header.slices && !volume.planes.includes(undefined);
    return changed(volume);
  });
  return volume;
}
