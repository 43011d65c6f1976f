// The page: which pipelines there are, what is asked, and what is said while it is. Results are drawn in results.js.

import { byId, counted, el, milliseconds } from "./elements.js";
import { drawResults, stageSeconds } from "./results.js";

let key = ""; // never stored
let underWay = null; // what stops the search that is under way

/** What is wrong, in the server's own words (RFC 9457). */
class Problem extends Error {
  constructor(status, told) {
    const parts = [told.detail ?? told.title ?? `the server answered ${status}`];
    if (told.value !== undefined) parts.push(`value: ${told.value}`);
    if (told.accepted !== undefined) parts.push(`accepted: ${told.accepted}`);
    if (told.fix !== undefined) parts.push(`fix: ${told.fix}`);
    super(`${told.stage ? `${told.stage}: ` : ""}${parts.join("; ")}`);
    this.status = status;
  }
}

/** Ask the server; paths are relative, so that the page works behind a prefix too. */
async function ask(path, body, signal) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const asked = body === undefined ? { headers, signal } : {
    method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body), signal,
  };
  let answer;
  try {
    answer = await fetch(path, asked);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "the server does not answer", fix: "see whether it still runs" });
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, told);
  return told;
}

function say(text) {
  byId("status").textContent = text;
}

function showProblem(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = text === "";
}

/** Ask for a key, and say what is wrong with the one that was given. */
function askForKey() {
  byId("key-form").hidden = false;
  showProblem(key ? "The server does not know this key." : "");
  say("This server needs an API key.");
  byId("key").focus();
}

/** Fill the choices with the pipelines that search. */
async function loadPipelines() {
  let found;
  try {
    found = (await ask("v1/pipelines")).filter((one) => one.uses.includes("search"));
  } catch (error) {
    if (error.status === 401) return askForKey();
    return showProblem(error.message);
  }
  byId("key-form").hidden = key === "";
  showProblem("");
  say("");
  if (found.length === 0) return showProblem("No pipeline of this server searches: all work on documents that come with requests.");
  const option = (one) => el("option", { value: one.name }, `${one.name} (${one.stages.join(" → ")})`);
  byId("pipeline-a").replaceChildren(...found.map(option));
  byId("pipeline-b").replaceChildren(...found.map(option), el("option", { value: "" }, "none"));
  byId("pipeline-b").value = found.length > 1 ? found[1].name : "";
  byId("search").disabled = false;
  byId("question").focus();
}

/** Ask both pipelines, one after the other: together they would slow each other down, and the figures would lie. */
async function search() {
  underWay?.abort();
  const stop = new AbortController();
  underWay = stop;
  const [query, k] = [byId("question").value, byId("hits").valueAsNumber];
  const asked = [["A", byId("pipeline-a").value], ["B", byId("pipeline-b").value]].filter(([, name]) => name);
  showProblem("");
  byId("results").replaceChildren();
  byId("results").setAttribute("aria-busy", "true");
  const columns = [];
  try {
    for (const [letter, name] of asked) {
      say(`Asking ${name} … (Escape stops)`);
      columns.push(await column(letter, name, { query, k, pipeline: name, trace: true }, stop.signal));
    }
    drawResults(byId("results"), columns);
    say(summary(columns));
  } catch (error) {
    if (underWay !== stop) return; // another search has begun
    say(error.name === "AbortError" ? "Stopped." : "");
    if (error.status === 401) askForKey();
    else if (error.name !== "AbortError") showProblem(error.message);
  } finally {
    if (underWay === stop) {
      underWay = null;
      byId("results").removeAttribute("aria-busy");
    }
  }
}

/** What one pipeline answers; a problem of one leaves the other its place. */
async function column(letter, name, body, signal) {
  const begun = performance.now();
  try {
    const answer = await ask("v1/search", body, signal);
    return { letter, name, answer, seconds: (performance.now() - begun) / 1000 };
  } catch (error) {
    if (error.name === "AbortError" || error.status === 401) throw error;
    return { letter, name, problem: error.message };
  }
}

/** What has been found, in one sentence for each pipeline, and what both have in common. */
function summary(columns) {
  const said = columns.map(({ letter, name, answer }) =>
    `${letter}, ${name}: ${answer ? `${counted(answer.hits.length, "hit")}, ${milliseconds(stageSeconds(answer))}` : "failed"}.`);
  const [a, b] = columns.map(({ answer }) => answer && new Set(answer.hits.map((hit) => hit.doc_id)));
  if (a && b) {
    const shared = [...a].filter((id) => b.has(id)).length;
    said.push(`${counted(shared, "document")} in both.`);
  }
  return said.join(" ");
}

byId("search").disabled = true;
byId("question-form").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = byId("key").value.trim();
  if (/^[\x21-\x7e]+$/.test(key)) return loadPipelines();
  key = ""; // no header can hold it
  showProblem("A key is made of letters, digits and signs of ASCII, without spaces.");
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") underWay?.abort();
});
loadPipelines();
