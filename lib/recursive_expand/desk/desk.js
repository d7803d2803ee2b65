// The review desk: the sheet, the case view, and what keys and buttons do to them.

import { CaseView } from "./case.js";
import { Clock } from "./clock.js";
import { colourOf } from "./drawing.js";
import { Feed } from "./feed.js";
import { makeId, now } from "./ids.js";
import { ACTIONS, Keys, shown } from "./keys.js";
import { Outbox } from "./outbox.js";
import { Shelf } from "./pixels.js";
import { ask, CLIENT } from "./requests.js";
import { Sheet } from "./sheet.js";
import { DisplayWindow, PRESETS } from "./window.js";

const $ = (id) => document.getElementById(id);
const READER = "recursive-desk-reader";
const SESSION = makeId();
const keys = new Keys();
const clock = new Clock();
const shelf = new Shelf(() => sheet?.current?.side);
const display = new DisplayWindow();
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("recursive-desk") : null;

let state, feed, outbox, sheet, caseView;
let sheets = [];
let shownSheet = -1;
let loading = false;
let painted = null;
let sheetPainted = null;
let position = 0;
let device = "mouse";
let overlay = true;
let zoomed = false;
const history = [];

// ---------------------------------------------------------------- start

async function begin() {
  state = await untilAnswered(() => ask("desk/state"));
  // Whoever is signed in judges in that name.
  const reviewer = state.reader || localStorage.getItem(READER) || (await askName());
  $("reader").textContent = reviewer;
  $("reader").disabled = Boolean(state.reader);
  display.set(state.window.level, state.window.width);
  $("title").textContent = state.title;
  document.title = `${state.title}: review desk`;
  feed = new Feed(shelf, reviewer);
  outbox = new Outbox({ refused: onRefused, counted: showUnsent });
  await outbox.start();
  const shared = { shelf, display, classes: state.classes };
  sheet = new Sheet($("sheet"), { ...shared, chosen: onChosen, opened: openCase });
  caseView = new CaseView($("case"), { ...shared, seen: (item, number) => clock.see(item, number) });
  fillControls();
  showState();
  listen();
  await Promise.all([nextSheet(), remember()]);
  setInterval(refreshState, 5000);
  setInterval(heartbeat, Math.min(60000, Math.max(2000, (state.lease_seconds * 1000) / 3)));
}

// What was judged before the page was opened: it can be undone, too.
async function remember() {
  history.unshift(...(await feed.given()));
  showState();
}

function askName() {
  return new Promise((resolve) => {
    const dialog = $("name-dialog");
    $("name").value = localStorage.getItem(READER) ?? "";
    dialog.onclose = () => {
      const name = $("name").value.trim();
      if (!name) return dialog.showModal();
      localStorage.setItem(READER, name);
      resolve(name);
    };
    dialog.showModal();
  });
}

async function untilAnswered(act) {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      say(`The server does not answer (${error.message}). Trying again.`);
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  }
}

// ---------------------------------------------------------------- sheets

// Go to the next sheet that has something to judge: one seen before, or a new one.
async function nextSheet() {
  const open = sheets.findIndex((items, i) => i !== shownSheet && items.some((item) => !item.verdict && !item.lost));
  if (open >= 0) return showSheet(open);
  if (feed.queue.length === 0) {
    if (loading) return;
    loading = true;
    try {
      await feed.fill();
    } catch {
      // Tried again below.
    }
    loading = false;
  }
  const items = takeSheet();
  if (items.length === 0) return showNothing();
  sheets.push(items);
  return showSheet(sheets.length - 1);
}

// Items for a sheet off the queue: as many as fit, at least one.
function takeSheet() {
  const items = [];
  let room = sheet.capacity;
  while (feed.queue.length && (items.length === 0 || feed.queue[0].slices.length <= room)) {
    const item = feed.queue.shift();
    if (item.lost || item.verdict) continue;
    room -= item.slices.length;
    items.push(item);
  }
  return items;
}

