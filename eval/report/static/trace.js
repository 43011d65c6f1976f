"use strict";
// One query: its values, its way through a pipeline, and each hit's trace with sentences kept and dropped.

let opened = { query: -1, pipeline: "", doc: "" };
let openedFrom = null;

/** Show a query. Leaving out the pipeline keeps the one that is chosen. */
function openQuery(query, pipeline, doc) {
  const kept = opened.query >= 0 ? opened.pipeline : DATA.pipelines[view.system];
  opened = { query, pipeline: DATA.pipelines.includes(pipeline) ? pipeline : kept, doc: doc ?? "" };
  const dialog = byId("trace");
  if (!dialog.open) {
    openedFrom = document.activeElement;
    dialog.showModal();
  }
  remember();
  drawTrace();
  dialog.scrollTop = 0;
}

/** The address holds what is open, so that it can be sent to others. */
function remember() {
  const parts = { q: DATA.queries.ids[opened.query], p: opened.pipeline, ...(opened.doc && { d: opened.doc }) };
  history.replaceState(null, "", `#${new URLSearchParams(parts)}`);
}

/** Open what the address asks for. */
function followAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (!asked.has("q")) return;
  const query = DATA.queries.ids.indexOf(asked.get("q"));
  if (query >= 0) openQuery(query, asked.get("p") ?? undefined, asked.get("d") ?? undefined);
}

function startTrace() {
  const dialog = byId("trace");
  byId("trace-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => {
    if (dialog.open) return; // opened again before this event came
    opened = { query: -1, pipeline: "", doc: "" };
    history.replaceState(null, "", location.pathname + location.search);
    openedFrom?.focus({ preventScroll: true });
  });
  byId("trace-previous").addEventListener("click", () => step(-1));
  byId("trace-next").addEventListener("click", () => step(1));
  window.addEventListener("hashchange", followAddress);
  followAddress();
}

/** The query before or after, in the order of the table. */
function step(by) {
  const next = view.found[view.found.indexOf(opened.query) + by];
  if (next !== undefined) openQuery(next);
}

function drawTrace() {
  const { query, pipeline } = opened;
  const place = view.found.indexOf(query);
  byId("trace-previous").disabled = place <= 0;
  byId("trace-next").disabled = place < 0 || place === view.found.length - 1;
  byId("trace-place").textContent = place < 0 ? "" : `${(place + 1).toLocaleString("en")} of ${view.found.length.toLocaleString("en")}`;
  const id = DATA.queries.ids[query];
  const choose = el("select", { id: "trace-pipeline", onchange: (event) => { opened.pipeline = event.target.value; opened.doc = ""; remember(); drawTrace(); byId("trace-pipeline").focus(); } });
  choices(choose, DATA.pipelines.map((name) => [name, name]), pipeline);
  const held = Object.hasOwn(DATA.traces, id) && Object.hasOwn(DATA.traces[id], pipeline) ? DATA.traces[id][pipeline] : null;
  byId("trace-body").replaceChildren(
    el("h2", { id: "trace-title" }, DATA.queries.texts[query] || id),
    el("p", { class: "legend" }, `Query ${id}, ${counted(DATA.queries.relevant[query], "relevant document")}.`),
    el("div", { class: "scroll", role: "region", "aria-label": "Values", tabindex: "0" }, valuesTable(query)),
    el("h3", null, "Through the stages"),
    el("div", { class: "controls" }, el("label", null, "Pipeline ", choose)),
    ...(held ? traceParts(held) : [notStored(id, pipeline)]),
  );
  byId("trace-body").querySelector("details[open]")?.scrollIntoView({ block: "center" });
}

function valuesTable(query) {
  const other = view.against;
  const rows = DATA.pipelines.map((name, system) => el("tr", null, el("th", { scope: "row" }, name), DATA.measures.map((measure) => {
    const value = DATA.values[measure][system][query];
    const base = other < 0 || other === system ? null : DATA.values[measure][other][query];
    const delta = value === null || base === null ? null : value - base;
    const changed = delta !== null && Math.abs(delta) > DATA.tie;
    return el("td", null, el("span", { class: "mean" }, figure(value)), changed && el("span", { class: `delta ${delta > 0 ? "up" : "down"}` }, signed(delta)));
  })));
  const head = el("tr", null, ["pipeline", ...DATA.measures].map((name) => el("th", { scope: "col" }, name)));
  return el("table", null, el("thead", null, head), el("tbody", null, rows));
}

function notStored(id, pipeline) {
  const quoted = /^[\w.+=@:-]+$/.test(id) && !id.startsWith("-") ? id : `'${id.replaceAll("'", "'\\''")}'`;
  return el("div", { class: "not-stored" },
    el("p", null, `No trace of this query is stored: the page holds those of the ${counted(Object.keys(DATA.traces).length, "query", "queries")} on which the pipelines differ most under ${DATA.measures[0]}. This command shows it:`),
    el("pre", { class: "command", tabindex: "0" }, `${DATA.explain} ${pipeline} ${quoted}`));
}

