// Requests to the server that served this module.

const BASE = new URL("../../recursive/", import.meta.url);
// What calls itself so in the ledger; OHIF's module gives its own name.
export let CLIENT = "desk";

export function actAs(client) {
  CLIENT = client;
}

// The server did not answer, or could not: the same request may do later.
export class Unreachable extends Error {}

// The server refused; its sentence is for the reader.
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export function address(path, query = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

export async function ask(path, { method = "GET", query = {}, body, keepalive = false } = {}) {
  const options = { method, keepalive };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  return send(address(path, query), options, (answer) => answer.json());
}

export const fetchBytes = (url) => send(url, {}, (answer) => answer.arrayBuffer());

async function send(url, options, read) {
  let answer;
  try {
    answer = await fetch(url, { ...options, cache: "no-store", credentials: "same-origin" });
    if (answer.ok) return await read(answer);
  } catch (error) {
    throw new Unreachable(error.message);
  }
  const said = await answer.json().catch(() => ({}));
  const detail = typeof said.detail === "string" ? said.detail : JSON.stringify(said.detail ?? answer.statusText);
  if (answer.status >= 500 || answer.status === 408 || answer.status === 429) throw new Unreachable(detail);
  throw new Refused(answer.status, detail);
}
