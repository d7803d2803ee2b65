// Verdicts on their way: kept in IndexedDB until the server has answered, sent in order, each under its own id.

import { ask, CLIENT, Refused } from "./requests.js";

const STORE = "outbox";
const LONGEST_PAUSE = 4000;

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("recursive-desk", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

export class Outbox {
  // `refused` is told the entry and the server's sentence, `counted` how many wait and whether the server answers.
  constructor({ refused, counted }) {
    this.refused = refused;
    this.counted = counted;
    this.waiting = 0;
    this.reachable = true;
    this.idle = Promise.resolve();
  }

  async start() {
    this.database = await open();
    addEventListener("online", () => this._wake?.());
    this.waiting = await done(this._store("readonly").count());
    this._tell();
    this.flush();
  }

  // Keep an entry: {kind: "verdict", body} or {kind: "undo", id, reviewer}. It is on this machine's disk soon after.
  add(entry) {
    this.waiting += 1;
    const added = done(this._store("readwrite").add(entry));
    this._tell();
    added.then(() => this.flush());
    return added;
  }

  flush() {
    if (this._sending) {
      this._again = true;
      return this.idle;
    }
    this._sending = true;
    // One tab at a time: an undo must not overtake its verdict.
    const alone = (act) => (navigator.locks ? navigator.locks.request("recursive-desk-outbox", act) : act());
    this.idle = alone(() => this._send()).finally(() => {
      this._sending = false;
    });
    return this.idle;
  }

  async _send() {
    let pause = 250;
    for (;;) {
      this._again = false;
      const cursor = await done(this._store("readonly").openCursor());
      if (!cursor) {
        if (this._again) continue;
        this.waiting = 0;
        this._tell();
        return;
      }
      const { key, value } = cursor;
      try {
        await this._post(value);
        this.reachable = true;
      } catch (error) {
        if (!(error instanceof Refused) || error.status === 401) {
          this.reachable = false;
          this._tell();
          await new Promise((resolve) => {
            this._wake = resolve;
            setTimeout(resolve, pause);
          });
          pause = Math.min(LONGEST_PAUSE, pause * 2);
          continue;
        }
        this.reachable = true;
        this.refused(value, error.message);
      }
      pause = 250;
      await done(this._store("readwrite").delete(key));
      this.waiting = Math.max(0, this.waiting - 1);
      this._tell();
    }
  }

  _post(entry) {
    if (entry.kind === "verdict") return ask("desk/verdicts", { method: "POST", body: entry.body });
    const query = { reviewer: entry.reviewer, client: CLIENT };
    return ask(`desk/verdicts/${entry.id}`, { method: "DELETE", query });
  }

  _store(mode) {
    return this.database.transaction(STORE, mode).objectStore(STORE);
  }

  _tell() {
    this.counted(this.waiting, this.reachable);
  }
}