function traceParts(trace) {
  const lost = trace.lost.length + trace.lost_more;
  return [
    el("ol", { class: "stages" }, trace.stages.map(stageItem)),
    trace.notes.length > 0 && el("details", null, el("summary", null, counted(trace.notes.reduce((sum, note) => sum + note.number, 0), "note")), el("ul", null, trace.notes.map(noteItem))),
    el("h3", null, trace.hits.length ? `Best ${trace.hits.length} hits` : "No hits"),
    trace.hits.some((hit) => hit.spans) && el("p", { class: "legend" }, el("mark", null, "Kept sentences"), " are marked, ", el("del", null, "dropped sentences"), " struck through; the small figure is the probability that the pruner gave."),
    el("ol", { class: "hits" }, trace.hits.map((hit, place) => hitItem(hit, place + 1, trace.stages))),
    lost > 0 && el("h3", null, `Relevant, but not among ${trace.hits.length ? "them" : "the hits"} (${lost})`),
    el("ol", { class: "hits" }, trace.lost.map((hit) => hitItem(hit, null, trace.stages))),
    trace.lost_more > 0 && el("p", { class: "legend" }, `and ${trace.lost_more} more.`),
  ].filter(Boolean);
}

function stageItem(stage) {
  const parts = [stage.hits === null ? null : counted(stage.hits, "hit"), stage.vectors.length ? "a query vector" : null].filter(Boolean);
  const terms = stage.terms && el("div", { class: "terms" }, stage.terms.map(([term, weight]) => el("span", { class: "tag" }, `${term} ${scoreText(weight)}`)));
  return el("li", { class: `deep-${Math.min(2, stage.depth)}` }, el("b", null, stage.stage), parts.length ? `: ${parts.join(", ")}` : stage.terms ? ": rewritten query" : "", terms);
}

function noteItem(note) {
  const amount = note.amount === note.number ? "" : ` (${note.amount.toLocaleString("en")} in all)`;
  const docs = note.docs.length ? `: ${note.docs.join(", ")}${note.number > note.docs.length ? ", …" : ""}` : "";
  return el("li", null, `${note.stage}: ${note.number.toLocaleString("en")} ${note.kind.replaceAll("_", " ")}${amount}${docs}`, note.detail && ` (${note.detail})`);
}

/** How a judgement reads. */
function gradeTag(grade) {
  if (grade === null) return el("span", { class: "tag" }, "not judged");
  return grade >= DATA.relevance_level ? el("span", { class: "tag relevant" }, `relevant, grade ${grade}`) : el("span", { class: "tag" }, `not relevant, grade ${grade}`);
}

function hitItem(hit, rank, stages) {
  const held = DATA.documents[hit.doc];
  const details = el("details", { open: hit.doc === opened.doc, ontoggle: (event) => {
    if (event.target.open && event.target.lastChild.tagName === "SUMMARY") event.target.append(hitBody(hit, stages));
    if (event.target.open) opened.doc = hit.doc;
    else if (opened.doc === hit.doc) opened.doc = "";
    if (opened.query >= 0) remember();
  } }, el("summary", null,
    el("span", { class: "rank" }, rank === null ? "–" : String(rank)),
    el("span", { class: "title" }, held.title || held.text.slice(0, 90) || hit.doc, " ", el("span", { class: "id" }, hit.doc)),
    gradeTag(hit.grade),
    el("span", { class: "way" }, wayOf(hit, stages))));
  if (details.open) details.append(hitBody(hit, stages));
  return el("li", null, details);
}

/** Rank after each stage that left a ranking, in a line. */
function wayOf(hit, stages) {
  return stages.flatMap((stage, n) => {
    if (stage.hits === null) return [];
    return [`${stage.stage} `, el("b", null, hit.places[n] ? `#${hit.places[n][0]}` : "–"), " → "];
  }).slice(0, -1);
}

function hitBody(hit, stages) {
  const rows = stages.flatMap((stage, n) => (stage.hits === null ? [] : [el("tr", null,
    el("th", { scope: "row" }, `${"  ".repeat(stage.depth)}${stage.stage}`),
    el("td", null, hit.places[n] ? String(hit.places[n][0]) : "not there"),
    el("td", null, hit.places[n] ? scoreText(hit.places[n][1]) : ""))]));
  const head = el("tr", null, ["stage", "rank", "score"].map((name) => el("th", { scope: "col" }, name)));
  const held = DATA.documents[hit.doc];
  const all = held.length > Array.from(held.text).length;
  return el("div", { class: "hit-body" },
    el("table", { class: "hit-trace" }, el("thead", null, head), el("tbody", null, rows)),
    el("div", { class: "text-body" }, hit.spans ? sentences(held.text, hit.spans) : held.text),
    all && el("p", { class: "legend" }, `The beginning of ${counted(held.length, "character")}.`));
}

/** The text with its spans marked. Offsets count code points, as Python does; JavaScript counts half pairs. */
function sentences(text, spans) {
  const letters = Array.from(text);
  const parts = [];
  let end = 0;
  for (const [start, stop, kept, odds] of spans) {
    if (start >= letters.length) break;
    parts.push(letters.slice(end, start).join(""));
    parts.push(el(kept ? "mark" : "del", null, letters.slice(start, stop).join("")), el("span", { class: "odds" }, odds.toFixed(2)));
    end = stop;
  }
  parts.push(letters.slice(end).join(""));
  return parts;
}
