// A worker: fetches slices and decodes the server's binary answer (server/desk/pixels.py), so that the page never waits for it.

import { cropOf, resample } from "./drawing.js";
import { fetchBytes } from "./requests.js";

const MAGIC = "DESK0001";

onmessage = async ({ data: { id, url, side } }) => {
  try {
    const answer = decode(await fetchBytes(url), side);
    const tiles = answer.planes.flatMap((plane) => (plane.tile ? [plane.tile.samples.buffer] : []));
    postMessage({ id, answer }, [answer.hu.buffer, answer.mask.buffer, ...tiles]);
  } catch (error) {
    postMessage({ id, failed: { status: error.status ?? null, message: error.message } });
  }
};

// Header, HU as bits of int16, class values, and what is derived of each slice: its classes, box and edges, and, where a
// side is given, the samples of its tile.
function decode(buffer, side) {
  const bytes = new Uint8Array(buffer);
  if (String.fromCharCode(...bytes.subarray(0, 8)) !== MAGIC) throw new Error("the server sent no slices; reload the page");
  const length = new DataView(buffer).getUint32(8, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(12, 12 + length)));
  const { rows, columns } = header;
  const size = rows * columns, voxels = header.numbers.length * size;
  const start = 12 + length;
  // Uint16 of the same bits: a lookup table takes them as its index.
  const hu = new Uint16Array(buffer, start, voxels);
  const after = start + voxels * 2 + ((4 - ((voxels * 2) % 4)) % 4);
  const runs = new Uint32Array(buffer, after, header.runs * 3);
  const mask = new Uint8Array(voxels);
  for (let i = 0; i < runs.length; i += 3) mask.fill(runs[i + 2], runs[i], runs[i] + runs[i + 1]);
  const boxes = boxesOf(runs, header);
  const planes = header.numbers.map((number, i) => {
    const { classes, box } = boxes[i];
    const plane = { number, rows, columns, hu: hu.subarray(i * size, (i + 1) * size), mask: mask.subarray(i * size, (i + 1) * size), box };
    const made = { number, classes: [...classes].sort((a, b) => a - b), box, edges: edgesOf(plane) };
    if (side) {
      const crop = cropOf(plane, false);
      made.tile = { side, crop, samples: resample(plane, crop, side, side, new Uint16Array(side * side)) };
    }
    return made;
  });
  return { header, hu, mask, planes };
}

// Of each slice the classes and the smallest box around its mask (null where it has none), from the runs alone.
function boxesOf(runs, { numbers, rows, columns }) {
  const size = rows * columns;
  const found = numbers.map(() => ({ classes: new Set(), top: rows, left: columns, bottom: -1, right: -1 }));
  for (let i = 0; i < runs.length; i += 3) {
    // A run goes on over the ends of rows, and of slices.
    for (let at = runs[i], end = at + runs[i + 1]; at < end;) {
      const slice = found[Math.floor(at / size)];
      const row = Math.floor((at % size) / columns), column = at % columns;
      const stop = Math.min(end, at + columns - column);
      slice.classes.add(runs[i + 2]);
      slice.top = Math.min(slice.top, row);
      slice.bottom = Math.max(slice.bottom, row);
      slice.left = Math.min(slice.left, column);
      slice.right = Math.max(slice.right, column + stop - at - 1);
      at = stop;
    }
  }
  return found.map(({ classes, top, left, bottom, right }) => ({
    classes, box: bottom < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 },
  }));
}

// The outline of each class along the voxels' edges, as pieces [x0, y0, x1, y1, ...] by class value.
function edgesOf({ rows, columns, mask, box }) {
  const edges = new Map();
  if (!box) return edges;
  const at = (row, column) => (row < 0 || column < 0 || row >= rows || column >= columns ? 0 : mask[row * columns + column]);
  for (let row = box.top; row < box.top + box.height; row++) {
    for (let column = box.left; column < box.left + box.width; column++) {
      const value = at(row, column);
      if (!value) continue;
      if (!edges.has(value)) edges.set(value, []);
      const pieces = edges.get(value);
      if (at(row - 1, column) !== value) pieces.push(column, row, column + 1, row);
      if (at(row + 1, column) !== value) pieces.push(column, row + 1, column + 1, row + 1);
      if (at(row, column - 1) !== value) pieces.push(column, row, column, row + 1);
      if (at(row, column + 1) !== value) pieces.push(column + 1, row, column + 1, row + 1);
    }
  }
  return edges;
}
