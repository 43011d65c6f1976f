"""The report without a browser: what is embedded, how it is escaped, what stands there without scripts."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.eval.experiment import Experiment
from rankloom.eval.report import traces
from rankloom.eval.report.diagram import boxes, diagrams_html
from rankloom.eval.report.page import embedded_json
from rankloom.eval.report.traces import HITS, chosen_queries
from rankloom.eval.results import ExperimentResult
from rankloom.fusion import rrf
from rankloom.ledger import Note

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    TEXTS | st.booleans() | st.none() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
)


class Page(HTMLParser):
    """Tags, links, and texts of cells by table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.styled: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        self.styled += [tag for name, _ in attrs if name == "style" or name.startswith("on")]


@pytest.fixture(autouse=True)
def stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the test stages importable."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "stages"))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExperimentResult, str]:
    folder = tmp_path_factory.mktemp("report") / "a<b>&"
    bm25 = {"bm25": {"k": 20}}
    experiment = Experiment.from_dict(
        {
            "collection": "mini",
            "measures": ["nDCG@10", "NumRet"],
            "pipelines": {
                "plain": [bm25],
                "feedback": [bm25, "rm3", bm25],
                "fused": [{"rrf": {"inputs": [[bm25], [bm25, "rm3", bm25]]}}, {"top": 5}],
            },
            "compare": {"intervals": "bootstrap"},
            "output": str(folder),
        }
    )
    result = experiment.run()
    return result, (folder / "report.html").read_text(encoding="utf-8")


def embedded(text: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found.group(1))


@given(JSON)
def test_embedded_json_is_read_back_and_can_not_end_its_block(value: object) -> None:
    text = embedded_json(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_nothing_is_loaded_and_nothing_is_styled_or_run_in_line(done: tuple[ExperimentResult, str]) -> None:
    page = Page(done[1])
    assert {link for link in page.links if not str(link).startswith("#")} == {"data:,"}
    assert page.styled == []
    assert page.tags.count("script") == 2
    assert "http://" not in done[1].replace("http://www.w3.org/2000/svg", "")
    assert "$" not in re.sub(r"<script.*?</script>", "", done[1], flags=re.DOTALL)


def test_every_value_of_every_query_is_there(done: tuple[ExperimentResult, str]) -> None:
    result, text = done
    data = embedded(text)
    ids = data["queries"]["ids"]
    assert ids == [query.id for query in result.collection.queries]
    assert data["queries"]["texts"] == [query.text for query in result.collection.queries]
    for measure in ("nDCG@10", "NumRet"):
        for name, values in zip(data["pipelines"], data["values"][measure], strict=True):
            wanted = result.outcomes[name].evaluation.per_query[measure]
            assert dict(zip(ids, values, strict=True)) == pytest.approx(wanted, abs=1e-10)


def test_traces_are_those_of_the_run(done: tuple[ExperimentResult, str]) -> None:
    result, text = done
    data = embedded(text)
    assert set(data["traces"]) == set(data["queries"]["ids"])  # 50 queries x 3 pipelines fit
    for query_id, pipelines in data["traces"].items():
        grades = result.collection.qrels[query_id]
        for name, trace in pipelines.items():
            hits = result.outcomes[name].run[query_id]
            assert [hit["doc"] for hit in trace["hits"]] == hits.doc_ids[:HITS]
            for hit, told in zip(hits, trace["hits"], strict=False):
                places = [None if e.rank is None else [e.rank, e.score] for e in hit.trace]
                assert told["places"] == places
                assert told["grade"] == grades.get(hit.doc_id)
                assert data["documents"][hit.doc_id]["text"] == hit.text
            relevant = {doc_id for doc_id, grade in grades.items() if grade >= 1}
            assert len(trace["lost"]) + trace["lost_more"] == len(relevant - {*hits.doc_ids[:HITS]})


def test_the_table_shows_means_intervals_and_marks(done: tuple[ExperimentResult, str]) -> None:
    result, text = done
    table = text[text.index('<table id="summary"') : text.index("</table>")]
    for row in result.summary.rows:
        cell = row.cells["nDCG@10"]
        assert cell.interval is not None
        assert f"{cell.mean:.4f}</span>" in table
        assert f"[{cell.interval.low:.4f}, {cell.interval.high:.4f}]" in table
    marks = [cell.mark for row in result.summary.rows for cell in row.cells.values()]
    assert table.count("▲") == marks.count("+")
    assert table.count("▼") == marks.count("-")
    assert marks.count("+") + marks.count("-") > 0
    assert "▲ and ▼ mark p" in text


def test_notes_that_say_the_same_are_one_group() -> None:
    notes = [Note("ce", "truncated", "q1", f"d{n}", amount=n) for n in range(1, 9)]
    groups = traces._grouped([*notes, Note("bm25", "no_hits", "q2"), Note("ce", "truncated", "q1", "d1", detail="why")])
    assert groups["q1"][0] == traces.NoteGroup("ce", "truncated", "", 8, 36, ("d1", "d2", "d3", "d4", "d5"))
    assert [group.detail for group in groups["q1"]] == ["", "why"]
    assert groups["q2"] == [traces.NoteGroup("bm25", "no_hits", "", 1, 1, ())]


def test_texts_share_the_room_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "TEXTS", 9)
    held = {f"d{n}": traces.DocumentText("", "abcdef", 6) for n in range(3)}
    assert {one.text for one in traces._cut(held).values()} == {"abc"}
    assert {one.length for one in traces._cut(held).values()} == {6}


