"use strict";
// The table of queries: searched, filtered, sorted, a page at a time. With 10,000 queries only what is seen is built.

const PAGE = 25;

/** What is shown. `sort` is "query", "relevant", "delta" or the number of a pipeline. */
const view = { measure: "", system: 0, against: -1, filter: "all", search: "", sort: "", descending: true, page: 0, found: [] };

let DATA = null;
let searched = [];

const valueOf = (system, query) => DATA.values[view.measure][system][query];
const traced = (query) => Object.hasOwn(DATA.traces, DATA.queries.ids[query]);
const nameOf = (query) => `${DATA.queries.ids[query]} ${DATA.queries.texts[query]}`;

/** Value of the pipeline minus that of the other; a tie is exactly 0, and null is not known. */
function deltaOf(query, system = view.system, against = view.against) {
  if (against < 0) return null;
  const [ours, theirs] = [valueOf(system, query), valueOf(against, query)];
  if (ours === null || theirs === null) return null;
  return Math.abs(ours - theirs) <= DATA.tie ? 0 : ours - theirs;
}

const FILTERS = {
  all: ["all queries", () => true],
  helped: ["helped: better than the other", (query) => deltaOf(query) > 0],
  hurt: ["hurt: worse than the other", (query) => deltaOf(query) < 0],
  differ: ["changed either way", (query) => Boolean(deltaOf(query))],
  failed: ["0 in every pipeline", (query) => DATA.pipelines.every((_, system) => valueOf(system, query) === 0)],
  traced: ["with a stored trace", traced],
};

const SORTS = {
  query: (a, b) => a - b,
  relevant: (a, b) => DATA.queries.relevant[a] - DATA.queries.relevant[b],
  delta: (a, b) => (deltaOf(a) ?? -Infinity) - (deltaOf(b) ?? -Infinity),
};

function startExplorer(data) {
  DATA = data;
  searched = data.queries.ids.map((_, query) => nameOf(query).toLowerCase());
  view.measure = data.measures[0];
  view.against = data.baseline === null ? -1 : data.pipelines.indexOf(data.baseline);
  const means = data.pipelines.map((_, system) => (system === view.against ? -Infinity : mean(data.values[view.measure][system])));
  view.system = means.indexOf(Math.max(...means));
  const systems = data.pipelines.map((name, system) => [String(system), name]);
  choices(byId("measure"), data.measures.map((name) => [name, name]), view.measure);
  choices(byId("system"), systems, String(view.system));
  choices(byId("against"), [["-1", "nothing"], ...systems], String(view.against));
  byId("against-label").hidden = data.pipelines.length < 2;
  choices(byId("filter"), Object.entries(FILTERS).map(([name, [words]]) => [name, words]), view.filter);
  listen("measure", "measure", String, refresh);
  listen("system", "system", Number, refresh);
  listen("against", "against", Number, refresh);
  listen("filter", "filter", String, find);
  byId("search").addEventListener("input", (event) => { view.search = event.target.value; find(); });
  byId("previous").addEventListener("click", () => turnTo(view.page - 1));
  byId("next").addEventListener("click", () => turnTo(view.page + 1));
  byId("explorer").hidden = false;
  refresh();
  new ResizeObserver(afterResize()).observe(byId("explorer"));
}

function listen(id, key, read, then) {
  byId(id).addEventListener("change", (event) => { view[key] = read(event.target.value); then(); });
}

/** Draws again when the width has changed, and only then. */
function afterResize() {
  let known = byId("explorer").clientWidth;
  return () => {
    const width = byId("explorer").clientWidth;
    if (width !== known) { known = width; drawPlots(); }
  };
}

/** Another measure or pipeline: plots and table follow. */
function refresh() {
  drawPlots();
  drawHead();
  find();
}

/** Choose and sort the queries that the table shows. */
function find() {
  const words = view.search.toLowerCase().split(/\s+/).filter(Boolean);
  const [, keep] = FILTERS[view.filter];
  view.found = DATA.queries.ids.map((_, query) => query)
    .filter((query) => words.every((word) => searched[query].includes(word)) && keep(query));
  if (view.sort !== "") {
    const order = SORTS[view.sort] ?? ((a, b) => (valueOf(view.sort, a) ?? -1) - (valueOf(view.sort, b) ?? -1));
    const sign = view.descending ? -1 : 1;
    view.found.sort((a, b) => sign * order(a, b) || a - b);
  }
  turnTo(0);
}

function sortBy(key) {
  view.descending = view.sort === key ? !view.descending : key !== "query";
  view.sort = key;
  drawHead();
  find();
}

