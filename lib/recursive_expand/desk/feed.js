// What waits for this reader: asked for ahead of need, decoded ahead of need, leased only once it is seen.

import { ask, CLIENT } from "./requests.js";

const AHEAD = 48;
const MOST = 200;

export class Feed {
  constructor(shelf, reviewer) {
    this.shelf = shelf;
    this.reviewer = reviewer;
    this.known = new Map();
    this.queue = [];
    this.held = new Set();
  }

  // Make sure that items are at hand, if the server has any. Never asks twice at once.
  fill() {
    this._filling ??= this._fill().finally(() => {
      this._filling = null;
    });
    return this._filling;
  }

  async _fill() {
    if (this.queue.length >= AHEAD / 2) return;
    const open = [...this.known.values()].filter((item) => !item.verdict && !item.lost).length;
    const query = { reviewer: this.reviewer, limit: Math.min(MOST, open + AHEAD) };
    for (const found of await ask("desk/items", { query })) {
      const item = this.take(found);
      if (item) this.queue.push(item);
    }
  }

  // A proposal as the page keeps it; null where it does so already.
  take(found) {
    const key = `${found.case_id} ${found.proposal}`;
    const before = this.known.get(key);
    // One that another reader had, and gave back.
    if (before && !(before.lost && !before.verdict)) return null;
    const item = { ...found, key, verdict: null, reason: null, wrong: new Set(), lost: null };
    this.known.set(key, item);
    return item;
  }

  // What this reader judged before the page was opened, the newest last: it can be undone, too.
  async given() {
    const given = await ask("desk/given", { query: { reviewer: this.reviewer } }).catch(() => []);
    const items = given.map(({ id, verdict, reason, rejected_slices, item: found }) => {
      const item = this.take(found);
      if (item) Object.assign(item, { verdict, reason, verdictId: id, wrong: new Set(verdict === "accept" ? rejected_slices : []) });
      return item;
    });
    return items.filter(Boolean);
  }

  // Decode the first items of the queue: about a sheet's slices, at least three cases.
  decodeAhead(slices) {
    let wanted = 0;
    for (const [index, item] of this.queue.entries()) {
      if (index >= 3 && wanted >= slices) break;
      wanted += item.slices.length;
      this.shelf.get(item).catch(() => {});
    }
  }

  // Lease what is in view. Returns what became of each case, or null where the server could not be asked.
  async lease(items) {
    const case_ids = items.map((item) => item.case_id).slice(0, MOST);
    if (!case_ids.length) return {};
    try {
      const body = { case_ids, reviewer: this.reviewer, client: CLIENT };
      const { cases } = await ask("desk/leases", { method: "POST", body });
      for (const [case_id, hold] of Object.entries(cases)) {
        if (hold === "held") this.held.add(case_id);
        else this.held.delete(case_id);
      }
      return cases;
    } catch {
      return null;
    }
  }

  // Give everything back, when the page goes.
  release() {
    if (!this.held.size) return;
    const body = { case_ids: [...this.held].slice(0, MOST), reviewer: this.reviewer, client: CLIENT };
    this.held.clear();
    ask("desk/leases/release", { method: "POST", body, keepalive: true }).catch(() => {});
  }
}