def test_costs_of_stages_are_those_of_the_ledger(done: tuple[ExperimentResult, str]) -> None:
    result, text = done
    table = text[text.index('<table id="stage-costs"') :]
    for outcome in result.outcomes.values():
        for cost in outcome.run.ledger.by_stage().values():
            assert f'data-value="{cost.seconds!r}"' in table


def test_stored_are_the_queries_on_which_systems_differ_most() -> None:
    systems = {
        "a": {"q1": 0.5, "q2": 0.0, "q3": 0.9, "q4": 0.1},
        "b": {"q1": 0.5, "q2": 1.0, "q3": 0.5, "q4": 0.1},
    }
    assert chosen_queries(systems, traces=8) == ["q2", "q3", "q4", "q1"]  # of equal ones the hard one first
    assert chosen_queries(systems, traces=5) == ["q2", "q3"]
    assert chosen_queries(systems, traces=0) == ["q2"]


def test_a_diagram_knows_what_is_shared(done: tuple[ExperimentResult, str]) -> None:
    outcomes = done[0].outcomes
    drawn = {name: boxes(outcome.pipeline) for name, outcome in outcomes.items()}
    (fusion, top) = drawn["fused"]
    assert [box.name for box in fusion.branches[1]] == ["bm25", "rm3", "bm25"]
    assert fusion.branches[1][2].key == drawn["feedback"][2].key
    assert fusion.branches[0][0].key == drawn["plain"][0].key != drawn["feedback"][2].key
    assert (top.name, top.told) == ("top", "k 5")
    html = diagrams_html({name: outcome.pipeline for name, outcome in outcomes.items()})
    assert html.count("shared by 3") == 4  # bm25 opens three pipelines, and one of them twice
    assert html.count("shared by 2") == 4  # rm3 and the second bm25


def test_a_diagram_tells_short_parameters_that_are_not_the_defaults(done: tuple[ExperimentResult, str]) -> None:
    (bm25,) = done[0].outcomes["plain"].pipeline.stages
    assert [box.told for box in boxes(bm25.replace(k1=1.5))] == ["k 20; k1 1.5"]
    (fusion,) = boxes(rrf(bm25, bm25, weights=[0.25, 1]))
    assert (fusion.name, fusion.told) == ("rrf", "weights 0.25, 1")


def test_failures_stand_first_and_broken_text_is_no_reason_to_lose_a_report(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"_id": "d1", "text": "blue"}\n')
    (tmp_path / "q.jsonl").write_text('{"_id": "q1", "text": "half a pair \\ud83d blue"}\n')
    (tmp_path / "r.txt").write_text("q1 0 d1 1\n")
    files = {"corpus": "c.jsonl", "queries": "q.jsonl", "qrels": "r.txt"}
    experiment = Experiment.from_dict(
        {
            "collection": {name: str(tmp_path / file) for name, file in files.items()},
            "measures": ["RR"],
            "pipelines": {"good": ["bm25"], "bad": ["bm25", {"rankloom_test_stages:Failing": {}}]},
            "output": str(tmp_path / "out"),
        }
    )
    experiment.run(on_failure="report")
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert text.index("on fire") < text.index('<section id="results">')
    assert embedded(text)["queries"]["texts"] == ["half a pair ? blue"]


def test_texts_that_a_stored_first_stage_lacks_are_the_collection_s(
    tmp_path: Path,
) -> None:
    stored = {
        "query_id": "q01",
        "query": "waggle dance",
        "hits": [{"doc_id": "other-1", "score": 1.0, "text": "Not here."}],
    }
    (tmp_path / "stored.jsonl").write_text(json.dumps(stored) + "\n")
    pipelines = {"stored": [{"candidates": str(tmp_path / "stored.jsonl")}]}
    values = {"collection": "mini", "measures": ["nDCG@10"], "pipelines": pipelines, "output": str(tmp_path / "out")}
    experiment = Experiment.from_dict(values)
    result = experiment.run()
    found, texts = traces.stored_traces(result, ["q01"])
    lost = [hit.doc for hit in found["q01"]["stored"].lost]
    assert lost
    corpus = result.collection.corpus
    assert {doc: texts[doc].text for doc in lost} == {document.id: document.text for document in corpus.get(lost)}
    assert texts["other-1"].text == "Not here."
    told = experiment.explain("stored", "q01", session=experiment.session(), doc_ids=lost[:1])
    assert told.documents[0].title == corpus.get(lost[:1])[0].title