function showSheet(index, current) {
  shownSheet = index;
  const items = sheets[index];
  setMessage("");
  setPainted(null);
  if (items.every((item) => shelf.ready(item))) {
    drawSheet(items, current);
    return undefined;
  }
  setMessage("Loading");
  return loadSheet(index, current);
}

async function loadSheet(index, current) {
  const items = sheets[index];
  for (;;) {
    const telling = setInterval(tellFetched, 1000, index);
    const results = await Promise.allSettled(items.map((item) => shelf.get(item)));
    clearInterval(telling);
    if (shownSheet !== index) return;
    if (results.every((result) => result.status === "fulfilled")) break;
    for (const [i, result] of results.entries()) {
      // A refusal will not change; what is unreachable may come back.
      if (result.status === "rejected" && result.reason.status) items[i].lost = "not available";
    }
    sheets[index] = items.filter((item) => item.lost !== "not available");
    if (sheets[index].length !== items.length) return showSheet(index, current);
    const { reason } = results.find((result) => result.status === "rejected");
    setMessage(`Not there yet, tried again: ${reason.message}`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  setMessage("");
  drawSheet(items, current);
}

// How far the series are that the server has to fetch from the PACS first.
async function tellFetched(index) {
  const { fetching } = await ask("desk/state").catch(() => ({ fetching: [] }));
  const own = fetching.filter((each) => sheets[index].some((item) => item.case_id === each.case_id));
  if (!own.length || shownSheet !== index || $("message").hidden) return;
  const count = (name) => own.reduce((sum, each) => sum + each[name], 0);
  setMessage(`Loading: ${count("come")} of ${count("total")} images are here from the PACS`);
}

function drawSheet(items, current) {
  const open = !$("case").hidden;
  sheet.show(items, current);
  if (open) showInCase(sheet.current);
  afterPaint(() => {
    sheetPainted = now();
    leaseSheet();
    feed.fill().then(() => feed.decodeAhead(sheet.capacity)).catch(() => {});
  });
}

function showNothing() {
  shownSheet = -1;
  setPainted(null);
  clock.leave();
  sheet.show([]);
  closeCase();
  const words = state.state === "reviewing" && state.remaining > 0
    ? "All that waits is with other readers, or on its way. New proposals appear here by themselves."
    : `Nothing waits for a verdict: ${state.message}. New proposals appear here by themselves.`;
  setMessage(words);
}

// The item that is on the screen as the one to judge, or null: keys before that are ignored.
function setPainted(item) {
  painted = item;
  document.body.dataset.painted = item?.case_id ?? "";
}

// A tile was chosen: its item's clock starts once it is on the screen.
function onChosen(cell) {
  const { item } = cell;
  if (painted !== item) {
    setPainted(null);
    afterPaint(() => {
      if (sheet.current?.item !== item) return;
      clock.show(item);
      for (const each of sheet.cells) if (each.item === item) clock.see(item, each.plane.number);
      setPainted(item);
    });
  }
  showFocus();
}

function afterPaint(act) {
  // A hidden page paints nothing: its clock does not start.
  requestAnimationFrame(() => setTimeout(act, 0));
}

async function leaseSheet() {
  const index = shownSheet;
  // An undo on its way makes its case wait again first.
  if (outbox.reachable) await outbox.idle;
  const items = (sheets[index] ?? []).filter((item) => !item.verdict && !item.lost);
  const found = await feed.lease(items);
  if (!found) return;
  let lost = false;
  for (const item of items) {
    const hold = found[item.case_id];
    if (item.verdict || hold === "held" || hold === undefined || outbox.waiting) continue;
    item.lost = hold === "taken" ? "with another reader" : "decided meanwhile";
    lost = true;
    sheet.mark(item);
  }
  if (lost && index === shownSheet && sheet.current?.item.lost) advance(sheet.current.item);
}

function heartbeat() {
  if (!document.hidden) leaseSheet();
}

// ---------------------------------------------------------------- verdicts

function judge(verdict, reason = null) {
  const item = sheet.current?.item;
  if (!item || item !== painted) return undefined;
  if (item.lost) return say(`This one is ${item.lost}.`);
  if (item.verdict) return say(`Already ${item.verdict}ed; ${shown(keys.keyOf("undo"))} takes it back.`);
  give(item, verdict, { reason });
  return advance(item);
}

// Everything that waits on this sheet, each as a verdict of its own that says so.
function acceptAll() {
  const waiting = (sheets[shownSheet] ?? []).filter((item) => !item.verdict && !item.lost);
  if (!painted || !waiting.length) return;
  for (const item of waiting) {
    item.reading ??= clock.unread(sheetPainted);
    give(item, "accept", { bulk: true });
  }
  say(`${waiting.length} accepted.`);
  setPainted(null);
  nextSheet();
}

function give(item, verdict, { reason = null, bulk = false } = {}) {
  const wrong = verdict === "accept" ? [...item.wrong].sort((a, b) => a - b) : [];
  const id = makeId();
  const body = {
    id, case_id: item.case_id, proposal: item.proposal, verdict, rejected_slices: wrong, reason, reviewer: feed.reviewer, client: CLIENT,
    reading: {
      ...clock.facts(item), session: SESSION, seed: state.seed, position: position++, window_level: display.level, window_width: display.width,
      zoom: $("case").hidden ? zoomOf(sheet.current) : caseView.axial.zoom, view: $("case").hidden ? "sheet" : "case", input_device: device,
      client_version: state.version, bulk,
    },
  };
  item.verdict = wrong.length === item.slices.length && wrong.length ? "reject" : verdict;
  item.reason = reason;
  item.verdictId = id;
  history.push(item);
  state.remaining = Math.max(0, state.remaining - 1);
  sheet.mark(item);
  showState();
  // Behind the next picture: kept on this machine, then sent.
  outbox.add({ kind: "verdict", body }).catch(() => notice("This browser keeps no data: verdicts cannot be kept until they are sent."));
  channel?.postMessage({ kind: "verdict", key: item.key, verdict: item.verdict, id });
}

const zoomOf = (cell) => Math.max(cell.plane.rows, cell.plane.columns) / cell.crop.width;

function advance(item) {
  const next = sheet.nextWaiting(item);
  if (next) {
    sheet.focusItem(next);
    if (!$("case").hidden) showInCase(sheet.current);
    say(`${spoken(item)} Next: ${sheet.current.button.textContent}`);
    return;
  }
  say(spoken(item));
  setPainted(null);
  nextSheet();
}

const spoken = (item) => (item.verdict ? `${item.verdict === "accept" ? "Accepted" : "Rejected"}.` : "");

function undo() {
  const item = history.pop();
  if (!item) return say("There is nothing to undo in this session.");
  outbox.add({ kind: "undo", id: item.verdictId, reviewer: feed.reviewer });
  channel?.postMessage({ kind: "undo", key: item.key });
  reopen(item);
  const index = sheets.findIndex((items) => items.includes(item));
  if (index < 0) {
    // Judged before the page was opened.
    sheets.push([item]);
    showSheet(sheets.length - 1, item);
  } else if (index === shownSheet) {
    setPainted(null);
    sheet.focusItem(item);
    if (sheet.current?.item === item) onChosen(sheet.current);
    if (!$("case").hidden) showInCase(sheet.current);
    afterPaint(leaseSheet);
  } else showSheet(index, item);
  say(`Taken back: ${item.case_id}.`);
}

function reopen(item) {
  item.verdict = null;
  item.reason = null;
  item.lost = null;
  clock.forget(item);
  state.remaining += 1;
  sheet.mark(item);
  showState();
}

function toggleSlice() {
  const cell = sheet.current;
  if (!cell || cell.item.verdict || cell.item.lost) return;
  const number = $("case").hidden ? cell.plane.number : caseView.number;
  if (!cell.item.slices.includes(number)) return say("Nothing is marked on this slice.");
  if (!cell.item.wrong.delete(number)) cell.item.wrong.add(number);
  sheet.mark(cell.item);
  if (!$("case").hidden) caseView.draw();
  say(`Slice ${number + 1}: ${cell.item.wrong.has(number) ? "wrong" : "right again"}.`);
}

function onRefused(entry, sentence) {
  const id = entry.kind === "verdict" ? entry.body.id : entry.id;
  const item = [...feed.known.values()].find((each) => each.verdictId === id);
  if (item && entry.kind === "verdict") {
    const at = history.indexOf(item);
    if (at >= 0) history.splice(at, 1);
    item.verdict = null;
    item.lost = "not taken";
    sheet.mark(item);
  }
  notice(`Not taken${item ? ` (${item.case_id})` : ""}: ${sentence}`);
}

// Another tab of this reader judged something.
function onOtherTab({ data }) {
  const item = feed?.known.get(data.key);
  if (!item || !sheet) return;
  if (data.kind === "undo") {
    if (item.verdict || item.lost) reopen(item);
    return;
  }
  if (item.verdict) return;
  Object.assign(item, { verdict: data.verdict, verdictId: data.id });
  state.remaining = Math.max(0, state.remaining - 1);
  sheet.mark(item);
  showState();
  if (sheet.current?.item === item) advance(item);
}

// ---------------------------------------------------------------- the case

function openCase() {
  if (!sheet.current || !$("case").hidden) return;
  $("sheet").classList.add("behind");
  $("case").hidden = false;
  $("open").hidden = true;
  $("close").hidden = false;
  showInCase(sheet.current);
  $("axial").focus();
}

function showInCase(cell) {
  if (!cell) return;
  caseView.overlay = overlay;
  caseView.show(cell.item, cell.plane.number);
  if (zoomed) caseView.setZoom(true);
  showEarlier(cell.item);
}

function closeCase() {
  if ($("case").hidden) return;
  $("case").hidden = true;
  $("sheet").classList.remove("behind");
  $("open").hidden = false;
  $("close").hidden = true;
  sheet.current?.button.focus({ preventScroll: true });
}

// Earlier rounds' proposals, after one's own verdict: before, they would lead the eye.
async function showEarlier(item) {
  $("earlier-line").hidden = true;
  if (!item.verdict || outbox.waiting) return;
  const found = await ask("desk/earlier", { query: { case_id: item.case_id, reviewer: feed.reviewer } }).catch(() => []);
  if (caseView.item !== item || !found.length) return;
  const options = [{ round: item.round, proposal: item.proposal }, ...found];
  $("earlier").replaceChildren(...options.map((one) => new Option(`round ${one.round}`, one.proposal)));
  $("earlier").onchange = () => caseView.load($("earlier").value);
  $("earlier-line").hidden = false;
}

// ---------------------------------------------------------------- window, contours, zoom

function fillControls() {
  const own = { name: "Task", level: display.level, width: display.width };
  const known = PRESETS.some((preset) => preset.level === own.level && preset.width === own.width);
  const presets = known ? PRESETS : [own, ...PRESETS];
  $("window").replaceChildren(...presets.map((preset, i) => new Option(preset.name, i)), new Option("Own", "own"));
  $("window").presets = presets;
  $("window").value = presets.findIndex((preset) => preset.level === own.level && preset.width === own.width);
  const reasons = Object.entries(ACTIONS).filter(([, action]) => action.reason);
  $("reasons").replaceChildren(...reasons.map(([name, action]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "reason";
    button.title = action.text;
    button.append(`${action.short} `, Object.assign(document.createElement("kbd"), { textContent: shown(keys.keyOf(name)) }));
    button.querySelector("kbd").dataset.key = name;
    button.addEventListener("click", () => act(name));
    return button;
  }));
  $("legend").replaceChildren(...state.classes.map((name, i) => {
    const entry = document.createElement("span");
    const swatch = document.createElement("i");
    swatch.style.background = colourOf(i + 1);
    entry.append(swatch, name);
    return entry;
  }));
  $("accept-all").hidden = !state.bulk_accept;
  showKeys();
  showWindow();
}

function choosePreset(index) {
  const { presets } = $("window");
  const preset = presets[((index % presets.length) + presets.length) % presets.length];
  display.set(preset.level, preset.width);
  $("window").value = presets.indexOf(preset);
  redraw();
}

function redraw() {
  if ($("case").hidden) sheet.draw();
  else caseView.draw();
  showWindow();
}

function showWindow() {
  $("window-value").textContent = `${display.level} / ${display.width}`;
}

function setOverlay(on) {
  overlay = on;
  clock.setOverlay(on);
  $("overlay").setAttribute("aria-pressed", on);
  sheet.setOverlay(on);
  caseView.setOverlay(on);
}

function setZoom(on) {
  zoomed = on;
  $("zoom").setAttribute("aria-pressed", on);
  sheet.setZoom(on);
  if (!$("case").hidden) caseView.setZoom(on);
}

// ---------------------------------------------------------------- listening

function act(action) {
  if (action.startsWith("reason")) return judge("reject", ACTIONS[action].reason);
  const does = {
    accept: () => judge("accept"),
    reject: () => judge("reject"),
    slice: toggleSlice,
    undo,
    window: () => choosePreset(Number($("window").value === "own" ? -1 : $("window").value) + 1),
    zoom: () => setZoom(!zoomed),
    open: openCase,
    help: () => openHelp(),
  };
  return does[action]?.();
}

function listen() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("keyup", (event) => {
    if (heldOverlay && event.key.toLowerCase() === heldOverlay) {
      heldOverlay = null;
      setOverlay(true);
    }
  });
  for (const action of ["accept", "reject", "undo", "zoom", "open"]) $(action).addEventListener("click", () => act(action));
  $("slice-wrong").addEventListener("click", toggleSlice);
  $("accept-all").addEventListener("click", acceptAll);
  $("overlay").addEventListener("click", () => setOverlay(!overlay));
  $("close").addEventListener("click", closeCase);
  $("help").addEventListener("click", openHelp);
  $("window").addEventListener("change", () => $("window").value !== "own" && choosePreset(Number($("window").value)));
  $("reader").addEventListener("click", async () => {
    await askName();
    feed.release();
    location.reload();
  });
  for (const element of [$("sheet"), $("axial")]) listenToDrags(element);
  addEventListener("pointerdown", (event) => {
    device = event.pointerType === "touch" ? "touch" : "mouse";
    clock.input();
  }, true);
  let resizing;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => {
      const current = sheet.current;
      sheet.layOut();
      if (current) sheet.focus(Math.max(0, sheet.cells.findIndex((cell) => cell.item === current.item && cell.plane === current.plane)));
      if (!$("case").hidden) caseView.draw();
    }, 120);
  });
  addEventListener("pagehide", () => feed.release());
  addEventListener("pageshow", (event) => event.persisted && leaseSheet());
  channel?.addEventListener("message", onOtherTab);
}

