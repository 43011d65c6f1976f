"""Runs measured for a comparison, and values that experiments hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rankloom import Query
from rankloom.corpus import Corpus
from rankloom.errors import DataError, NotFoundError, UsageError
from rankloom.eval.collections import Collection
from rankloom.eval.comparison import measured, own_settings, stored
from rankloom.eval.experiment import Experiment
from rankloom.eval.measures import evaluate
from rankloom.trec import read_run

QRELS = {"q1": {"d1": 1}, "q2": {"d2": 2, "d3": 1}}


def put(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def experiment(folder: Path, **changes: Any) -> Path:
    values = {
        "collection": "mini",
        "measures": ["nDCG@10", "AP"],
        "pipelines": {"bm25": ["bm25"], "short": ["bm25", {"top": 3}]},
        "output": str(folder),
    }
    made = Experiment.from_dict({**values, **changes})
    made.run(made.session(offline=True))
    return folder


def test_runs_are_measured_as_evaluate_does(tmp_path: Path) -> None:
    path = put(tmp_path / "a.trec", "q1 Q0 d9 1 3 t", "q1 Q0 d1 2 2 t")
    found = measured([tmp_path], QRELS, ["AP", "nDCG@10"])
    assert found.evaluations == {"a": evaluate(read_run(path), QRELS, ["AP", "nDCG@10"])}
    assert found.evaluations["a"].missing == ("q2",)
    assert found.paths == {"a": path}


def test_a_collection_brings_its_quirks(tmp_path: Path) -> None:
    put(tmp_path / "a.trec", "q1 Q0 q1 1 3 t", "q1 Q0 d1 2 2 t", "q2 Q0 d3 1 2 t", "q2 Q0 d2 2 1 t")
    plain = measured([tmp_path], QRELS, ["RR"]).evaluations["a"]
    assert plain.per_query["RR"] == {"q1": 0.5, "q2": 1.0}
    collection = Collection(
        id="odd",
        queries=(Query("q1", "x"), Query("q2", "y")),
        qrels=QRELS,
        open_corpus=lambda: Corpus.of([]),
        drop_self_hits=True,
        relevance_level=2,
    )
    with_quirks = measured([tmp_path], collection, ["RR"]).evaluations["a"]
    assert with_quirks.per_query["RR"] == {"q1": 0.0, "q2": 0.5}
    assert with_quirks.removed_hits == 1


def test_runs_of_another_collection_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "a.trec", "q1 Q0 d1 1 2 t")
    other = put(tmp_path / "b.trec", "topic7 Q0 d1 1 2 t")
    found = measured([tmp_path], QRELS, ["AP"])
    assert list(found.evaluations) == ["a"]
    assert [(one.path, one.reason) for one in found.skipped] == [(other, "none of its queries is judged")]
    with pytest.raises(DataError, match="no run has a query that is judged"):
        measured([other], QRELS, ["AP"])


def test_values_of_several_experiments(tmp_path: Path) -> None:
    one = experiment(tmp_path / "one")
    two = experiment(
        tmp_path / "two", measures=["AP", "RR"], pipelines={"bm25": ["bm25"], "rm3": ["bm25", "rm3", "bm25"]}
    )
    found = stored([one, two], [])
    assert list(found.evaluations) == ["one/bm25", "short", "two/bm25", "rm3"]
    assert {evaluation.measures for evaluation in found.evaluations.values()} == {("AP",)}
    assert found.evaluations["one/bm25"].per_query["AP"] == found.evaluations["two/bm25"].per_query["AP"]
    again = measured([one, two], dict(_qrels()), ["AP"])
    assert {name: one.means for name, one in again.evaluations.items()} == {
        name: pytest.approx({"AP": one.means["AP"]}) for name, one in found.evaluations.items()
    }
    with pytest.raises(DataError, match="not all experiments have measured this"):
        stored([one, two], ["RR"])


def _qrels() -> dict[str, dict[str, int]]:
    from rankloom.eval.collections import load_collection

    return load_collection("mini").qrels


def test_values_that_can_not_be_compared(tmp_path: Path) -> None:
    one = experiment(tmp_path / "one")
    with pytest.raises(NotFoundError, match="no such"):
        stored([one, tmp_path / "nowhere"], [])
    with pytest.raises(UsageError, match="run files need judgements"):
        stored([one, put(tmp_path / "a.trec", "q1 Q0 d1 1 2 t")], [])
    with pytest.raises(NotFoundError, match="no results"):
        stored([put(tmp_path / "plain/a.trec", "q1 Q0 d1 1 2 t").parent], [])
    manifest = tmp_path / "two" / "manifest.json"
    experiment(tmp_path / "two")
    manifest.write_text(manifest.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    with pytest.raises(DataError, match="different collections"):
        stored([one, tmp_path / "two"], [])


def test_an_experiments_own_settings(tmp_path: Path) -> None:
    compare = {"baseline": "short", "test": "wilcoxon", "correction": "none", "intervals": "none"}
    folder = experiment(tmp_path / "one", compare=compare, session={"seed": 3})
    assert own_settings([folder]) == {**compare, "seed": 3}
    assert own_settings([folder, folder]) == own_settings([tmp_path]) == {}
