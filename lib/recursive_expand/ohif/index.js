// OHIF's run-time extension: proposals of the recursion, judged in OHIF. Loaded by /ohif/app-config.js; see clients/ohif/README.md.

import { BUTTONS, Toolbar } from "./toolbar.js";
import { Review } from "./review.js";
import { Viewer } from "./viewer.js";
import { Words } from "./words.js";

const ID = "recursive-expand";
const KEYS = { A: "accept", X: "reject", U: "undo" };
let review;

// Only with Shift, which none of OHIF's own keys needs; a key that is held down acts once.
function onKey(event) {
  const action = KEYS[event.key.toUpperCase()];
  const { target } = event;
  const typing = target instanceof Element && target.closest("input, textarea, select, [contenteditable], dialog");
  if (!action || !event.shiftKey || event.ctrlKey || event.metaKey || event.altKey || typing) return;
  event.preventDefault();
  event.stopPropagation();
  if (!event.repeat) review.act(action, "keyboard");
}

export default {
  id: ID,

  preRegistration({ servicesManager }) {
    const words = new Words();
    const toolbar = new Toolbar(servicesManager, (action) => review.act(action, "mouse"));
    review = new Review(new Viewer(servicesManager), toolbar, words);
    words.onNext = () => review.act("next", "mouse");
    document.addEventListener("keydown", onKey, true);
    review.begin();
  },

  onModeEnter() {
    review.toolbar.add();
  },

  getCommandsModule() {
    const definitions = Object.fromEntries(
      BUTTONS.filter(({ action }) => action).map(({ id, action }) => [id, { commandFn: () => review.act(action, "mouse") }]),
    );
    return { definitions, defaultContext: "DEFAULT" };
  },
};