let heldOverlay = null;

function onKey(event) {
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && !$("case").hidden) return closeCase();
  const action = keys.actionOf(event);
  const arrows = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown"];
  const typing = event.target instanceof Element && event.target.closest("select, input, textarea");
  if (!action && (!arrows.includes(event.key) || typing || event.ctrlKey || event.altKey || event.metaKey)) return;
  event.preventDefault();
  device = "keyboard";
  if (!action) {
    clock.input();
    if ($("case").hidden) sheet.move(event.key);
    else caseView.move(event.key);
    return;
  }
  // A key that is held down judges once.
  if (event.repeat) return;
  if (action === "overlay") {
    heldOverlay = event.key.toLowerCase();
    clock.input();
    return setOverlay(false);
  }
  const verdict = action === "accept" || action === "reject" || action.startsWith("reason");
  if (!verdict) clock.input();
  act(action);
}

// A drag changes the window: no request, one drawing a frame. In a case, with Shift or the middle button, it pans.
function listenToDrags(element) {
  let start = null, frame = null, last = null;
  element.addEventListener("pointerdown", (event) => {
    if (event.button > 1) return;
    start = { x: event.clientX, y: event.clientY, level: display.level, width: display.width, pans: element.id === "axial" && (event.shiftKey || event.button === 1) };
    last = event;
    caseView.dragged = false;
  });
  addEventListener("pointermove", (event) => {
    if (!start) return;
    if (!caseView.dragged && Math.hypot(event.clientX - start.x, event.clientY - start.y) < 4) return;
    caseView.dragged = true;
    if (start.pans) {
      caseView.pan(event.clientX - last.clientX, event.clientY - last.clientY);
      last = event;
      return;
    }
    last = event;
    frame ??= requestAnimationFrame(() => {
      frame = null;
      if (!start) return;
      display.drag(start, last.clientX - start.x, last.clientY - start.y);
      $("window").value = "own";
      redraw();
    });
  });
  addEventListener("pointerup", () => {
    start = null;
  });
}

