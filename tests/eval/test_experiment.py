"""The experiment runner: shared prefixes, pushed-down cut-offs, stable results, small failures."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rankloom.errors import ConfigError, MissingExtraError, NotFoundError, PartialResultError, StageError, UsageError
from rankloom.eval.collections import load_collection
from rankloom.eval.experiment import Experiment
from rankloom.eval.outputs import read_evaluations
from rankloom.trec import read_run

RESULTS = ("per_query.csv", "summary.json", "summary.md")
WORDS, LENGTHS = "rankloom_test_stages:Words", "rankloom_test_stages:Lengths"
FAILING, NEEDS_EXTRA = "rankloom_test_stages:Failing", "rankloom_test_stages:NeedsExtra"


@pytest.fixture(autouse=True)
def work_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make the test stages importable, and log what they compute."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "stages"))
    monkeypatch.setenv("RANKLOOM_TEST_LOG", str(tmp_path / "log.txt"))
    return tmp_path / "log.txt"


def experiment(folder: Path, pipelines: dict[str, Any], **changes: Any) -> Experiment:
    values = {
        "collection": "mini",
        "measures": ["nDCG@10", "AP", "seconds", "calls"],
        "define": {"words": {WORDS: {"k": 20}}, "lengths": {LENGTHS: {}}},
        "pipelines": pipelines,
        "output": str(folder / "out"),
    }
    return Experiment.from_dict({**values, **changes})


PIPELINES: dict[str, Any] = {
    "words": ["words"],
    "lengths": ["words", "lengths"],
    "short": ["words", "lengths", {"top": 3}],
    "fused": [{"rrf": {"inputs": ["words", ["words", "lengths"]]}}],
}


def results(folder: Path) -> dict[str, bytes]:
    files = [*sorted((folder / "runs").iterdir()), *(folder / name for name in RESULTS)]
    return {file.name: file.read_bytes() for file in files}


def computed(log: Path) -> Counter[str]:
    return Counter(log.read_text(encoding="utf-8").splitlines()) if log.exists() else Counter()


def test_shared_prefixes_run_once(tmp_path: Path, work_log: Path) -> None:
    done = experiment(tmp_path, PIPELINES)
    plan = done.plan()
    # The plan counts every stage of every pipeline, and the four digests that are left of them.
    assert (plan.total, plan.distinct) == (10, 4)
    assert plan.shared == {"words": 1, "lengths": 2, "short": 2, "fused": 2}
    done.run(done.session())  # no cache: what is shared is shared in memory
    assert set(computed(work_log).values()) == {1}
    assert len(computed(work_log)) == 2  # without a cache, a stage gets all queries at once


def test_outputs(tmp_path: Path) -> None:
    done = experiment(tmp_path, PIPELINES)
    result = done.run(done.session(cache=tmp_path / "cache"))
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*RESULTS, "ledger.json", "manifest.json", "report.html", "runs"]
    )
    collection = load_collection("mini")
    for name, outcome in result.outcomes.items():
        stored = read_run(out / "runs" / f"{name}.trec")
        assert collection.evaluate(stored, ["nDCG@10"]).means == {"nDCG@10": outcome.evaluation.means["nDCG@10"]}
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary["pipelines"]) == list(PIPELINES)
    cell = summary["pipelines"]["short"]["measures"]["AP"]
    base = summary["pipelines"]["words"]["measures"]["AP"]
    assert cell["delta"] == cell["mean"] - base["mean"]
    assert cell["corrected"] >= cell["p_value"]
    assert set(base) == {"mean"}
    assert cell["wins"] + cell["ties"] + cell["losses"] == summary["pipelines"]["short"]["queries"] == 50
    rows = list(csv.DictReader((out / "per_query.csv").open()))
    assert len(rows) == 4 * 2 * 50
    values = [float(row["value"]) for row in rows if (row["pipeline"], row["measure"]) == ("short", "AP")]
    assert sum(values) / 50 == pytest.approx(cell["mean"])
    ledger = json.loads((out / "ledger.json").read_text())
    assert ledger["pipelines"]["lengths"]["cost_measures"]["calls"] == 1
    assert not {"seconds", "calls"} & set(summary["measures"])
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["state"] == "complete"
    assert manifest["pipelines"]["short"]["lineage"] == result.outcomes["short"].run.lineage
    assert [stage["stage"] for stage in manifest["pipelines"]["fused"]["stages"][0]["branches"][1]] == [
        "words",
        "lengths",
    ]
    assert set(manifest["files"]) == {*RESULTS, *(f"runs/{name}.trec" for name in PIPELINES)}


def test_evaluations_are_read_back_as_they_were(tmp_path: Path) -> None:
    done = experiment(tmp_path, PIPELINES)
    result = done.run()
    stored = read_evaluations(tmp_path / "out")
    assert stored == {name: outcome.evaluation for name, outcome in result.outcomes.items()}
    with pytest.raises(NotFoundError):
        read_evaluations(tmp_path)


def test_a_second_run_computes_nothing_and_writes_the_same_bytes(tmp_path: Path, work_log: Path) -> None:
    done = experiment(tmp_path, PIPELINES)
    done.run(done.session(cache=tmp_path / "cache"))
    first, work = results(tmp_path / "out"), computed(work_log)
    assert set(work.values()) == {1}
    done.run(done.session(cache=tmp_path / "cache"))
    assert results(tmp_path / "out") == first
    assert computed(work_log) == work
    elsewhere = experiment(tmp_path, PIPELINES, output=str(tmp_path / "other"))
    elsewhere.run(elsewhere.session(cache=tmp_path / "fresh"))
    assert results(tmp_path / "other") == first


def test_a_sample_of_the_queries_is_measured(tmp_path: Path) -> None:
    found = experiment(tmp_path, {"words": ["words"]}, collection={"id": "mini", "sample": 5}).run()
    assert set(found.collection.qrels) == set(load_collection("mini").sample(5, seed=7).qrels)
    assert len(read_evaluations(tmp_path / "out")["words"].per_query["nDCG@10"]) == 5


def test_what_is_drawn_follows_the_seed_of_the_session(tmp_path: Path) -> None:
    compare = {"test": "randomisation", "correction": "bonferroni", "intervals": "bootstrap"}
    files = []
    for number, seed in enumerate((3, 3, 4)):
        folder = tmp_path / str(number)
        done = experiment(folder, PIPELINES, compare=compare, session={"seed": seed})
        done.run(done.session(cache=tmp_path / "cache"))
        files.append(results(folder / "out"))
    assert files[0] == files[1]
    first, other = (json.loads(file["summary.json"])["pipelines"]["short"]["measures"] for file in files[1:])
    assert first["AP"]["delta"] == other["AP"]["delta"]
    assert first["AP"]["delta_interval"] != other["AP"]["delta_interval"]
    assert first["AP"]["corrected"] == pytest.approx(min(1, 3 * first["AP"]["p_value"]))
    assert "a two-sided randomisation test, Bonferroni-corrected" in files[0]["summary.md"].decode()


def test_a_failing_pipeline_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    done = experiment(tmp_path, {**PIPELINES, "bad": ["words", {FAILING: {"on": "q10"}}, {"top": 5}]})
    with pytest.raises(PartialResultError, match=r"1 of 5 pipelines failed .*bad: failing: .*on fire"):
        done.run(done.session(cache=tmp_path / "cache"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["failed"] == ["bad"]
    assert list(summary["pipelines"]) == list(PIPELINES)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["state"] == "partial"
    assert "on fire" in manifest["failed"]["bad"]
    assert "on fire" in (tmp_path / "out" / "report.html").read_text()
    result = done.run(done.session(cache=tmp_path / "cache"), on_failure="report")
    assert list(result.failures) == ["bad"]


def test_when_all_fail_the_first_error_stands(tmp_path: Path) -> None:
    done = experiment(tmp_path, {"bad": ["words", {FAILING: {}}]})
    with pytest.raises(StageError, match="on fire"):
        done.run()
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_failed_baseline_leaves_means_without_comparison(tmp_path: Path) -> None:
    done = experiment(tmp_path, {"bad": ["words", {FAILING: {}}], **PIPELINES})
    result = done.run(on_failure="report")
    assert result.summary.baseline is None
    assert all(cell.delta is None for row in result.summary.rows for cell in row.cells.values())


def test_a_missing_extra_is_found_before_anything_runs(tmp_path: Path, work_log: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"rankloom\[dense\]"):
        experiment(tmp_path, {"words": ["words"], "extra": ["words", NEEDS_EXTRA]}).run()
    assert not computed(work_log)


def test_results_of_another_configuration_are_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    experiment(tmp_path, PIPELINES).run()
    (tmp_path / "out" / "runs" / "mine.trec").write_text("not ours to remove")
    (tmp_path / "out" / "notes.txt").write_text("nor this")
    caplog.clear()
    experiment(tmp_path, {"words": ["words"]}).run()
    assert "results of another configuration" in caplog.text
    assert sorted(path.name for path in (tmp_path / "out" / "runs").iterdir()) == ["mine.trec", "words.trec"]
    assert (tmp_path / "out" / "notes.txt").exists()
    caplog.clear()
    experiment(tmp_path, {"words": ["words"]}).run()
    assert not caplog.text


def test_an_output_that_is_a_file(tmp_path: Path, work_log: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="output folder"):
        experiment(tmp_path, PIPELINES).run()
    assert not computed(work_log)


def test_unknown_collection(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        experiment(tmp_path, PIPELINES, collection="no-such-collection").run()


def test_collection_of_files(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"_id": "d1", "text": "blue sky"}\n{"_id": "d2", "text": "red rose"}\n')
    (tmp_path / "q.tsv").write_text("q1\tblue\nq2\trose\nq3\tnothing\n")
    (tmp_path / "r.txt").write_text("q1 0 d1 1\nq2 0 d2 1\nq3 0 d1 1\n")
    files = {"corpus": "c.jsonl", "queries": "q.tsv", "qrels": "r.txt"}
    collection = {name: str(tmp_path / file) for name, file in files.items()}
    result = experiment(tmp_path, {"words": ["words"]}, collection=collection).run()
    row = result.summary.rows[0]
    assert (row.queries, row.missing) == (3, ("q3",))
    assert row.cells["AP"].mean == pytest.approx(2 / 3)


def test_cut_offs_are_pushed_down_only_where_every_use_has_one(tmp_path: Path) -> None:
    def depths(pipelines: dict[str, Any]) -> dict[str, int]:
        done = experiment(tmp_path, pipelines)
        built, failures = done.build(load_collection("mini"), done.session())
        assert not failures
        return {name: pipeline.stages[0].k for name, pipeline in built.items() if hasattr(pipeline.stages[0], "k")}

    assert depths({"a": ["words", {"top": 5}], "b": ["words", {"top": 12}, "lengths"]}) == {"a": 12, "b": 12}
    assert depths({"a": ["words", {"top": 5}], "b": ["words", "lengths"]}) == {"a": 20, "b": 20}
    assert depths({"a": ["words", {"top": 500}]}) == {"a": 20}
    fused = {"rrf": {"inputs": ["words", ["words", {"top": 9}, "lengths"]]}}
    assert depths({"a": ["words", {"top": 5}], "b": [fused]}) == {"a": 20}


def test_pushing_down_changes_no_result(tmp_path: Path) -> None:
    cut = experiment(tmp_path, {"a": ["words", {"top": 5}], "b": ["words", {"top": 12}, "lengths"]})
    whole = experiment(tmp_path, {"a": ["words", {"top": 5}], "b": ["words", {"top": 12}, "lengths"], "c": ["words"]})
    shallow, deep = cut.evaluate(cut.session()), whole.evaluate(whole.session())
    for name in ("a", "b"):
        assert shallow.outcomes[name].run.to_dict() == deep.outcomes[name].run.to_dict()


def test_explain(tmp_path: Path) -> None:
    done = experiment(tmp_path, PIPELINES)
    session = done.session(cache=tmp_path / "cache")
    run = done.run(session).outcomes["fused"].run
    told = done.explain("fused", "q02", session=session, top=2)
    assert [(view.stage, view.depth) for view in told.stages] == [
        ("words", 1),
        ("words", 1),
        ("lengths", 1),
        ("rrf", 0),
    ]
    assert [document.doc_id for document in told.documents] == run["q02"].doc_ids[:2]
    hit = run["q02"][0]
    assert told.documents[0].trace == tuple((e.stage, e.depth, e.rank, e.score) for e in hit.trace)
    gone = done.explain("fused", "q02", session=session, doc_ids=["coast-06"]).documents[0]
    assert gone.trace[-1] == ("rrf", 0, None, None) or gone.trace[-1][2] is not None
    with pytest.raises(UsageError, match="no such query"):
        done.explain("fused", "q2", session=session)


def test_composition_is_checked_before_the_collection_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lengths: needs ranking"):
        experiment(tmp_path, {"a": ["lengths", {"top": 3}]}, collection="no-such-collection")


def test_costs_that_are_asked_for_stand_in_the_ledger_and_never_in_the_results(tmp_path: Path) -> None:
    plain = experiment(tmp_path, {"lengths": PIPELINES["lengths"]}, measures=["AP"])
    result = plain.run(plain.session())
    assert result.outcomes["lengths"].latency is None
    expected = results(tmp_path / "out")
    done = experiment(
        tmp_path,
        {"lengths": PIPELINES["lengths"]},
        measures=["AP", "latency_p95", "money", "peak_memory", "queries_per_second", "index_bytes"],
        timing={"queries": 4, "warm_up": 1},
        prices={"lengths": {"input": 1.5, "call": 0.25}},
    )
    done.run(done.session())
    found = results(tmp_path / "out")
    names = [name for name in expected if name != "summary.json"]  # it holds the fingerprint of the configuration
    assert {name: found[name] for name in names} == {name: expected[name] for name in names}
    assert json.loads(found["summary.json"])["measures"] == ["AP"]
    ledger = json.loads((tmp_path / "out" / "ledger.json").read_text())["pipelines"]["lengths"]
    assert ledger["latency"]["queries"] == 4
    assert set(ledger["latency"]["stages"]) == {"words", "lengths"}
    costs = ledger["cost_measures"]
    assert costs["latency_p95"] == ledger["latency"]["whole"]["p95"] > 0
    assert costs["money"] == pytest.approx(10 * 1.5 / 1_000_000 + 0.25)
    assert costs["queries_per_second"] > 0
    assert "index_bytes" not in costs  # this retriever does not say
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["pipelines"]["lengths"]["costs"] == costs


def test_a_price_for_no_stage_is_an_error_before_anything_runs(tmp_path: Path, work_log: Path) -> None:
    wrong = experiment(tmp_path, PIPELINES, measures=["AP", "money"], prices={"length": {"input": 1.0}})
    with pytest.raises(ConfigError, match="did you mean 'lengths'"):
        wrong.run(wrong.session())
    assert not computed(work_log)
