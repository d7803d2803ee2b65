// Slices onto a canvas: resampled once, windowed through a table, contours on top.

// Bright on black, told apart also by readers who do not see red and green (after Okabe and Ito).
export const COLOURS = ["#e69f00", "#56b4e9", "#2ee6a8", "#f0e442", "#ff6fae", "#c9a3ff", "#ff8a5c", "#9be564"];

export const colourOf = (value) => COLOURS[(value - 1) % COLOURS.length];

// The part of a slice that a tile shows: all of it, or a square around its mask.
export function cropOf(plane, zoomed) {
  const whole = { left: 0, top: 0, width: plane.columns, height: plane.rows };
  if (!zoomed || !plane.box) return whole;
  const { left, top, width, height } = plane.box;
  const side = Math.min(Math.max(plane.rows, plane.columns), Math.max(width, height) * 1.8 + 12, Math.max(plane.rows, plane.columns));
  return { left: left + width / 2 - side / 2, top: top + height / 2 - side / 2, width: side, height: side };
}

// Bilinear samples of a slice's crop, as bits of int16; what lies outside is air. (width, height in device pixels.)
export function resample(plane, crop, width, height, into) {
  const { hu, rows, columns } = plane;
  const signed = new Int16Array(hu.buffer, hu.byteOffset, hu.length);
  const stepX = crop.width / width, stepY = crop.height / height;
  for (let y = 0, at = 0; y < height; y++) {
    const sy = crop.top + (y + 0.5) * stepY - 0.5;
    const y0 = Math.floor(sy), fy = sy - y0;
    const inside = y0 >= -1 && y0 < rows;
    const upper = Math.min(rows - 1, Math.max(0, y0)) * columns, lower = Math.min(rows - 1, Math.max(0, y0 + 1)) * columns;
    for (let x = 0; x < width; x++, at++) {
      const sx = crop.left + (x + 0.5) * stepX - 0.5;
      const x0 = Math.floor(sx), fx = sx - x0;
      if (!inside || x0 < -1 || x0 >= columns) { into[at] = -1024 & 0xffff; continue; }
      const a = x0 < 0 ? 0 : x0, b = x0 + 1 < columns ? x0 + 1 : columns - 1;
      const above = signed[upper + a] * (1 - fx) + signed[upper + b] * fx;
      const below = signed[lower + a] * (1 - fx) + signed[lower + b] * fx;
      into[at] = (above * (1 - fy) + below * fy) & 0xffff;
    }
  }
  return into;
}

// The samples of a slice in a square tile, made once for its size and crop; the newest are kept with the slice.
export function tileSamples(plane, side, zoomed) {
  const key = `${side} ${zoomed}`;
  if (plane.tile?.key !== key) {
    const crop = cropOf(plane, zoomed);
    plane.tile = { key, crop, samples: resample(plane, crop, side, side, new Uint16Array(side * side)) };
  }
  return plane.tile;
}

export function paint(samples, table, pixels) {
  for (let i = 0; i < samples.length; i++) pixels[i] = table[samples[i]];
}

// Contours of a slice; `scaleX` and `scaleY` are device pixels per voxel, x and y where voxel 0, 0 begins.
export function contour(context, plane, x, y, scaleX, scaleY, thickness) {
  context.save();
  context.translate(x, y);
  context.scale(scaleX, scaleY);
  context.lineCap = "square";
  for (const [value, path] of plane.outlines) {
    // A dark line below: bright colours are lost on bone.
    context.lineWidth = (thickness * 2) / Math.max(scaleX, scaleY);
    context.strokeStyle = "rgba(0, 0, 0, 0.55)";
    context.stroke(path);
    context.lineWidth = thickness / Math.max(scaleX, scaleY);
    context.strokeStyle = colourOf(value);
    context.stroke(path);
  }
  context.restore();
}
