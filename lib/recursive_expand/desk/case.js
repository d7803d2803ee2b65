// One case: all of its slices with scroll, zoom and pan, and coronal and sagittal sections of the same voxels.

import { colourOf, contour, paint } from "./drawing.js";
import { loadVolume } from "./pixels.js";

class Pane {
  constructor(element) {
    this.element = element;
    this.canvas = element.querySelector("canvas");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.caption = element.querySelector(".caption");
    this.buffer = document.createElement("canvas");
    this.reset();
  }

  reset() {
    this.zoom = 1;
    this.panX = 0;
    this.panY = 0;
  }

  // Draw voxels (bits of HU, `height` rows of `width`) whose rows are `aspect` times as high as wide.
  draw(samples, width, height, aspect, table, over) {
    const ratio = devicePixelRatio || 1;
    const w = Math.round(this.element.clientWidth * ratio), h = Math.round(this.element.clientHeight * ratio);
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, { width: w, height: h });
    if (this.buffer.width !== width || this.buffer.height !== height) {
      Object.assign(this.buffer, { width, height });
      this.image = new ImageData(width, height);
      this.words = new Uint32Array(this.image.data.buffer);
    }
    paint(samples, table, this.words);
    this.buffer.getContext("2d").putImageData(this.image, 0, 0);
    const fit = Math.min(w / width, h / (height * aspect)) * this.zoom;
    const left = (w - width * fit) / 2 + this.panX * ratio, top = (h - height * aspect * fit) / 2 + this.panY * ratio;
    const { context } = this;
    context.fillStyle = "#000";
    context.fillRect(0, 0, w, h);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.buffer, left, top, width * fit, height * aspect * fit);
    this.shown = { left, top, scaleX: fit, scaleY: fit * aspect, ratio };
    over?.(context, this.shown);
  }

  // Where a pointer is, in voxels.
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const { left, top, scaleX, scaleY, ratio } = this.shown;
    return { x: ((event.clientX - box.left) * ratio - left) / scaleX, y: ((event.clientY - box.top) * ratio - top) / scaleY };
  }
}

export class CaseView {
  constructor(element, { shelf, display, classes, seen }) {
    Object.assign(this, { element, shelf, display, classes, seen });
    this.axial = new Pane(element.querySelector("#axial"));
    this.coronal = new Pane(element.querySelector("#coronal"));
    this.sagittal = new Pane(element.querySelector("#sagittal"));
    this.slider = element.querySelector("#slice");
    this.facts = element.querySelector("#case-facts");
    this.overlay = true;
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    this.axial.element.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
    for (const pane of [this.coronal, this.sagittal]) {
      pane.element.addEventListener("click", (event) => {
        if (!pane.shown || !this.volume?.header) return;
        const y = Math.floor(pane.at(event).y);
        this.go(this._up ? this.total - 1 - y : y);
      });
    }
    this.axial.element.addEventListener("click", (event) => {
      if (this.dragged || !this.axial.shown) return;
      const { x, y } = this.axial.at(event);
      Object.assign(this, { column: Math.floor(x), row: Math.floor(y) });
      this.draw();
    });
  }

  // Show an item: its marked slices at once, the others as they come.
  show(item, number) {
    this.item = item;
    const planes = this.shelf.ready(item);
    const header = planes.header;
    this.volume = { header, planes: [], whole: false };
    for (const plane of planes) this.volume.planes[plane.number] = plane;
    this.total = header.slices;
    this._up = header.superior_last;
    this.slider.max = this.total - 1;
    this.axial.reset();
    const box = planes[0]?.box;
    this.row = box ? Math.round(box.top + box.height / 2) : header.rows >> 1;
    this.column = box ? Math.round(box.left + box.width / 2) : header.columns >> 1;
    this.go(number ?? planes[0]?.number ?? 0);
    this.load(item.proposal);
  }

  load(proposal) {
    const item = this.item;
    loadVolume(item, proposal, (volume) => {
      if (this.item !== item || this.element.hidden) return false;
      if (proposal === item.proposal) for (const plane of this.shelf.ready(item) ?? []) volume.planes[plane.number] = plane;
      this.volume = volume;
      this.draw();
      return true;
    }).catch(() => {});
  }

  get plane() {
    return this.volume?.planes[this.number];
  }

  go(number) {
    this.number = Math.min(this.total - 1, Math.max(0, number));
    this.slider.value = this.number;
    this.draw();
    if (this.plane) this.seen(this.item, this.number);
  }

  // Arrows: up and down to the neighbour, left and right to the next marked slice.
  move(key) {
    const step = { ArrowUp: 1, ArrowDown: -1, PageUp: 5, PageDown: -5 }[key];
    if (step) return this.go(this.number + step);
    if (key === "Home" || key === "End") return this.go(key === "Home" ? 0 : this.total - 1);
    const marked = this.item.slices;
    const next = key === "ArrowRight" ? marked.find((each) => each > this.number) : marked.findLast((each) => each < this.number);
    if (next !== undefined) this.go(next);
  }

