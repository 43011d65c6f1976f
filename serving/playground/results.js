// Answers side by side: what each stage took, how ranks move, which sentences are kept, and what the ledger notes.

import { Letters, counted, el, milliseconds, score, tokens } from "./elements.js";

const OPEN = 3; // hits whose text is shown at first
const REASONS = {
  deadline: "there was no time", busy: "an earlier call hangs in it", failed: "it failed", impossible: "it needs what was left out before it",
};

/** Seconds of all stages; the rest of the time is waiting and sending. */
export const stageSeconds = (answer) => answer.stages.reduce((sum, stage) => sum + stage.seconds, 0);

/** Show what pipelines have answered: [{letter, name, answer, seconds}], or {letter, name, problem}. */
export function drawResults(place, columns) {
  const toggle = el("button", { type: "button" }, "Open all texts");
  toggle.addEventListener("click", () => {
    const texts = [...place.querySelectorAll("details.hit")];
    const open = texts.some((one) => !one.open);
    for (const one of texts) one.open = open;
    toggle.textContent = open ? "Close all texts" : "Open all texts";
  });
  const longest = Math.max(...columns.filter((one) => one.answer).flatMap((one) => one.answer.stages.map((stage) => stage.seconds)), 1e-9);
  place.replaceChildren(
    el("div", { class: "legend" }, toggle, el("span", null,
      el("mark", null, "✓ kept sentences"), " are marked, ", el("del", null, "✗ dropped sentences"), " struck through.")),
    el("div", { class: `columns of-${columns.length}` }, columns.map((one) => {
      const other = columns.find((another) => another !== one && another.answer);
      return drawColumn(one, other, longest);
    })));
}

function drawColumn({ letter, name, answer, seconds, problem }, other, longest) {
  const id = `heading-${letter}`;
  const heading = el("h2", { id }, el("span", { class: "letter" }, letter), " ", name);
  if (problem) return el("section", { "aria-labelledby": id }, heading, el("p", { class: "problem", role: "alert" }, problem));
  return el("section", { "aria-labelledby": id },
    heading,
    answer.left_out.map((one) => el("p", { class: "problem" },
      `Without ${one.stages}: ${REASONS[one.reason] ?? one.reason}${one.detail ? ` (${one.detail})` : ""}.`)),
    drawFigures(answer, seconds),
    drawStages(answer, longest),
    drawNotes(answer.notes),
    answer.hits.length === 0 ? el("p", null, "Nothing was found.") : [drawMoves(answer.hits), drawHits(answer, other)]);
}

/** The few figures that one compares first. */
function drawFigures(answer, seconds) {
  const pruned = answer.hits.filter((hit) => hit.spans !== null);
  const rows = [["hits", answer.hits.length.toLocaleString("en")],
    ["stages", milliseconds(stageSeconds(answer))], ["until it was here", milliseconds(seconds)]];
  if (pruned.length > 0) {
    const whole = pruned.reduce((sum, hit) => sum + tokens(hit.text), 0);
    const left = pruned.reduce((sum, hit) => sum + tokens(hit.pruned_text), 0);
    const share = whole ? Math.round(100 * (1 - left / whole)) : 0;
    rows.push(["tokens saved", `${share} % (${left.toLocaleString("en")} of ${whole.toLocaleString("en")} left)`]);
  }
  return el("dl", { class: "figures" }, rows.map(([term, value]) => el("div", null, el("dt", null, term), el("dd", null, value))));
}

/** What each stage took, as figures and as bars on one scale for both pipelines. */
function drawStages(answer, longest) {
  const rows = answer.stages.map((stage) => {
    const bar = el("span", { class: "bar", "aria-hidden": "true" });
    bar.style.width = `${(100 * stage.seconds) / longest}%`;
    return el("tr", null, el("th", { scope: "row" }, stage.stage),
      el("td", { class: "number" }, milliseconds(stage.seconds)), el("td", { class: "bars" }, bar));
  });
  const shared = answer.batch_size > 1 ? el("p", { class: "quiet" }, `For ${answer.batch_size} requests that were carried out together.`) : null;
  return el("div", { class: "part" }, el("h3", null, "Time of each stage"), el("table", null,
    el("thead", { class: "unseen" }, el("tr", null, el("th", { scope: "col" }, "stage"), el("th", { scope: "col" }, "time"), el("td"))),
    el("tbody", null, rows)), shared);
}

