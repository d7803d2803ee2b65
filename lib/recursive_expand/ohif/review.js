// The review: which proposal is on the screen, what the reader says of it, and what is taken back.

import { Clock } from "../../review/files/clock.js";
import { colourOf } from "../../review/files/drawing.js";
import { Feed } from "../../review/files/feed.js";
import { makeId } from "../../review/files/ids.js";
import { ACTIONS } from "../../review/files/keys.js";
import { Outbox } from "../../review/files/outbox.js";
import { actAs, ask, CLIENT, Refused } from "../../review/files/requests.js";
import { NotShown } from "./viewer.js";

const READER = "recursive-desk-reader";
const SECONDS_BETWEEN_STATES = 5;
const SECONDS_WHILE_NOTHING_WAITS = 1;
const SECONDS_BETWEEN_LOOKS = 0.25;
const REASONS = Object.values(ACTIONS).filter((action) => action.reason).map(({ reason, text }) => [reason, text.replace("Reject: ", "")]);

// What a refusal means that comes before any question of which proposal; "" for others.
function denial(error) {
  if (error.status === 401) return "You are not signed in: sign in, then reload this page";
  if (error.status === 403) return `You may not do this here (${error.message})`;
  return "";
}

export class Review {
  constructor(viewer, toolbar, words) {
    Object.assign(this, { viewer, toolbar, words });
    this.session = makeId();
    this.clock = new Clock();
    this.history = [];
    this.position = 0;
    this.state = null;
    this.item = null;
    this.painted = null;
    // Why the server lets this reader do nothing, and whether nothing waited for them when they last asked.
    this.denied = "";
    this.idle = false;
  }

  begin() {
    actAs("ohif");
    this.outbox = new Outbox({
      refused: (entry, sentence) => this._onRefused(entry, sentence),
      counted: (waiting, reachable) => {
        document.body.dataset.unsent = waiting;
        if (!reachable && waiting) this.words.say(`The server does not answer: ${waiting} kept here and sent once it does. Read on.`, { stays: true });
        else if (reachable && this.wasAway) this.words.say("The server answers again.");
        this.wasAway = !reachable;
      },
    });
    this.started = this.outbox.start();
    this._follow();
    addEventListener("pagehide", () => this.feed?.release());
    setInterval(() => this._look(), SECONDS_BETWEEN_LOOKS * 1000);
  }

  async act(action, device) {
    this.device = device;
    if (action === "next") return this._alone(() => this._next());
    if (action === "undo") return this._alone(() => this._undo());
    this._look();
    // Keys before the proposal is on the screen are ignored.
    if (!this.painted || this.asking) return undefined;
    if (action === "slice") return this._toggleSlice();
    if (action === "accept") return this._alone(() => this._judge("accept"));
    this.asking = true;
    const reason = await this.words.askReason(REASONS);
    this.asking = false;
    if (reason === null) return undefined;
    return this._alone(() => this._judge("reject", reason || null));
  }

  // One thing after the other: what comes in between is ignored.
  async _alone(act) {
    if (this.busy) return;
    this.busy = true;
    try {
      await this.started;
      if (await this._known()) await act();
    } catch (error) {
      const said = error instanceof NotShown || error instanceof Refused;
      this.words.say(said ? denial(error) || error.message : `This did not work (${error.message}). Try again.`);
      if (!said) console.error(error);
    } finally {
      this.busy = false;
      this._tell();
    }
  }

  // Whether the reader may judge, and who it is: whoever is signed in, else a name that is asked for once a browser.
  async _known() {
    if (!this.state?.may_judge) this.state = await ask("desk/state");
    const { reader, may_judge } = this.state;
    if (!may_judge) {
      this.words.say(`You are signed in as ${reader}, who may look at the studies and judge none.`, { stays: true });
      return false;
    }
    if (!this.feed) {
      const name = reader || localStorage.getItem(READER) || (await this.words.askName());
      if (!reader) localStorage.setItem(READER, name);
      this.feed = new Feed(null, name);
      this.history = await this.feed.given();
    }
    return true;
  }