// ---------------------------------------------------------------- what is shown beside

function showState() {
  $("round").textContent = state.round === null ? "" : `Round ${state.round} · ${state.state.replaceAll("_", " ")}`;
  $("remaining").textContent = state.state === "reviewing" ? `${state.remaining} to judge` : "";
  $("undo").disabled = history.length === 0;
}

async function refreshState() {
  try {
    const unsent = outbox.waiting;
    const found = await ask("desk/state");
    if (!unsent && !outbox.waiting) state = found;
    else state = { ...found, remaining: state.remaining };
    showState();
  } catch {
    return;
  }
  if (shownSheet < 0) await nextSheet();
}

function showFocus() {
  const item = sheet.current?.item;
  const waits = item && !item.verdict && !item.lost;
  for (const id of ["accept", "reject", "slice-wrong"]) $(id).disabled = !waits;
  for (const button of $("reasons").children) button.disabled = !waits;
}

function showUnsent(count, reachable) {
  const line = $("unsent");
  document.body.dataset.unsent = count;
  line.hidden = reachable || count === 0;
  line.textContent = `The server does not answer: ${count} ${count === 1 ? "verdict is" : "verdicts are"} kept here and sent once it does. Read on.`;
}

function setMessage(text) {
  $("message").hidden = !text;
  $("message").textContent = text;
}