/** What the ledger notes: nothing is cut or dropped in silence. */
function drawNotes(notes) {
  if (notes.length === 0) return null;
  return el("details", { class: "notes", open: true }, el("summary", null, counted(notes.length, "note")), el("ul", null, notes.map((note) =>
    el("li", null, `${note.stage}: ${note.kind.replaceAll("_", " ")}`,
      note.doc_id ? ` of ${note.doc_id}` : null, note.amount > 1 ? ` (${note.amount.toLocaleString("en")})` : null,
      note.detail ? `; ${note.detail}` : null))));
}

/** Places of the trace that tell of a rank: not cut-offs, which move nothing, nor stages that no hit was ranked by. */
function rankedPlaces(hits) {
  return hits[0].trace.map((_, place) => place)
    .filter((place) => hits[0].trace[place].stage !== "top" && hits.some((hit) => hit.trace[place].rank !== null));
}

/** Ranks of the hits after each stage, with how far each has moved. */
function drawMoves(hits) {
  const places = rankedPlaces(hits);
  const head = places.map((place) => {
    const { stage, depth } = hits[0].trace[place];
    return el("th", { scope: "col" }, `${"↳ ".repeat(depth)}${stage}`);
  });
  const rows = hits.map((hit) => el("tr", null,
    el("th", { scope: "row" }, nameOf(hit)),
    places.map((place, n) => moveCell(hit.trace[place], n === 0 ? null : before(hit.trace, place)))));
  const table = el("table", { class: "moves" },
    el("thead", null, el("tr", null, el("th", { scope: "col" }, "hit"), head)), el("tbody", null, rows));
  return el("div", { class: "part" }, el("h3", null, "Ranks through the stages"),
    el("div", { class: "scroll", role: "region", "aria-label": "Ranks through the stages", tabindex: "0" }, table));
}

/** Where a hit stood before a place of its trace, among stages as deep. */
function before(trace, place) {
  const earlier = trace.slice(0, place).filter((one) => one.depth === trace[place].depth && one.rank !== null);
  return earlier.length ? earlier.at(-1).rank : null;
}

function moveCell(standing, earlier) {
  if (standing.rank === null) return el("td", { class: "quiet" }, "not there");
  const by = earlier === null ? 0 : earlier - standing.rank;
  const words = by > 0 ? `▲${by}` : `▼${-by}`;
  const move = by === 0 ? null : el("span", { class: by > 0 ? "up" : "down" },
    el("span", { "aria-hidden": "true" }, ` ${words}`), el("span", { class: "unseen" }, by > 0 ? `, up ${by}` : `, down ${-by}`));
  return el("td", { title: `score ${score(standing.score)}` }, String(standing.rank), move);
}

const nameOf = (hit) => hit.title || hit.doc_id;

function drawHits(answer, other) {
  return el("div", { class: "part" }, el("h3", null, "Hits"),
    el("ol", { class: "hits" }, answer.hits.map((hit, place) => el("li", null, drawHit(hit, place < OPEN, other)))));
}

function drawHit(hit, open, other) {
  const facts = [`${hit.doc_id}`, `score ${score(hit.score)}`];
  if (hit.retrieval_score !== null && hit.retrieval_score !== hit.score) facts.push(`first stage ${score(hit.retrieval_score)}`);
  if (hit.spans) facts.push(`${hit.spans.filter((one) => one.kept).length} of ${counted(hit.spans.length, "sentence")} kept`);
  return el("details", { class: "hit", open }, el("summary", null,
    el("span", { class: "rank" }, String(hit.rank)), el("span", { class: "title" }, nameOf(hit)), otherRank(hit, other),
    el("span", { class: "facts" }, facts.join(" · "))),
    el("p", { class: "text" }, hit.spans ? sentences(hit.text, hit.spans) : hit.text));
}

/** Where the other pipeline has the document. */
function otherRank(hit, other) {
  if (!other) return null;
  const there = other.answer.hits.find((one) => one.doc_id === hit.doc_id);
  return el("span", { class: "tag" }, there ? `${other.letter}: ${there.rank}` : `not in ${other.letter}`);
}

/** The text with its sentences kept and dropped: told by a sign, a line and a colour, and in words to screen readers. */
function sentences(text, spans) {
  const letters = new Letters(text);
  const parts = [];
  let end = 0;
  for (const span of spans) {
    const title = `probability ${span.probability.toFixed(2)}${span.reason ? `, ${span.reason}` : ""}`;
    parts.push(letters.slice(end, span.start),
      el("span", { class: "sign", "aria-hidden": "true" }, span.kept ? "✓" : "✗"),
      el("span", { class: "unseen" }, span.kept ? "kept: " : "dropped: "),
      el(span.kept ? "mark" : "del", { title }, letters.slice(span.start, span.end)));
    end = span.end;
  }
  parts.push(letters.slice(end));
  return parts;
}
