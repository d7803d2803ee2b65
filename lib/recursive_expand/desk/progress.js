// The progress page: the status as it changes, rounds as plots and tables, and an administrator's buttons.

import uPlot from "./vendor/uPlot.esm.js";
import { COLOURS } from "./drawing.js";
import { address, ask } from "./requests.js";

const $ = (id) => document.getElementById(id);
const losses = { round: null, epochs: [], values: [] };
const plots = new Map();
let shown = null;

function listen() {
  const source = new EventSource(address("desk/events"));
  let silent;
  source.onmessage = (event) => {
    clearTimeout(silent);
    $("connection").hidden = true;
    show(JSON.parse(event.data));
  };
  source.onerror = () => {
    // A stream ends every twenty seconds and is opened again; only a longer silence is worth a word.
    clearTimeout(silent);
    silent = setTimeout(() => {
      $("connection").hidden = false;
    }, 5000);
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  };
}

function show(status) {
  const { progress } = status;
  $("message").textContent = `${status.round === null ? "" : `Round ${status.round}, ${status.state.replaceAll("_", " ")}: `}${status.message}.`;
  $("bar-line").hidden = !progress;
  if (progress) {
    $("bar").max = Math.max(1, progress.total);
    $("bar").value = progress.done;
    const left = progress.seconds_left ? `, about ${duration(progress.seconds_left)} left` : "";
    $("bar-text").textContent = `${progress.stage}: ${progress.done} of ${progress.total} ${progress.detail}${left}`;
    takeLoss(progress);
  }
  const running = ["training", "proposing"].includes(status.state);
  $("stop").disabled = !running;
  $("start").disabled = running;
  $("end").disabled = running || !["reviewing", "decided"].includes(status.state);
  const facts = {
    "Wait for a verdict": status.undecided,
    "Accepted": `${status.verdicts.accept} proposals, ${status.verdicts.accepted_slices} slices`,
    "Rejected": `${status.verdicts.reject} proposals, ${status.verdicts.rejected_slices} slices`,
    ...(status.proposals.propagated ? { "Accepted by propagation": `${status.proposals.propagated} proposals of this round, after three like them; nobody looked at these` } : {}),
    ...secondLooks(status.second_looks),
    "Cases": Object.entries(status.cases).map(([role, number]) => `${number} ${role}`).join(", "),
    "Labels to write": status.outbox.waiting ? `${status.outbox.waiting}${status.outbox.failing ? `, ${status.outbox.failing} failing: ${status.outbox.error ?? ""}` : ""}` : "none",
    "Foretold": status.foretold ? `${Math.round(status.foretold.slices)} new slices in round ${status.foretold.round}${share(status.foretold)}` : "–",
    "Next step": status.step.replaceAll("_", " "),
    "Preset": status.preset,
    "Free on disk": `${status.disk_free_gb} GB`,
    "Model": status.model_sha256?.slice(0, 12) ?? "none yet",
  };
  $("facts").replaceChildren(...Object.entries(facts).flatMap(([name, value]) => [cell("dt", name), cell("dd", value)]));
  $("error").hidden = !status.last_error;
  $("error").textContent = status.last_error ? `Last error: ${status.last_error}` : "";
  const aside = status.set_aside.map(({ source, reason }) => cell("li", `${source}: ${reason}`));
  $("aside").replaceChildren(...(aside.length ? aside : [cell("li", "nothing")]));
  const second = status.second_looks.verdicts;
  const key = [status.round, status.state, status.verdicts.accept, status.verdicts.reject, second.accept, second.reject].join();
  if (key !== shown) {
    shown = key;
    showRounds().catch(() => {
      shown = null;
    });
  }
}

// Rejected masks that came once more; nothing where there were none.
function secondLooks({ proposals, verdicts }) {
  const waiting = proposals.open ?? 0;
  if (!waiting && !verdicts.accept && !verdicts.reject) return {};
  return { "Second looks": `${waiting} wait, ${verdicts.accept} accepted (${verdicts.accepted_slices} slices), ${verdicts.reject} rejected` };
}

function takeLoss(progress) {
  const loss = Number(/loss ([\d.]+)/.exec(progress.detail)?.[1]);
  if (progress.stage !== "training" || !Number.isFinite(loss)) return;
  if (losses.round !== progress.round) Object.assign(losses, { round: progress.round, epochs: [], values: [] });
  if (losses.epochs.at(-1) === progress.done) return;
  losses.epochs.push(progress.done);
  losses.values.push(loss);
  plot("loss", `Loss, round ${progress.round} (running)`, "epoch", [losses.epochs, losses.values], ["loss"]);
}