function say(text) {
  if (text) $("live").textContent = text;
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = false;
  clearTimeout(notice.timer);
  notice.timer = setTimeout(() => {
    $("notice").hidden = true;
  }, 12000);
}

// ---------------------------------------------------------------- help and keys

function openHelp() {
  $("keys-on").checked = keys.on;
  $("keys-on").onchange = () => {
    keys.on = $("keys-on").checked;
    keys.save();
    showKeys();
  };
  $("keys-reset").onclick = () => {
    keys.reset();
    $("keys-on").checked = true;
    listKeys();
    showKeys();
  };
  $("keys-note").textContent = "";
  listKeys();
  $("help-dialog").showModal();
}

function listKeys() {
  $("keys").replaceChildren(...Object.entries(ACTIONS).map(([name, action]) => {
    const row = document.createElement("tr");
    const [text, key, change] = ["td", "td", "td"].map((tag) => document.createElement(tag));
    text.textContent = action.text;
    key.append(Object.assign(document.createElement("kbd"), { textContent: shown(keys.keyOf(name)) }));
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Change" });
    button.setAttribute("aria-label", `Change the key of: ${action.text}`);
    button.onclick = () => listenForKey(name, button);
    change.append(button);
    row.append(text, key, change);
    return row;
  }));
}

function listenForKey(name, button) {
  button.textContent = "Press a key";
  const take = (event) => {
    event.preventDefault();
    event.stopPropagation();
    removeEventListener("keydown", take, true);
    $("keys-note").textContent = event.key === "Escape" ? "Not changed." : (keys.change(name, event) ?? "Changed.");
    listKeys();
    showKeys();
    $("keys").rows[Object.keys(ACTIONS).indexOf(name)].querySelector("button").focus();
  };
  addEventListener("keydown", take, true);
}

function showKeys() {
  for (const element of document.querySelectorAll("kbd[data-key]")) {
    const key = keys.keyOf(element.dataset.key);
    element.textContent = shown(key);
    element.hidden = !keys.on && key.length === 1;
  }
}

begin();