  async _next() {
    const skipped = this.item;
    this._leave();
    if (skipped && !skipped.verdict && !skipped.lost) this.feed.queue.push(skipped);
    await this.feed.fill();
    for (;;) {
      const item = this.feed.queue.shift();
      if (!item) break;
      if (item.verdict || item.lost) continue;
      if (await this._open(item)) return;
    }
    if (this.outbox.reachable) await this.outbox.idle;
    this.state = await ask("desk/state");
    this.idle = true;
    this._sayIdle();
  }

  _sayIdle() {
    const { round, state, remaining, message } = this.state;
    const why = state !== "reviewing" ? message : remaining ? "other readers have the rest" : "the round closes";
    const waits = this.feed.queue.length > 0;
    this.words.say(waits ? `Round ${round}: proposals wait for your verdict. Press Next.` : `Nothing waits for your verdict: ${why}.`, { stays: true });
  }

  // Show an item as the one to judge; false where it is another's or gone.
  async _open(item) {
    if (this.outbox.reachable) await this.outbox.idle;
    this.words.say("Loading the next proposal", { stays: true });
    const holds = await this.feed.lease([item]);
    if (holds && holds[item.case_id] !== "held") {
      item.lost = holds[item.case_id] === "taken" ? "with another reader" : "decided meanwhile";
      return false;
    }
    this.item = item;
    this.idle = false;
    try {
      const query = { case_id: item.case_id, proposal: item.proposal };
      const overlay = await ask("ohif/overlay", { query });
      await this.viewer.show(item, overlay, this.state.classes, this.state.window, (number) => this._onSlice(number));
    } catch (error) {
      if (error instanceof Refused || error instanceof NotShown) item.lost = "not available";
      throw error;
    }
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    this.clock.show(item);
    this.clock.see(item, this.viewer.slice);
    this._setPainted(item);
    const classes = item.classes.map((name) => [name, colourOf(this.state.classes.indexOf(name) + 1)]);
    this.words.showLegend(this.viewer.element, classes, item.slices.length ? `Marked: slice ${this._places(item.slices)}` : "Nothing is marked");
    this._sayWrong(item);
    clearInterval(this.heartbeat);
    this.heartbeat = setInterval(() => !document.hidden && this.feed.lease([item]), (this.state.lease_seconds * 1000) / 3);
    return true;
  }

  _leave() {
    clearInterval(this.heartbeat);
    this.clock.leave();
    this.viewer.hide();
    this.words.hideLegend();
    this._setPainted(null);
    this.item = null;
  }

  _setPainted(item) {
    this.painted = item;
    document.body.dataset.painted = item?.case_id ?? "";
    this._tell();
  }

  async _judge(verdict, reason = null) {
    const item = this.painted;
    if (!item) return;
    const wrong = verdict === "accept" ? [...item.wrong].sort((a, b) => a - b) : [];
    const body = {
      id: makeId(), case_id: item.case_id, proposal: item.proposal, verdict, rejected_slices: wrong, reason, reviewer: this.feed.reviewer, client: CLIENT,
      reading: {
        ...this.clock.facts(item), ...this.viewer.facts, session: this.session, seed: this.state.seed, position: this.position++,
        view: "case", input_device: this.device, client_version: this.state.version,
      },
    };
    item.verdict = wrong.length && wrong.length === item.slices.length ? "reject" : verdict;
    item.verdictId = body.id;
    this.history.push(item);
    this.state.remaining = Math.max(0, this.state.remaining - 1);
    this.outbox.add({ kind: "verdict", body }).catch(() => this.words.say("This browser keeps no data: verdicts cannot be kept until they are sent."));
    await this._next();
  }

