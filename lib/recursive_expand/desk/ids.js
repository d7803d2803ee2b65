// Ids that the page makes. crypto.randomUUID is missing where a hospital serves plain HTTP; random bytes are not.

export function makeId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Seconds since the epoch, to a fraction of a millisecond, and never running backwards within a page.
export function now() {
  return (performance.timeOrigin + performance.now()) / 1000;
}