async function showRounds() {
  const [rounds, acceptance] = await Promise.all([ask("rounds"), ask("desk/acceptance")]);
  const numbers = rounds.map((each) => each.round);
  const newest = rounds.findLast((each) => each.losses.length);
  if (newest && newest.round !== losses.round) {
    plot("loss", `Loss, round ${newest.round}`, "epoch", [newest.losses.map((_, i) => i + 1), newest.losses], ["loss"]);
  }
  if (numbers.length) {
    plot("expansion", "Slices newly accepted", "round", [numbers, rounds.map((each) => each.new)], ["slices"]);
    const measured = ["dice", "recall"].map((name) => rounds.map((each) => each.validation?.[name] ?? null));
    if (measured.flat().some((value) => value !== null)) plot("validation", "Validation", "round", [numbers, ...measured], ["Dice", "recall"], 1);
  }
  const columns = {
    "Round": (each) => each.round,
    "State": (each) => each.state,
    "Slices trained on": (each) => each.training_slices?.total ?? sum(each.training_slices),
    "Proposals": (each) => sum(each.proposals),
    "Accepted": (each) => each.accepted,
    "Rejected": (each) => each.rejected,
    "Within 0.3 s": (each) => each.quick,
    "In bulk": (each) => each.bulk,
    "Second looks accepted": (each) => {
      const { accept, reject } = each.second_chances;
      return accept + reject ? `${accept} of ${accept + reject}` : null;
    },
    "New slices": (each) => each.new,
    "Foretold": (each) => (Number.isFinite(each.foretold) ? Math.round(each.foretold) : null),
    "Dice": (each) => each.validation?.dice?.toFixed(3),
    "Recall": (each) => each.validation?.recall?.toFixed(3),
    "Model": (each) => (each.promoted === false ? "held back" : each.promoted ? "taken" : null),
    "Minutes": (each) => (each.seconds.training ? ((each.seconds.training + (each.seconds.proposing ?? 0)) / 60).toFixed(1) : null),
  };
  table("rounds", Object.keys(columns), rounds.map((each) => Object.values(columns).map((of) => of(each))));
  const names = [...new Set(acceptance.map((each) => each.name))];
  const share = (round, name) => {
    const found = acceptance.find((each) => each.round === round && each.name === name);
    return found ? `${found.accepted} of ${found.judged}` : null;
  };
  const judged = [...new Set(acceptance.map((each) => each.round))];
  table("classes", ["Class", ...judged.map((round) => `Round ${round}`)], names.map((name) => [name, ...judged.map((round) => share(round, name))]));
}

const sum = (counts) => (counts ? Object.values(counts).reduce((all, each) => all + (Number.isFinite(each) ? each : 0), 0) : null);

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  return minutes ? `${minutes} min` : `${Math.round(seconds)} s`;
}

function cell(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text ?? "–" });
}

function table(id, head, lines) {
  const header = document.createElement("thead"), body = document.createElement("tbody");
  const row = document.createElement("tr");
  row.append(...head.map((text) => Object.assign(cell("th", text), { scope: "col" })));
  header.append(row);
  for (const line of lines) {
    const each = document.createElement("tr");
    each.append(...line.map((text) => cell("td", text)));
    body.append(each);
  }
  if (!lines.length) {
    const each = document.createElement("tr");
    each.append(Object.assign(cell("td", "nothing yet"), { colSpan: head.length }));
    body.append(each);
  }
  $(id).replaceChildren($(id).caption, header, body);
}

// Of a round that trained on no slice, or on fewer than it brings, a share says nothing.
function share(foretold) {
  return foretold.share < 1 ? ` (${(100 * foretold.share).toFixed(1)} %)` : "";
}

function plot(id, title, across, data, names, top) {
  const before = plots.get(id);
  if (before?.title === title) return before.plot.setData(data);
  before?.plot.destroy();
  before?.holder.remove();
  const holder = document.createElement("div");
  holder.setAttribute("role", "img");
  holder.setAttribute("aria-label", `${title}, by ${across}; the numbers are in the table below`);
  $("plots").append(holder);
  const axis = { stroke: "#b4bcc9", grid: { stroke: "#2b323d", width: 1 }, ticks: { stroke: "#2b323d" } };
  const whole = across === "round" || across === "epoch";
  const made = new uPlot(
    {
      title,
      width: Math.max(240, holder.clientWidth),
      height: 230,
      legend: { show: names.length > 1 },
      scales: { x: { time: false, range: ({ data: [at] }, low, high) => (at.length === 1 ? [at[0], at[0] + 1] : [low, high]) }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), top ?? ((high || 1) * 1.08)] } },
      axes: [{ ...axis, label: across, labelSize: 22, size: 34, incrs: whole ? [1, 2, 5, 10, 20, 50, 100] : undefined }, { ...axis, size: 48, space: 34 }],
      series: [{ label: across }, ...names.map((label, i) => ({ label, stroke: COLOURS[(i + 1) % COLOURS.length], width: 2, points: { show: data[0].length < 40 } }))],
    },
    data,
    holder,
  );
  plots.set(id, { plot: made, holder, title });
  fit();
  return undefined;
}

// One more plot makes the others narrower.
function fit() {
  for (const { plot: each, holder } of plots.values()) each.setSize({ width: Math.max(240, holder.clientWidth), height: 230 });
}

addEventListener("resize", fit);

async function press(act) {
  $("answer").textContent = "";
  try {
    const { message } = await act();
    $("answer").textContent = message ?? "Done.";
  } catch (error) {
    $("answer").textContent = error.message;
  }
}

$("start").addEventListener("click", () => press(() => ask("rounds", { method: "POST" })));
$("end").addEventListener("click", () => press(() => ask("end", { method: "POST" })));
$("stop").addEventListener("click", () => press(async () => (await ask("../train/", { method: "DELETE" }), { message: "The round is being stopped; starting resumes it." })));
listen();
