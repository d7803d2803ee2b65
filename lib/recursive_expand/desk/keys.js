// Keys: what each does, what the reader made of it, and when none is listened to.

export const ACTIONS = {
  accept: { text: "Accept the proposal", key: "a" },
  reject: { text: "Reject it", key: "r" },
  reason1: { text: "Reject: bone or calcification", key: "1", reason: "bone_or_calcification", short: "Bone, calcification" },
  reason2: { text: "Reject: artefact", key: "2", reason: "artefact", short: "Artefact" },
  reason3: { text: "Reject: wrong class", key: "3", reason: "wrong_class", short: "Wrong class" },
  reason4: { text: "Reject: misses most of the bleed", key: "4", reason: "misses_most", short: "Misses most" },
  reason5: { text: "Reject: not sure", key: "5", reason: "not_sure", short: "Not sure" },
  reason6: { text: "Reject: other", key: "6", reason: "other", short: "Other" },
  slice: { text: "This slice is wrong (accept then takes the others)", key: "s" },
  undo: { text: "Undo, as often as you like while the round is open", key: "u" },
  window: { text: "Next window", key: "w" },
  overlay: { text: "Hide the contours while held", key: "o" },
  zoom: { text: "Zoom to the mask", key: "z" },
  open: { text: "Open the case; back to the sheet with Escape", key: "Enter" },
  help: { text: "These keys", key: "?" },
};
const FIXED = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Escape", "Tab", "Home", "End", "PageUp", "PageDown"];
const SAVED = "recursive-desk-keys";

export const shown = (key) => (key === " " ? "Space" : key.length === 1 ? key.toUpperCase() : key);

export class Keys {
  constructor() {
    const saved = JSON.parse(localStorage.getItem(SAVED) ?? "{}");
    this.on = saved.on ?? true;
    this.changed = saved.changed ?? {};
  }

  keyOf(action) {
    return this.changed[action] ?? ACTIONS[action].key;
  }

  // The action of a key event, or null where it is not for us.
  actionOf(event) {
    const target = event.target;
    const typing = target instanceof Element && target.closest("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable], dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return null;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const found = Object.keys(ACTIONS).find((action) => this.keyOf(action) === key);
    if (!found || (!this.on && key.length === 1)) return null;
    // A focused button or link does what it says.
    if (key === "Enter" && target instanceof Element && target.closest("button:not(.tile), a")) return null;
    return found;
  }

  // Give an action another key. Returns why not, or null.
  change(action, event) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (FIXED.includes(key) || ["Shift", "Control", "Alt", "Meta"].includes(key)) return `${shown(key)} cannot be used`;
    const other = Object.keys(ACTIONS).find((each) => each !== action && this.keyOf(each) === key);
    if (other) return `${shown(key)} is taken: ${ACTIONS[other].text}`;
    this.changed[action] = key;
    this.save();
    return null;
  }

  reset() {
    this.changed = {};
    this.on = true;
    this.save();
  }

  save() {
    localStorage.setItem(SAVED, JSON.stringify({ on: this.on, changed: this.changed }));
  }
}
