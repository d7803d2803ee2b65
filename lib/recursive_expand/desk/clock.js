// How long each item was looked at, and how.

import { now } from "./ids.js";

export class Clock {
  constructor() {
    this.current = null;
    this.since = null;
    this.overlay = true;
    document.addEventListener("visibilitychange", () => this._count());
  }

  // The item was drawn as the one to judge: from now on its time counts.
  show(item) {
    this._count();
    item.reading ??= { firstPaint: now(), firstInput: null, visible: 0, overlayOff: 0, seen: new Set() };
    this.current = item;
    this.since = now();
  }

  // What is known of an item that was on the screen since then, but never the one to judge.
  unread(firstPaint) {
    return { firstPaint, firstInput: null, visible: now() - firstPaint, overlayOff: 0, seen: new Set() };
  }

  // An item is shown again after an undo: it is read anew.
  forget(item) {
    item.reading = undefined;
    if (this.current === item) this.current = null;
  }

  leave() {
    this._count();
    this.current = null;
  }

  see(item, number) {
    item.reading?.seen.add(number);
  }

  input() {
    if (this.current?.reading) this.current.reading.firstInput ??= now();
  }

  setOverlay(on) {
    this._count();
    this.overlay = on;
  }

  facts(item) {
    this._count();
    const { firstPaint, firstInput, visible, overlayOff, seen } = item.reading;
    return {
      first_paint: firstPaint,
      first_input: firstInput,
      decided: now(),
      visible_seconds: visible,
      overlay_off_seconds: overlayOff,
      slices_seen: [...seen].sort((a, b) => a - b),
      overlay: this.overlay,
    };
  }

  _count() {
    const at = now();
    if (this.current?.reading && this.since !== null && !this._hidden) {
      this.current.reading.visible += at - this.since;
      if (!this.overlay) this.current.reading.overlayOff += at - this.since;
    }
    this._hidden = document.hidden;
    this.since = at;
  }
}
