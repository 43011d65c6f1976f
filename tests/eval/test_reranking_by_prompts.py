"""Experiments with stages that ask language models: from YAML, forecast, within a budget, and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rankloom import Document, Run, Session
from rankloom.cli import main
from rankloom.corpus import MemoryDocuments
from rankloom.errors import ConfigError, PartialResultError
from rankloom.eval import Experiment
from rankloom.eval.forecast import forecast, forecast_lines
from rankloom.eval.plan import plan_of
from rankloom.language_model import Completion
from rankloom.language_models.transcript import transcript_line
from rankloom.rerank.llm import Listwise, Pairwise, Setwise
from rankloom.stage import Stage
from tests.rerank.llm.models import Grader

QUERIES = {"q1": "first", "q2": "second"}
HITS = 12


def recorded(folder: Path, *stages: Stage) -> None:
    """A collection, stored candidates, and a transcript of what the grader says to all that stages ask."""
    texts = {f"d{place:02}": f"a passage of grade {(place * 7) % HITS}" for place in range(HITS)}
    documents = MemoryDocuments([Document(doc_id, text) for doc_id, text in texts.items()])
    hits = {doc_id: -float(place) for place, doc_id in enumerate(texts)}
    run = Run.from_dict(dict.fromkeys(QUERIES, hits), queries=QUERIES, documents=documents)
    asked = {}
    for stage in stages:
        stage.run(run)
        for prompt in stage.model.prompts:  # type: ignore[attr-defined]  # the grader's
            asked[prompt] = stage.model.truth(prompt)  # type: ignore[attr-defined]  # likewise
    (folder / "said.jsonl").write_text(
        "".join(transcript_line(prompt, Completion(text, read=50, written=5)) for prompt, text in asked.items())
    )
    lines = [json.dumps({"_id": doc_id, "text": text}) for doc_id, text in texts.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    lines = [json.dumps({"_id": name, "text": text}) for name, text in QUERIES.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n")
    judged = [
        f"{name}\t{doc_id}\t{int(int(text.rsplit(' ', 1)[1]) >= 10)}"
        for name in QUERIES
        for doc_id, text in texts.items()
    ]
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(judged) + "\n")
    stored = [{"doc_id": doc_id, "score": -place, "text": text} for place, (doc_id, text) in enumerate(texts.items())]
    lines = [json.dumps({"query_id": name, "query": text, "hits": stored}) for name, text in QUERIES.items()]
    (folder / "first.jsonl").write_text("\n".join(lines) + "\n")


def written(folder: Path, **more: Any) -> Path:
    """The experiment's file."""
    model = {"replay": "said.jsonl"}
    values = {
        "collection": {"corpus": "corpus.jsonl", "queries": "queries.jsonl", "qrels": "qrels.tsv"},
        "measures": ["nDCG@2", "calls"],
        "define": {"first": {"candidates": {"source": "first.jsonl"}}},
        "pipelines": {
            "first": ["first"],
            "pairs": ["first", {"pairwise": {"model": model, "k": 3}}],
            "sets": ["first", {"setwise": {"model": model, "k": 3}}],
            "windows": ["first", {"listwise": {"model": model, "window": 5, "step": 2}}],
        },
        "output": str(folder / "out"),
        **more,
    }
    (folder / "experiment.yaml").write_text(json.dumps(values))  # JSON is YAML
    return folder / "experiment.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recorded(tmp_path, Pairwise(Grader(), k=3), Setwise(Grader(), k=3), Listwise(Grader(), window=5, step=2))
    return tmp_path


def test_stages_and_models_are_written_in_yaml(folder: Path) -> None:
    done = Experiment.from_yaml(written(folder))
    result = done.run(done.session(cache=folder / "cache"))
    for name in ("pairs", "sets", "windows"):
        assert result.outcomes[name].evaluation.means["nDCG@2"] == pytest.approx(1.0)
        assert result.outcomes[name].run.ledger.costs[-1].model == "said.jsonl"
    assert result.outcomes["first"].evaluation.means["nDCG@2"] < 1
    again = done.run(done.session(cache=folder / "cache"))
    assert [outcome.costs()["calls"] for outcome in again.outcomes.values()] == [0, 0, 0, 0]


def test_a_budget_finishes_in_part_and_the_next_run_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(folder, session={"budget": {"calls": 60}})
    arguments = ["run", str(file), "--cache", str(folder / "cache")]
    assert main(arguments) == 7
    assert "the budget was spent before all queries were done" in capsys.readouterr().err
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    assert manifest["state"] == "partial"
    assert manifest["unfinished"]["windows"] == 2
    runs = 1
    while main(arguments) == 7:
        runs += 1
        assert runs < 9
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    assert (manifest["state"], manifest["unfinished"]) == ("complete", {})
    whole = Experiment.from_yaml(written(folder, output=str(folder / "whole")))
    whole.run()
    for name in ("pairs", "sets", "windows"):
        one, other = ((folder / out / "runs" / f"{name}.trec").read_bytes() for out in ("out", "whole"))
        assert one == other


