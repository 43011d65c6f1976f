"""Tuning: against a brute-force reimplementation, and as rows of an experiment."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import ConfigError, NotFoundError, PartialResultError, UsageError
from rankloom.eval.collections import load_collection
from rankloom.eval.experiment import Experiment
from rankloom.eval.measures import Evaluation
from rankloom.eval.outputs import read_evaluations
from rankloom.eval.tuned_rows import remark_on
from rankloom.eval.tuning import chosen_elsewhere, cross_validated, folds_of, put_together, shared_queries
from rankloom.records import Query
from rankloom.run import Run
from rankloom.trec import read_run

WORDS, LENGTHS = "rankloom_test_stages:Words", "rankloom_test_stages:Lengths"
FAILING = "rankloom_test_stages:Failing"
MINI = Path(__file__).parents[2] / "eval" / "mini"


def evaluation(values: dict[str, float], measure: str = "AP") -> Evaluation:
    means = {measure: sum(values.values()) / len(values)}
    return Evaluation((measure,), {measure: measure}, {measure: values}, means)


# --- folds ------------------------------------------------------------------------------------------------------------


@given(count=st.integers(2, 60), folds=st.integers(2, 12), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_folds_part_the_queries_evenly(count: int, folds: int, seed: int) -> None:
    ids = [f"q{number}" for number in range(count)]
    if folds > count:
        with pytest.raises(UsageError):
            folds_of(ids, folds, seed=seed)
        return
    parts = folds_of(ids, folds, seed=seed)
    assert sorted(query for part in parts for query in part) == sorted(ids)
    assert {len(part) for part in parts} <= {count // folds, -(-count // folds)}
    mixed = random.Random(seed).sample(ids, count)
    assert [set(part) for part in folds_of(mixed, folds, seed=seed)] == [set(part) for part in parts]


def test_another_seed_parts_otherwise() -> None:
    ids = [f"q{number}" for number in range(20)]
    assert folds_of(ids, 4, seed=1) != folds_of(ids, 4, seed=2)


# --- choosing ---------------------------------------------------------------------------------------------------------


@given(
    table=st.integers(1, 6).flatmap(
        lambda rows: st.lists(
            st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), min_size=rows, max_size=rows), min_size=5, max_size=30
        )
    ),
    folds=st.integers(2, 5),
    seed=st.integers(0, 9),
)
@settings(max_examples=100, deadline=None)
def test_cross_validation_is_what_brute_force_says(table: list[list[float]], folds: int, seed: int) -> None:
    values = np.array(table)  # queries x settings
    ids = [f"q{number}" for number in range(len(values))]
    names = [f"s{number}" for number in range(values.shape[1])]
    evaluations = {
        name: evaluation(dict(zip(ids, column.tolist(), strict=True)))
        for name, column in zip(names, values.T, strict=True)
    }
    tuning = cross_validated(evaluations, "AP", folds=folds, seed=seed)
    held_out = np.zeros(len(ids))
    for fold, part in zip(tuning.folds, folds_of(ids, folds, seed=seed), strict=True):
        inside = np.array([query in part for query in ids])
        means = values[~inside].mean(axis=0)
        best = int(np.argmax(means >= means.max() - 1e-9))
        assert (fold.queries, fold.chosen) == (part, names[best])
        assert fold.training == pytest.approx(means[best])
        assert fold.held_out == pytest.approx(values[inside, best].mean())
        held_out[inside] = values[inside, best]
    assert tuning.mean == pytest.approx(held_out.mean())
    assert [evaluations[tuning.choice(query)].per_query["AP"][query] for query in ids] == held_out.tolist()
    overall = values.mean(axis=0)
    assert tuning.chosen == names[int(np.argmax(overall >= overall.max() - 1e-9))]
    assert list(tuning.means.values()) == pytest.approx(overall.tolist())


def test_choosing_elsewhere() -> None:
    training = {"a": evaluation({"t1": 0.2, "t2": 0.4}), "b": evaluation({"t1": 0.5, "t2": 0.3})}
    test = {"a": evaluation({"q1": 0.9, "q2": 0.7}), "b": evaluation({"q1": 0.1, "q2": 0.3})}
    asked: list[str] = []

    def measured(name: str) -> Evaluation:
        asked.append(name)
        return test[name]

    tuning = chosen_elsewhere(training, measured, "AP", collection="train")
    assert asked == ["b"]  # settings that were not chosen are not looked at
    assert (tuning.chosen, tuning.mean, tuning.folds, tuning.chosen_on) == ("b", 0.2, (), "train")
    assert tuning.choice("q1") == "b"
    assert tuning.lines() == ["b is best of 2 on train (AP 0.4000) and has 0.2000 here"]
    validated = chosen_elsewhere(training, measured, "AP", folds=2, collection="train")
    assert replace(validated, elsewhere=()) == tuning
    assert validated.elsewhere == cross_validated(training, "AP", folds=2).folds
    # without t1, b is chosen for t2's 0.3 < 0.4: a is; without t2, b is: a has 0.2 on t1, b has 0.3 on t2
    assert (
        validated.lines()[1] == "cross-validated there: AP 0.2500; the same is chosen without each of 1 of the 2 folds"
    )


@pytest.mark.parametrize(
    ("measured", "training", "apart", "part"),
    [
        ("scifact/test", "scifact/train", "", ""),
        ("dl20/test", "dl19/test", "", "chosen on a test split, dl19/test"),
        ("scifact/dev", "my/qrels/test.tsv", "", "chosen on a test split"),
        ("scifact/test", None, "collection: scifact/train", "`collection: scifact/train` keeps it apart"),
        ("robust04/test", None, "", "chosen by cross-validation on a test split, robust04/test"),
        ("my/qrels/test.tsv", None, "", "chosen by cross-validation on a test split, my/qrels/test.tsv"),
        ("scifact/train", None, "", ""),
    ],
)
def test_choosing_on_a_test_split_is_remarked_on(measured: str, training: str | None, apart: str, part: str) -> None:
    said = remark_on(measured, training, apart)
    assert part in said
    assert bool(part) == bool(said)


@pytest.mark.parametrize("named", ["folder", "files", "split"])
def test_own_files_of_a_test_split_are_told_with_what_stands_beside(tmp_path: Path, named: str) -> None:
    own = Path(half_of_mini(tmp_path, "own", odd=True))
    (own / "qrels" / "train.tsv").write_bytes((own / "qrels" / "test.tsv").read_bytes())
    files = {"corpus": f"{own}/corpus.jsonl", "queries": f"{own}/queries.jsonl", "qrels": f"{own}/qrels/test.tsv"}
    told = {"folder": str(own), "files": files, "split": {"id": str(own), "split": "test"}}[named]
    apart = f"qrels: {own}/qrels/train.tsv" if named == "files" else f"collection: {own}:train"
    plain = experiment(tmp_path, collection=told, tune={"measure": "AP", "folds": 2})
    tuning = plain.evaluate(plain.session()).tunings["lengths,tuned"]
    assert tuning.remark.startswith("chosen by cross-validation on a test split, ")
    assert tuning.remark.endswith(f"; `{apart}` keeps it apart")


def test_what_can_not_be_chosen_from() -> None:
    one = evaluation({"q1": 0.5, "q2": 0.5})
    with pytest.raises(UsageError, match="nothing to choose"):
        cross_validated({}, "AP")
    with pytest.raises(UsageError, match="not measured by this"):
        cross_validated({"a": one}, "nDCG", folds=2)
    with pytest.raises(UsageError, match="other queries"):
        cross_validated({"a": one, "b": evaluation({"q1": 0.5})}, "AP", folds=2)


def test_queries_on_both_sides_are_left_out_or_refused() -> None:
    test = [Query("q1", "Why is the sky blue"), Query("q2", "bees")]
    many = [Query(f"t{number}", f"text {number}") for number in range(18)]
    training = [Query("q1", "something else"), *many, Query("t18", " why is the  sky BLUE ")]
    assert shared_queries(training, test, same_corpus=False) == ["t18"]
    assert shared_queries(training, test, same_corpus=True) == ["q1", "t18"]
    with pytest.raises(UsageError, match=r"2 of the 19 queries to tune on are also measured, such as 'q1'"):
        shared_queries([*training[:-2], training[-1]], test, same_corpus=True)
    with pytest.raises(UsageError, match="'t1'"):
        shared_queries([Query("t1", "bees")], test, same_corpus=False)


def test_hits_come_from_the_setting_that_was_chosen() -> None:
    queries = {f"q{number}": f"text {number}" for number in range(6)}
    runs = {
        name: Run.from_dict({query: {f"{name}-{query}": 1.0, "shared": 0.5} for query in queries}, queries=queries)
        for name in ("a", "b")
    }
    values = {"a": [1.0, 0, 1, 0, 1, 0], "b": [0.0, 1, 0, 1, 0, 1.0]}
    evaluations = {name: evaluation(dict(zip(queries, column, strict=True))) for name, column in values.items()}
    tuning = cross_validated(evaluations, "AP", folds=3, seed=3)
    assert {fold.chosen for fold in tuning.folds} == {"a", "b"}  # else the test would show nothing
    joined = put_together(runs, tuning)
    assert list(joined) == list(queries)
    for query in queries:
        assert joined[query].doc_ids == runs[tuning.choice(query)][query].doc_ids
        assert joined[query][0].trace[-1].stage == "tune"


# --- in experiments ---------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def work_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make the test stages importable, and log what they compute."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "stages"))
    monkeypatch.setenv("RANKLOOM_TEST_LOG", str(tmp_path / "log.txt"))
    return tmp_path / "log.txt"


def experiment(folder: Path, **changes: Any) -> Experiment:
    values = {
        "collection": "mini",
        "measures": ["nDCG@10", "AP"],
        "pipelines": {"words": [{WORDS: {}}], "lengths": [{WORDS: {}}, {LENGTHS: {}}]},
        "sweep": {f"lengths.{LENGTHS}.power": [1.0, 2.0], f"lengths.{WORDS}.k": [2, 5, 20]},
        "tune": {"measure": "AP", "folds": 4},
        "output": str(folder / "out"),
    }
    return Experiment.from_dict({**values, **changes})


def test_a_tuned_row_is_a_row_like_any_other(tmp_path: Path, work_log: Path) -> None:
    done = experiment(tmp_path)
    result = done.run(done.session(cache=tmp_path / "cache"))
    row, tuning = result.outcomes["lengths,tuned"], result.tunings["lengths,tuned"]
    assert list(result.outcomes)[-1] == "lengths,tuned"
    among = [name for name in result.outcomes if name.startswith("lengths,") and name != "lengths,tuned"]
    assert list(tuning.means) == among
    for measure in ("nDCG@10", "AP"):  # also measures that were not chosen by
        for query, value in row.evaluation.per_query[measure].items():
            assert value == result.outcomes[tuning.choice(query)].evaluation.per_query[measure][query]
    assert row.evaluation.means["AP"] == pytest.approx(tuning.mean)
    assert tuning.mean <= max(tuning.means.values()) + 1e-9
    out = tmp_path / "out"
    summary = json.loads((out / "summary.json").read_text())
    cell = summary["pipelines"]["lengths,tuned"]["measures"]["AP"]
    assert cell["mean"] == row.evaluation.means["AP"]
    assert cell["corrected"] >= cell["p_value"]
    assert summary["tuning"]["lengths,tuned"]["chosen"] == tuning.chosen
    assert list(summary["settings"]) == among
    assert "cross-validated AP" in (out / "summary.md").read_text()
    stored = read_run(out / "runs" / "lengths,tuned.trec")
    assert load_collection("mini").evaluate(stored, ["AP"]).per_query["AP"] == row.evaluation.per_query["AP"]
    assert read_evaluations(out)["lengths,tuned"] == row.evaluation
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["tuning"] == summary["tuning"]

    work = work_log.read_text()
    first = {file.name: file.read_bytes() for file in [*(out / "runs").iterdir(), out / "summary.json"]}
    done.run(done.session(cache=tmp_path / "cache"))
    assert {file.name: file.read_bytes() for file in [*(out / "runs").iterdir(), out / "summary.json"]} == first
    assert work_log.read_text() == work  # choosing costs nothing


def test_what_an_output_folder_says_can_be_run_again(tmp_path: Path) -> None:
    done = experiment(tmp_path)
    result = done.run()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    again = Experiment.from_dict(manifest["config"])
    assert again.evaluate(again.session()).tunings == result.tunings


def test_tuning_among_named_pipelines_and_a_tuned_baseline(tmp_path: Path) -> None:
    pipelines = {"a": [{WORDS: {"k": 3}}], "b": [{WORDS: {"k": 9}}], "c": [{WORDS: {}}, {LENGTHS: {}}]}
    tune = {"among": {"best": ["a", "b"]}}
    done = experiment(tmp_path, pipelines=pipelines, sweep=None, tune=tune, compare={"baseline": "best"})
    result = done.evaluate(done.session())
    assert result.summary.baseline == "best"
    assert result.tunings["best"].measure == "nDCG@10"
    assert len(result.tunings["best"].folds) == 5


def half_of_mini(folder: Path, name: str, odd: bool) -> str:
    """A copy of the mini collection with the judgements of every other query."""
    copy = folder / name
    shutil.copytree(MINI, copy)
    head, *lines = (copy / "qrels" / "test.tsv").read_text().splitlines()
    kept = [line for line in lines if (int(line.split("\t")[0].strip("q")) % 2 == 1) == odd]
    (copy / "qrels" / "test.tsv").write_text("\n".join([head, *kept, ""]))
    return str(copy)


@pytest.mark.parametrize("cached", [False, True])
def test_choosing_on_another_split(tmp_path: Path, cached: bool) -> None:
    train, test = half_of_mini(tmp_path, "train", odd=True), half_of_mini(tmp_path, "test", odd=False)
    done = experiment(tmp_path, collection=test, tune={"measure": "AP", "collection": train})
    result = done.evaluate(done.session(cache=tmp_path / "cache" if cached else None))
    tuning = result.tunings["lengths,tuned"]
    for_itself = experiment(tmp_path, collection=train, tune=None)
    there = for_itself.evaluate(for_itself.session())
    assert tuning.means == {name: there.outcomes[name].evaluation.means["AP"] for name in tuning.means}
    assert tuning.means[tuning.chosen] == max(tuning.means.values())
    row, chosen = result.outcomes["lengths,tuned"], result.outcomes[tuning.chosen]
    assert row.evaluation == chosen.evaluation
    assert tuning.mean == pytest.approx(chosen.evaluation.means["AP"])


def test_stages_that_are_told_labels_are_told_those_of_the_split_that_is_chosen_on(tmp_path: Path) -> None:
    train, test = half_of_mini(tmp_path, "train", odd=True), half_of_mini(tmp_path, "test", odd=False)
    told: dict[str, Any] = {
        "measures": ["sentence_f1"],
        "pipelines": {"lead": ["judged", {"lead_pruner": 1}], "oracle": ["judged", {"oracle_pruner": {"depth": 100}}]},
        "sweep": {"lead.lead_pruner.n": [1, 3], "oracle.oracle_pruner.depth": [1, 100]},
    }
    done = experiment(tmp_path, **told, collection=test, tune={"measure": "sentence_f1", "collection": train})
    tunings = done.evaluate(done.session()).tunings
    for_itself = experiment(tmp_path, **told, collection=train, tune=None)
    there = for_itself.evaluate(for_itself.session())
    for tuning in tunings.values():
        assert tuning.means == {name: there.outcomes[name].evaluation.means["sentence_f1"] for name in tuning.means}
    assert tunings["oracle,tuned"].mean == 1.0


def test_a_shared_query_has_no_part_in_the_choice(tmp_path: Path) -> None:
    train, test = half_of_mini(tmp_path, "train", odd=True), half_of_mini(tmp_path, "test", odd=False)
    qrels = Path(train) / "qrels" / "test.tsv"
    one = next(line for line in (Path(test) / "qrels" / "test.tsv").read_text().splitlines()[1:])
    plain = experiment(tmp_path, collection=test, tune={"measure": "AP", "collection": train})
    before = plain.evaluate(plain.session()).tunings["lengths,tuned"]
    qrels.write_text(f"{qrels.read_text()}{one}\n")
    after = plain.evaluate(plain.session()).tunings["lengths,tuned"]
    assert f"chosen without 1 queries that are measured, such as {one.split()[0]}" in after.lines()[-1]
    assert replace(after, remark=before.remark) == before


def test_only_what_was_chosen_is_measured(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train, test = half_of_mini(tmp_path, "train", odd=True), half_of_mini(tmp_path, "test", odd=False)
    tune = {"measure": "AP", "collection": train, "folds": 3}
    full = experiment(tmp_path, collection=test, tune=tune)
    everything = full.evaluate(full.session())
    done = experiment(tmp_path, collection=test, tune=tune | {"settings": "chosen"})
    result = done.run(done.session(cache=tmp_path / "cache"))
    assert list(result.outcomes) == ["words", "lengths,tuned"]
    assert result.tunings == everything.tunings
    assert len(result.tunings["lengths,tuned"].elsewhere) == 3
    for name, outcome in result.outcomes.items():
        assert outcome.evaluation == everything.outcomes[name].evaluation
    assert "chosen on a test split" in caplog.text  # both halves are files called test.tsv
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert "cross-validated there: AP" in summary
    assert "chosen on a test split" in summary
    tried = set(json.loads((tmp_path / "out" / "manifest.json").read_text())["tuning"]["lengths,tuned"]["means"])
    assert tried == set(everything.outcomes) - set(result.outcomes)


def test_a_row_for_each_setting_of_what_is_not_chosen(tmp_path: Path) -> None:
    done = experiment(tmp_path, tune={"measure": "AP", "choose": [f"lengths.{WORDS}.k"]})
    assert {name: len(among) for name, among in done.config.tuned_rows.items()} == {
        "lengths,power=1.0,tuned": 3,
        "lengths,power=2.0,tuned": 3,
    }
    result = done.run()
    for power in (1.0, 2.0):
        tuning = result.tunings[f"lengths,power={power},tuned"]
        assert all(f"power={power}" in name for name in tuning.means)
    again = Experiment.from_dict(json.loads((tmp_path / "out" / "manifest.json").read_text())["config"])
    assert again.config == done.config


def test_choosing_on_the_queries_that_are_measured_is_refused(tmp_path: Path, work_log: Path) -> None:
    with pytest.raises(UsageError, match="50 of the 50 queries to tune on are also measured"):
        experiment(tmp_path, tune={"collection": "mini"}).run()
    with pytest.raises(NotFoundError):
        experiment(tmp_path, tune={"collection": "no-such-collection"}).run()
    assert not work_log.exists()


def test_a_tuned_row_has_no_stages_to_explain(tmp_path: Path) -> None:
    done = experiment(tmp_path)
    with pytest.raises(UsageError, match=r"a tuned row has no stages of its own.*lengths,"):
        done.explain("lengths,tuned", "q01", session=done.session())


def test_a_setting_that_fails_takes_the_tuned_row_with_it(tmp_path: Path) -> None:
    pipelines = {"words": [{WORDS: {}}], "bad": [{WORDS: {}}, {FAILING: {"on": "q10"}}, {"top": 5}]}
    done = experiment(tmp_path, pipelines=pipelines, sweep={"bad.top": [1, 2]})
    with pytest.raises(PartialResultError, match=r"bad,tuned: tune: 2 of the 2 settings .* have failed"):
        done.run()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["failed"] == ["bad,top=1", "bad,top=2", "bad,tuned"]


@pytest.mark.parametrize(
    ("tune", "parts"),
    [
        ({"measure": "nDCG"}, ["'nDCG' is not among the measures", "did you mean 'nDCG@10'?"]),
        ({"folds": 1}, ["tune.folds", "greater than or equal to 2"]),
        ({"fold": 4}, ["unknown key 'tune.fold'", "did you mean 'folds'?"]),
        ({"settings": "chosen"}, ["without a `collection`"]),
        ({"choose": [f"lengths.{WORDS}.kk"]}, ["the sweep has no such path", f"did you mean 'lengths.{WORDS}.k'"]),
        ({"choose": [f"lengths.{WORDS}.k"], "among": {"best": ["words", "lengths"]}}, ["not both"]),
        ({"collection": {"id": "mini", "qrels": "q.tsv"}}, ["a collection is an `id`"]),
        ({"among": {"best": ["words"]}}, ["'best' needs two pipelines"]),
        ({"among": {"best": ["words", "lenghts"]}}, ["'lenghts' is not a pipeline"]),
        ({"among": {"words": ["words", "x"]}}, ["'words' is a pipeline"]),
        ({"among": {"a/b": ["words", "x"]}}, ["'a/b' can not be a file name"]),
    ],
)
def test_bad_tuning_is_found_in_the_file(tmp_path: Path, tune: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        experiment(tmp_path, tune=tune)
    for part in parts:
        assert part in str(caught.value)


def test_there_must_be_something_to_choose_from(tmp_path: Path) -> None:
    for sweep in (None, {"words.k": [3]}):
        with pytest.raises(ConfigError, match="nothing to choose from"):
            experiment(tmp_path, pipelines={"words": [{WORDS: {}}]}, sweep=sweep and {f"words.{WORDS}.k": [3]})
