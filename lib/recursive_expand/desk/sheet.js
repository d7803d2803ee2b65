// The contact sheet: many marked slices on one canvas, a focusable tile over each.

import { contour, paint, tileSamples } from "./drawing.js";

const LARGEST = 228;
const SMALLEST = 132;
const GAP = 6;

export class Sheet {
  constructor(element, { shelf, display, classes, chosen, opened }) {
    this.element = element;
    this.canvas = element.querySelector("canvas");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.tiles = element.querySelector("#tiles");
    Object.assign(this, { shelf, display, classes, chosen, opened });
    this.items = [];
    this.cells = [];
    this.index = 0;
    this.zoomed = false;
    this.overlay = true;
    this.tiles.addEventListener("focusin", (event) => {
      const index = this.cells.findIndex((cell) => cell.button === event.target);
      if (index >= 0 && index !== this.index) this.focus(index);
    });
    this.tiles.addEventListener("dblclick", (event) => event.target.closest(".tile") && this.opened());
  }

  // Slices that fit at the largest size of a tile.
  get capacity() {
    const { columns, rows } = this._grid(LARGEST);
    return columns * rows;
  }

  _grid(side) {
    const width = this.element.clientWidth, height = this.element.clientHeight;
    return {
      columns: Math.max(1, Math.floor((width + GAP) / (side + GAP))),
      rows: Math.max(1, Math.floor((height + GAP) / (side + GAP))),
    };
  }

  // Show these items; all of their slices are decoded. The first undecided one, or `current`, is chosen.
  show(items, current) {
    this.items = items;
    this.layOut();
    const wanted = current ?? items.find((item) => !item.verdict && !item.lost) ?? items[0];
    this.focus(Math.max(0, this.cells.findIndex((cell) => cell.item === wanted)));
  }

  layOut() {
    const pairs = this.items.flatMap((item) => (this.shelf.ready(item) ?? []).map((plane) => ({ item, plane })));
    let side = LARGEST;
    let grid = this._grid(side);
    while (grid.columns * grid.rows < pairs.length && side > SMALLEST) {
      side -= 8;
      grid = this._grid(side);
    }
    // What is left over at the right goes to the tiles, as long as the rows still fit.
    const fits = Math.floor((this.element.clientWidth + GAP) / grid.columns) - GAP;
    const tall = Math.floor((this.element.clientHeight + GAP) / Math.ceil(pairs.length / grid.columns || 1)) - GAP;
    side = Math.max(side, Math.min(fits, tall));
    const rows = Math.ceil(pairs.length / grid.columns);
    const ratio = devicePixelRatio || 1;
    this.ratio = ratio;
    const width = this.element.clientWidth, height = Math.max(this.element.clientHeight, rows * (side + GAP) - GAP);
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const left = Math.max(0, Math.floor((width - grid.columns * (side + GAP) + GAP) / 2));
    const pixels = Math.round(side * ratio);
    this.cells = pairs.map(({ item, plane }, i) => {
      const x = left + (i % grid.columns) * (side + GAP), y = Math.floor(i / grid.columns) * (side + GAP);
      const image = new ImageData(pixels, pixels);
      return {
        item, plane, x: Math.round(x * ratio), y: Math.round(y * ratio), side: pixels, image,
        words: new Uint32Array(image.data.buffer), button: this._button(item, plane, x, y, side),
      };
    });
    this.tiles.replaceChildren(...this.cells.map((cell) => cell.button));
    this._sample();
    this.draw();
    for (const item of this.items) this.mark(item);
  }