  zoomBy(factor) {
    this.axial.zoom = Math.min(12, Math.max(0.5, this.axial.zoom * factor));
    this.draw();
  }

  // Zoom to the mask, or back.
  setZoom(on) {
    this.axial.reset();
    const box = this.plane?.box;
    if (on && box) {
      const { rows, columns } = this.plane;
      const { clientWidth, clientHeight } = this.axial.element;
      const fit = Math.min(clientWidth / columns, clientHeight / rows);
      this.axial.zoom = Math.min(12, Math.max(1, Math.min(rows, columns) / (Math.max(box.width, box.height) * 1.8 + 12)));
      this.axial.panX = (columns / 2 - box.left - box.width / 2) * fit * this.axial.zoom;
      this.axial.panY = (rows / 2 - box.top - box.height / 2) * fit * this.axial.zoom;
    }
    this.draw();
  }

  pan(across, down) {
    this.axial.panX += across;
    this.axial.panY += down;
    this.draw();
  }

  setOverlay(on) {
    this.overlay = on;
    this.draw();
  }

  _wheel(event) {
    event.preventDefault();
    if (event.ctrlKey) this.zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15);
    else this.go(this.number + (event.deltaY < 0 ? 1 : -1));
  }

  draw() {
    if (this.element.hidden || !this.volume?.header) return;
    const { header } = this.volume;
    const { rows, columns } = header;
    const [between, rowSpacing, columnSpacing] = header.spacing;
    const { table } = this.display;
    const plane = this.plane;
    const samples = plane?.hu ?? new Uint16Array(rows * columns).fill(-1024 & 0xffff);
    this.axial.draw(samples, columns, rows, rowSpacing / columnSpacing, table, (context, { left, top, scaleX, scaleY, ratio }) => {
      if (plane && this.overlay) contour(context, plane, left, top, scaleX, scaleY, 1.75 * ratio);
    });
    const wrong = this.item.wrong.has(this.number) ? " · slice wrong" : "";
    const again = this.item.second_look ? " · second look" : "";
    const marked = plane?.classes.map((value) => this.classes[value - 1]).join(", ");
    const said = this.item.image_labels[this.number] ?? this.item.image_labels.case;
    const labels = said === undefined ? "" : ` · said: ${said.join(", ") || "clean"}`;
    this.axial.caption.textContent = `${this.item.case_id} · slice ${this.number + 1} of ${this.total}${again}${marked ? ` · ${marked}` : ""}${labels}${wrong}${plane ? "" : " · loading"}`;
    this.axial.element.setAttribute("aria-label", `Axial, ${this.axial.caption.textContent}`);
    this._section(this.coronal, columns, between / columnSpacing, (p, x) => this.row * columns + x);
    this._section(this.sagittal, rows, between / rowSpacing, (p, x) => x * columns + this.column);
    const state = this.item.verdict ? `You judged this proposal: ${this.item.verdict}${this.item.reason ? ` (${this.item.reason.replaceAll("_", " ")})` : ""}.` : "";
    const loaded = this.volume.whole ? "" : ` ${this.volume.planes.filter(Boolean).length} of ${this.total} slices loaded.`;
    this.facts.textContent = `Marked: ${this.item.slices.map((number) => number + 1).join(", ")}. ${state}${loaded}`;
  }

  // A section across the slices; `index` says which voxel of a slice is at x.
  _section(pane, width, aspect, index) {
    const height = this.total;
    const samples = new Uint16Array(width * height).fill(-1024 & 0xffff);
    const spots = [];
    for (let y = 0; y < height; y++) {
      const plane = this.volume.planes[this._up ? height - 1 - y : y];
      if (!plane) continue;
      for (let x = 0; x < width; x++) {
        const at = index(plane, x);
        samples[y * width + x] = plane.hu[at];
        if (plane.mask[at]) spots.push([x, y, plane.mask[at]]);
      }
    }
    const line = this._up ? height - 1 - this.number : this.number;
    pane.draw(samples, width, height, aspect, this.display.table, (context, { left, top, scaleX, scaleY }) => {
      if (this.overlay) {
        context.globalAlpha = 0.45;
        for (const [x, y, value] of spots) {
          context.fillStyle = colourOf(value);
          context.fillRect(left + x * scaleX, top + y * scaleY, scaleX, scaleY);
        }
        context.globalAlpha = 1;
      }
      context.strokeStyle = "#7fb2ff";
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(0, top + (line + 0.5) * scaleY);
      context.lineTo(pane.canvas.width, top + (line + 0.5) * scaleY);
      context.stroke();
    });
  }
}