def test_a_model_that_fails_half_way_fails_its_pipeline_alone(folder: Path) -> None:
    lines = (folder / "said.jsonl").read_text().splitlines(keepends=True)
    (folder / "said.jsonl").write_text("".join(line for line in lines if "[]" not in line))  # nothing of windows
    file = written(folder)
    assert main(["run", str(file), "--cache", str(folder / "cache")]) == 7
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    assert list(manifest["failed"]) == ["windows"]
    done = Experiment.from_yaml(file)
    with pytest.raises(PartialResultError, match="1 of 4 pipelines failed"):
        done.run(done.session(cache=folder / "cache"))


@pytest.mark.parametrize(
    ("session", "problem"),
    [
        ({"budget": {}}, "a budget needs a limit: calls, tokens, seconds, money"),
        ({"budget": {"money": 2.0}}, "a limit of money needs `prices`"),
        ({"budget": {"calls": 0}}, "calls"),
        ({"budget": {"call": 3}}, "did you mean 'calls'"),
    ],
)
def test_a_budget_that_can_not_be_is_refused(folder: Path, session: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Experiment.from_yaml(written(folder, session=session))


def test_a_limit_of_money_needs_the_price_of_every_language_model(folder: Path) -> None:
    limited = {"budget": {"money": 2.0}}
    other = Experiment.from_yaml(written(folder, session=limited, prices={"other": {"input": 1.0}}))
    with pytest.raises(ConfigError, match=r"nobody says what a language model costs; got 'said\.jsonl'"):
        other.session()
    named = Experiment.from_yaml(written(folder, session=limited, prices={"said.jsonl": {}}))
    budget = named.session().budget
    assert budget is not None
    budget.check_priced("pairwise", "said.jsonl")


# --- forecasts ----------------------------------------------------------------------------------------------------

MODEL = {"local": "some/model"}


@pytest.mark.parametrize(
    ("step", "fewest", "most", "line"),
    [
        ({"listwise": {"model": MODEL}}, 9, 9, "at most 63 calls"),
        ({"listwise": {"model": MODEL, "depth": 25}}, 2, 2, "at most 14 calls"),
        ({"listwise": {"model": MODEL, "repeats": 2}}, 9, 18, "63 to 126 calls"),
        ({"pairwise": {"model": MODEL, "method": "all_pair", "k": 100}}, 9900, 9900, "at most 69,300 calls"),
        ({"pairwise": {"model": MODEL, "method": "sliding", "k": 1}}, 198, 198, "at most 1,386 calls"),
        ({"pairwise": {"model": MODEL, "method": "sliding"}}, 198, 1890, "1,386 to 13,230 calls"),
        ({"setwise": {"model": MODEL, "method": "bubblesort", "permutations": 2}}, 66, None, "462 to "),
        ({"setwise": {"model": MODEL}}, 33, None, "231 to "),
    ],
)
def test_calls_are_forecast(step: dict[str, Any], fewest: int, most: int | None, line: str) -> None:
    stages = plan_of({"p": [{"bm25": {"k": 100}}, step]}, {}).stages
    found = forecast(stages, queries=7)[-1]
    assert found.unit == "calls"
    assert found.fewest == 7 * fewest
    assert found.inputs == 7 * most if most is not None else found.inputs is not None and found.inputs > 7 * fewest
    assert line in list(forecast_lines([found], 7, source=None))[1]


def test_a_run_keeps_to_its_forecast(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(folder)
    assert main(["run", str(file), "--dry-run", "--output", "json"]) == 0
    told = {one["stage"].partition("(")[0]: one for one in json.loads(capsys.readouterr().out)["forecast"]}
    done = Experiment.from_yaml(file)
    result = done.run(Session())
    for name, word in {"pairs": "pairwise", "sets": "setwise", "windows": "listwise"}.items():
        calls = result.outcomes[name].run.ledger.costs[-1].calls
        # twelve hits reach the stage, and the plan knows of a thousand at most
        exact = {"pairwise": Pairwise, "setwise": Setwise, "listwise": Listwise}[word]
        parameters = {"k": 3, "depth": 12, "method": "heapsort", "children": 3, "permutations": 1}
        least, most = exact.calls({**parameters, "window": 5, "step": 2, "repeats": 1}, HITS)
        assert 2 * least <= calls <= 2 * most <= told[word]["inputs"]
        assert word != "listwise" or calls == 2 * least