  _button(item, plane, x, y, side) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "tile";
    button.tabIndex = -1;
    Object.assign(button.style, { left: `${x}px`, top: `${y}px`, width: `${side}px`, height: `${side}px` });
    const caption = document.createElement("span");
    caption.className = "caption";
    const labels = item.image_labels[plane.number] ?? item.image_labels.case;
    const said = labels === undefined ? "" : labels.length ? ` · said: ${labels.join(", ")}` : " · said: clean";
    const again = item.second_look ? " · second look" : "";
    caption.textContent = `${item.case_id} · ${plane.number + 1}${again}${said}`;
    const details = document.createElement("span");
    details.className = "unseen";
    const state = document.createElement("span");
    state.className = "state";
    button.append(caption, details, state);
    return button;
  }

  // Make the tiles' samples anew: after zooming, or for new tiles.
  _sample() {
    for (const cell of this.cells) {
      const { crop, samples } = tileSamples(cell.plane, cell.side, this.zoomed);
      Object.assign(cell, { crop, samples });
    }
  }

  draw() {
    const { context } = this;
    for (const cell of this.cells) {
      paint(cell.samples, this.display.table, cell.words);
      context.putImageData(cell.image, cell.x, cell.y);
      if (!this.overlay) continue;
      const scale = cell.side / cell.crop.width;
      context.save();
      context.beginPath();
      context.rect(cell.x, cell.y, cell.side, cell.side);
      context.clip();
      contour(context, cell.plane, cell.x - cell.crop.left * scale, cell.y - cell.crop.top * (cell.side / cell.crop.height), scale, cell.side / cell.crop.height, 1.5 * this.ratio);
      context.restore();
    }
  }

  setZoom(on) {
    this.zoomed = on;
    this._sample();
    this.draw();
  }

  setOverlay(on) {
    this.overlay = on;
    this.draw();
  }

  get current() {
    return this.cells[this.index];
  }

  // Whether `number` of items later comes one that waits; null where none on this sheet does.
  nextWaiting(item) {
    const at = this.items.indexOf(item);
    const order = [...this.items.slice(at + 1), ...this.items.slice(0, at)];
    return order.find((each) => !each.verdict && !each.lost) ?? null;
  }

  focusItem(item) {
    const index = this.cells.findIndex((cell) => cell.item === item);
    if (index >= 0) this.focus(index);
  }

  focus(index) {
    const before = this.cells[this.index];
    if (before) before.button.tabIndex = -1;
    this.index = index;
    const cell = this.cells[index];
    if (!cell) return;
    cell.button.tabIndex = 0;
    if (document.activeElement !== cell.button && !this.element.hidden) cell.button.focus({ preventScroll: true });
    const { offsetTop, offsetHeight } = cell.button;
    if (offsetTop < this.element.scrollTop || offsetTop + offsetHeight > this.element.scrollTop + this.element.clientHeight) {
      this.element.scrollTop = offsetTop;
    }
    for (const each of this.cells) each.button.classList.toggle("chosen", each.item === cell.item);
    this.chosen(cell);
  }

  // Move by arrows; up and down keep the column.
  move(key) {
    const cell = this.current;
    if (!cell) return;
    if (key === "ArrowLeft" || key === "ArrowRight") {
      const next = this.index + (key === "ArrowLeft" ? -1 : 1);
      if (next >= 0 && next < this.cells.length) this.focus(next);
      return;
    }
    if (key === "Home" || key === "End") return this.focus(key === "Home" ? 0 : this.cells.length - 1);
    const sameColumn = this.cells.map((each, i) => ({ each, i })).filter(({ each }) => each.x === cell.x);
    const at = sameColumn.findIndex(({ i }) => i === this.index);
    const next = sameColumn[at + (key === "ArrowUp" || key === "PageUp" ? -1 : 1)];
    if (next) this.focus(next.i);
  }

  // Write an item's state on its tiles.
  mark(item) {
    for (const cell of this.cells) {
      if (cell.item !== item) continue;
      const wrong = item.wrong.has(cell.plane.number);
      let word = item.lost ?? (item.verdict === "accept" ? (wrong ? "slice rejected" : "accepted") : item.verdict === "reject" ? "rejected" : wrong ? "slice wrong" : "");
      cell.button.dataset.state = item.lost ? "lost" : item.verdict === "accept" && wrong ? "reject" : item.verdict ?? (wrong ? "wrong" : "waiting");
      const sign = { accept: "✓ ", reject: "✗ ", wrong: "✗ " }[cell.button.dataset.state] ?? "";
      cell.button.querySelector(".state").textContent = word ? sign + word : "";
      const names = cell.plane.classes.map((value) => this.classes[value - 1] ?? `class ${value}`).join(", ");
      const place = cell.item.slices.indexOf(cell.plane.number) + 1;
      const waits = word ? "" : "waits for a verdict";
      cell.button.querySelector(".unseen").textContent = `: ${names || "nothing marked"}; slice ${place} of ${cell.item.slices.length}; ${waits}`;
    }
  }
}
