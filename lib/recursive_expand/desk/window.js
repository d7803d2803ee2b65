// Display windows: presets, dragging, and the table that turns HU into grey without arithmetic per voxel.

export const PRESETS = [
  { name: "Brain", level: 40, width: 80 },
  { name: "Subdural", level: 80, width: 200 },
  { name: "Stroke", level: 32, width: 8 },
  { name: "Bone", level: 600, width: 2800 },
];

export class DisplayWindow {
  constructor(level = 40, width = 80) {
    this.table = new Uint32Array(65536);
    this.set(level, width);
  }

  // Fill the table: index is the bits of an int16 HU, value an RGBA pixel (little-endian).
  set(level, width) {
    this.level = Math.round(Math.min(3000, Math.max(-1000, level)));
    this.width = Math.round(Math.min(6000, Math.max(2, width)));
    const low = this.level - this.width / 2;
    const scale = 255 / this.width;
    for (let hu = -32768; hu < 32768; hu++) {
      const grey = Math.min(255, Math.max(0, Math.round((hu - low) * scale)));
      this.table[hu & 0xffff] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
  }

  // From a drag: across for the width, up and down for the level.
  drag(start, across, down) {
    const step = Math.max(0.25, start.width / 250);
    this.set(start.level - down * step, start.width + across * step);
  }
}