  async _undo() {
    const item = this.history.pop();
    if (!item) return;
    await this.outbox.add({ kind: "undo", id: item.verdictId, reviewer: this.feed.reviewer });
    if (this.outbox.reachable) await this.outbox.idle;
    // Said already; what is on the screen stays.
    if (item.final) return;
    const shown = this.item;
    this._leave();
    if (shown && !shown.verdict && !shown.lost) this.feed.queue.unshift(shown);
    Object.assign(item, { verdict: null, verdictId: null, lost: null });
    this.clock.forget(item);
    this.state.remaining += 1;
    if (!(await this._open(item))) this.words.say(`It was taken back, and is ${item.lost} now.`);
  }

  _toggleSlice() {
    const { painted: item } = this;
    const number = this.viewer.slice;
    if (!item.slices.includes(number)) return this.words.say("Nothing is marked on this slice.");
    if (!item.wrong.delete(number)) item.wrong.add(number);
    this.clock.input();
    this._sayWrong(item);
    return this._tell();
  }

  _sayWrong(item) {
    this.words.say(item.wrong.size ? `Wrong: slice ${this._places([...item.wrong])}. Accept takes the others.` : "", { stays: true });
  }

  // Slice numbers as OHIF counts them on the screen: "2, 4–7".
  _places(numbers) {
    const runs = [];
    for (const place of numbers.map((number) => this.viewer.placeOf(number)).sort((a, b) => a - b)) {
      if (runs.at(-1)?.last === place - 1) runs.at(-1).last = place;
      else runs.push({ first: place, last: place });
    }
    return runs.map(({ first, last }) => (first === last ? first : `${first}–${last}`)).join(", ");
  }

  _onSlice(number) {
    if (!this.item) return;
    if (this.painted) this.clock.see(this.item, number);
    this._tell();
  }

  // Where the reader went by OHIF's own ways, another study or series, is nothing to judge.
  _look() {
    const { onWorkList } = this.viewer;
    const left = !this.busy && this.painted && (onWorkList || !this.viewer.isShown);
    if (left) {
      this.feed.queue.unshift(this.painted);
      this._leave();
      this.words.say("The proposal is not on the screen any more. Next leads back to it.");
    }
    if (onWorkList !== this.onWorkList) {
      this.onWorkList = onWorkList;
      this._tell();
    }
  }

  _onRefused(entry, sentence) {
    const id = entry.kind === "verdict" ? entry.body.id : entry.id;
    const item = [...(this.feed?.known.values() ?? [])].find((each) => each.verdictId === id);
    if (item && entry.kind === "undo") item.final = true;
    else if (item) {
      this.history = this.history.filter((each) => each !== item);
      Object.assign(item, { verdict: null, lost: "not taken" });
    }
    this.words.say(`Not taken: ${sentence}`, { stays: true });
    this._tell();
  }

  async _follow() {
    await this._refresh();
    setTimeout(() => this._follow(), (this.idle ? SECONDS_WHILE_NOTHING_WAITS : SECONDS_BETWEEN_STATES) * 1000);
  }

  async _refresh() {
    try {
      const unsent = this.outbox.waiting;
      const found = await ask("desk/state");
      this.state = unsent || this.outbox.waiting ? { ...found, remaining: this.state?.remaining ?? found.remaining } : found;
      this.denied = "";
      if (this.idle && !this.busy) {
        await this.feed.fill();
        if (this.idle) this._sayIdle();
      }
    } catch (error) {
      this.denied = denial(error);
    }
    this._tell();
  }

  _tell() {
    const { state, painted } = this;
    const waits = state?.state === "reviewing" ? `${state.remaining} to judge` : state?.state.replaceAll("_", " ");
    const told = state ? `Round ${state.round ?? "–"} · ${waits}${state.may_judge ? "" : " · you may look, not judge"}` : "";
    const text = this.denied || told;
    this.words.showOnWorkList(text, this.viewer.onWorkList);
    const sliceIsWrong = Boolean(painted?.wrong.has(this.viewer.slice));
    this.toolbar.show({ state: text, painted: Boolean(painted), history: this.history.length > 0, sliceIsWrong });
  }
}