/** The columns: [sort key, words]. */
function columns() {
  const delta = view.against < 0 ? [] : [["delta", "difference"]];
  return [["query", "query"], ...DATA.pipelines.map((name, system) => [system, name]), ...delta, ["relevant", "relevant"]];
}

function drawHead() {
  const focused = document.activeElement?.dataset?.key;
  const cells = columns().map(([key, words]) => {
    const direction = view.sort === key ? (view.descending ? "descending" : "ascending") : null;
    return el("th", { scope: "col", "aria-sort": direction }, el("button", { type: "button", "data-key": String(key), onclick: () => sortBy(key) }, words));
  });
  byId("query-table").tHead.rows[0].replaceChildren(...cells);
  cells.find((cell) => cell.firstChild.dataset.key === focused)?.firstChild.focus();
}

function turnTo(page) {
  const pages = Math.max(1, Math.ceil(view.found.length / PAGE));
  view.page = Math.min(Math.max(0, page), pages - 1);
  const shown = view.found.slice(view.page * PAGE, (view.page + 1) * PAGE);
  byId("query-table").tBodies[0].replaceChildren(...shown.map(queryRow));
  const all = DATA.queries.ids.length;
  byId("count").textContent = view.found.length === all ? counted(all, "query", "queries") : `${view.found.length.toLocaleString("en")} of ${counted(all, "query", "queries")}`;
  byId("page").textContent = `page ${view.page + 1} of ${pages}`;
  byId("previous").disabled = view.page === 0;
  byId("next").disabled = view.page === pages - 1;
}

function queryRow(query) {
  const name = [el("span", { class: "id" }, DATA.queries.ids[query]), " ", DATA.queries.texts[query]];
  const cells = DATA.pipelines.map((_, system) => el("td", null, figure(valueOf(system, query))));
  const delta = deltaOf(query);
  const shown = delta === null ? "–" : delta === 0 ? "0" : signed(delta);
  const change = view.against < 0 ? null : el("td", { class: delta > 0 ? "up" : delta < 0 ? "down" : null }, shown);
  const open = el("button", { type: "button", class: "open", onclick: () => openQuery(query) }, name);
  return el("tr", null, el("th", { scope: "row" }, open), cells, change, el("td", null, DATA.queries.relevant[query].toLocaleString("en")));
}

function drawPlots() {
  const queries = DATA.queries.ids.map((_, query) => query);
  const columnsOf = DATA.values[view.measure];
  const high = columnsOf.reduce((most, column) => column.reduce((top, value) => Math.max(top, value ?? 0), most), 1);
  drawChanges(queries);
  drawDifficulty(queries, columnsOf, high);
  const rows = DATA.pipelines.map((name, system) => ({ name, values: columnsOf[system] }));
  const label = `Distribution of ${view.measure} over queries, for each pipeline`;
  plotDistribution(byId("plot-distribution"), rows, high, label);
  byId("read-distribution").textContent = `How many queries have which ${view.measure}; the line is the mean.`;
}

function drawChanges(queries) {
  const changes = queries.map((query) => ({ query, delta: deltaOf(query) })).filter((change) => change.delta !== null);
  const place = byId("plot-changes");
  if (view.against < 0 || view.against === view.system) {
    place.replaceChildren();
    byId("read-changes").textContent = "Choose two different pipelines to compare.";
    return;
  }
  const better = changes.filter((change) => change.delta > 0).length;
  const worse = changes.filter((change) => change.delta < 0).length;
  const names = `${DATA.pipelines[view.system]} against ${DATA.pipelines[view.against]}`;
  const told = `${names}, ${view.measure}: ${counted(better, "query", "queries")} better, ${(changes.length - better - worse).toLocaleString("en")} equal, ${worse.toLocaleString("en")} worse.`;
  plotChanges(place, changes, queries.map(nameOf), told);
  byId("read-changes").textContent = `${told}${grouping(changes.length)}`;
}

function drawDifficulty(queries, columnsOf, high) {
  const topics = queries.map((query) => {
    const values = columnsOf.map((column) => column[query]).filter((value) => value !== null);
    return { query, mean: mean(values), worst: Math.min(...values), best: Math.max(...values) };
  }).filter((topic) => Number.isFinite(topic.worst)).sort((a, b) => a.mean - b.mean || a.query - b.query);
  const told = `Each query's ${view.measure} from the worst to the best pipeline; the mark is the mean over pipelines.`;
  plotDifficulty(byId("plot-difficulty"), topics, queries.map(nameOf), high, told);
  byId("read-difficulty").textContent = `${told}${grouping(topics.length)}`;
}

function grouping(number) {
  return number > MOST_BARS ? ` Each bar stands for ${Math.floor(number / MOST_BARS)} or so neighbouring queries.` : " Select a bar to open its query.";
}
