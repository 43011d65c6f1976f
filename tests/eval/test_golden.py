"""Golden numbers: what a golden file may say, what a check finds, and the page; then this project's own figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rankloom.errors import ConfigError, NotFoundError, UsageError
from rankloom.eval.experiment import Experiment
from rankloom.eval.golden import GoldenFile, chosen_tables, read_golden
from rankloom.eval.golden_check import Finding, Status, check_tables
from rankloom.eval.golden_page import page_path, rendered, write_page
from rankloom.eval.sources import data_folder
from rankloom.session import Session

CONFIGS = Path(__file__).parents[2] / "configs"
EXPERIMENT: dict[str, Any] = {
    "collection": "mini",
    "measures": ["nDCG@10"],
    "pipelines": {"bm25": ["bm25"], "short": ["bm25", {"top": 1}], "odd": ["bm25", {"cross_encoder": {"model": "no"}}]},
    "output": "out",
}
BM25 = 0.6443  # nDCG@10 of BM25 on the mini collection


def offline(experiment: Experiment) -> Session:
    return experiment.session(offline=True)


def golden(folder: Path, *runs: dict[str, Any], **more: Any) -> GoldenFile:
    """A golden file of one table, beside its experiment."""
    (folder / "exp.yaml").write_text(yaml.safe_dump(EXPERIMENT, sort_keys=False))
    table = {"config": "exp.yaml", "runs": list(runs)}
    (folder / "golden.yaml").write_text(yaml.safe_dump({"tables": {"t": table}, **more}, sort_keys=False))
    return read_golden(folder / "golden.yaml")


def checked(file: GoldenFile, *pipelines: str) -> list[Finding]:
    return list(check_tables(file, file.golden.tables, offline, pipelines=pipelines))


def scores(**means: float) -> dict[str, Any]:
    """A run with the nDCG@10 of some pipelines."""
    return {"scores": {name: {"nDCG@10": mean} for name, mean in means.items()}}


def test_figures_are_met_to_the_tolerance_and_no_further(tmp_path: Path) -> None:
    (met,) = checked(golden(tmp_path, scores(bm25=BM25)))
    assert met.status is Status.MET
    assert met.found == pytest.approx(BM25, abs=met.tolerance)
    assert (met.table, met.collection, met.pipeline, met.measure) == ("t", "mini", "bm25", "nDCG@10")
    (failed,) = checked(golden(tmp_path, scores(bm25=BM25 + 0.0002)))
    assert failed.status is Status.FAILED
    assert "off by -0.0002" in failed.reason


def test_what_is_not_here_is_skipped_with_the_reason(tmp_path: Path) -> None:
    skipped = checked(golden(tmp_path, {"collection": "nowhere", **scores(bm25=0.3, short=0.2)}))
    assert [(one.pipeline, one.status, one.found) for one in skipped] == [
        ("bm25", Status.SKIPPED, None), ("short", Status.SKIPPED, None)
    ]  # fmt: skip
    assert "there is no such collection" in skipped[0].reason
    # A model that is not here does not take a pipeline with it that needs none.
    found = checked(golden(tmp_path, scores(bm25=BM25, odd=0.5)))
    assert [(one.pipeline, one.status) for one in found] == [("bm25", Status.MET), ("odd", Status.SKIPPED)]
    assert "the model was not found" in found[1].reason


def test_a_pipeline_that_fails_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "stages"))
    monkeypatch.setitem(EXPERIMENT["pipelines"], "bad", ["bm25", {"rankloom_test_stages:Failing": {}}])
    found = checked(golden(tmp_path, scores(bm25=BM25, bad=0.5)))
    assert [(one.pipeline, one.status) for one in found] == [("bm25", Status.MET), ("bad", Status.FAILED)]
    (alone,) = checked(golden(tmp_path, scores(bad=0.5)))
    assert alone.status is Status.FAILED


def test_significance_marks_are_figures_too(tmp_path: Path) -> None:
    short = checked(golden(tmp_path, scores(bm25=BM25, short=0.2)))[1].found
    assert short is not None
    both = scores(bm25=BM25, short=short)
    right = checked(golden(tmp_path, {**both, "worse": {"nDCG@10": ["short"]}}))
    assert {one.status for one in right} == {Status.MET}
    wrong = checked(golden(tmp_path, {**both, "better": {"nDCG@10": ["short"]}}))
    assert wrong[1].reason == "significance mark -, recorded +"
    assert {one.status for one in checked(golden(tmp_path, both))} == {Status.MET}  # none recorded, none asked
    partly = golden(tmp_path, {**both, "better": {"nDCG@10": ["short"]}})
    assert [one.status for one in checked(partly, "short")] == [Status.MET]  # the family is not whole


def test_changes_reach_the_experiment(tmp_path: Path) -> None:
    run = {"set": ["pipelines.bm25=[{bm25: {k1: 2.0}}]"], **scores(bm25=BM25)}
    assert checked(golden(tmp_path, run))[0].status is Status.FAILED


def test_names_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'bm25'"):
        checked(golden(tmp_path, scores(bm52=BM25)))
    file = golden(tmp_path, scores(bm25=BM25))
    with pytest.raises(UsageError, match="unknown pipeline"):
        checked(file, "dense")
    with pytest.raises(UsageError, match="unknown table"):
        chosen_tables(file.golden, ["u"])
    (tmp_path / "exp.yaml").unlink()
    with pytest.raises(NotFoundError):
        checked(file)


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ({"value": 0.7}, "say why under `differs`"),
        ({"value": BM25, "differs": "because"}, "`differs` is not true"),
        ({"value": 0.644, "digits": 3, "differs": "because"}, "`differs` is not true"),
        ({"value": BM25, "pipeline": "dense"}, "no score of 'dense'"),
        ({"value": BM25, "sauce": "x"}, "unknown key"),
    ],
)
def test_references_that_can_not_be(tmp_path: Path, reference: dict[str, Any], problem: str) -> None:
    whole = {"pipeline": "bm25", "measure": "nDCG@10", "source": "somebody", **reference}
    with pytest.raises(ConfigError, match=problem) as caught:
        golden(tmp_path, {**scores(bm25=BM25), "references": [whole]})
    assert "golden.yaml:" in str(caught.value)


def test_marks_need_scores(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no score of 'short' for 'AP'"):
        golden(tmp_path, {**scores(short=0.5), "better": {"AP": ["short"]}})


# --- the page ----------------------------------------------------------------------------------------------------

PAGE = {"page": {"template": "page.md.in", "output": "page.md"}}


def test_the_page_has_the_tables_and_nothing_else_new(tmp_path: Path) -> None:
    reference = {"pipeline": "bm25", "measure": "nDCG@10", "value": 0.65, "digits": 2, "source": "us", "differs": "why"}
    run = {**scores(bm25=0.6443, short=1.0), "better": {"nDCG@10": ["short"]}, "references": [reference]}
    file = golden(tmp_path, run, **PAGE)
    (tmp_path / "page.md.in").write_text("# Page\n\n{{ table t }}\nbetween\n{{ references t }}\n")
    assert write_page(file) == tmp_path / "page.md"
    assert (tmp_path / "page.md").read_text().splitlines() == [
        "# Page", "",
        "| pipeline | nDCG@10 |", "| --- | --- |", "| bm25 | .6443 |", "| short | 1.0000 + |",
        "between",
        "| measure | here | published | by | difference |", "| --- | --- | --- | --- | --- |",
        "| nDCG@10 | .6443 | .65 | us | why |",
    ]  # fmt: skip


def test_several_runs_make_a_row_each(tmp_path: Path) -> None:
    file = golden(tmp_path, scores(bm25=0.5, short=0.25), {"collection": "other", **scores(bm25=0.75)}, **PAGE)
    (tmp_path / "page.md.in").write_text("{{ table t }}")
    assert rendered(file).splitlines()[0::2][:1] == ["| collection | bm25: nDCG@10 | short: nDCG@10 |"]
    assert rendered(file).splitlines()[2:] == ["| mini | .5000 | .2500 |", "| other | .7500 |  |"]


def test_templates_that_can_not_be(tmp_path: Path) -> None:
    file = golden(tmp_path, scores(bm25=0.5), **PAGE)
    with pytest.raises(NotFoundError, match="template"):
        rendered(file)
    for text, error in (
        ("{{ tables t }}", "not a marker"),
        ("see {{ table t }}", "not a marker"),
        ("{{ table u }}", "unknown table"),
        ("{{ references t }}", "stands nowhere"),
    ):
        (tmp_path / "page.md.in").write_text(text)
        with pytest.raises((ConfigError, UsageError), match=error):
            rendered(file)
    with pytest.raises(UsageError, match="names no page"):
        rendered(golden(tmp_path, scores(bm25=0.5)))


# --- this project's figures --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own() -> GoldenFile:
    """The project's golden file."""
    return read_golden(CONFIGS / "golden.yaml")


def test_the_results_page_is_what_the_golden_file_gives(own: GoldenFile) -> None:
    assert page_path(own).read_text(encoding="utf-8") == rendered(own), "run `rankloom golden --page`"


def unmet(findings: list[Finding]) -> list[Finding]:
    return [one for one in findings if one.status is not Status.MET]


@pytest.mark.slow
def test_figures_on_the_bundled_collection(own: GoldenFile) -> None:
    """All but the rerankers, which take a minute; `.ci/run` checks them too."""
    names = ["bm25", "bm25+rm3", "dense", "hybrid", "hybrid+prf"]
    findings = list(check_tables(own, chosen_tables(own.golden, ["mini"]), offline, pipelines=names))
    assert len(findings) == 20
    assert unmet(findings) == []


@pytest.mark.slow
@pytest.mark.skipif(data_folder() is None, reason="RANKLOOM_DATA is not there")
@pytest.mark.parametrize("table", ["scifact", "nfcorpus", "candidates", "classic"])
def test_lexical_and_stored_figures(own: GoldenFile, table: str) -> None:
    """Those that take minutes (dense retrieval) are left to `rankloom golden`."""
    chosen = chosen_tables(own.golden, [table])
    lexical = {"bm25", "bm25+rm3", "bm25,k1=1.2,b=.75", "stored"}
    names = [name for name in dict.fromkeys(n for run in chosen[table].runs for n in run.scores) if name in lexical]
    findings = list(check_tables(own, chosen, offline, pipelines=names))
    assert [one for one in unmet(findings) if one.status is Status.FAILED] == []
    if len(unmet(findings)) == len(findings):
        pytest.skip(f"RANKLOOM_DATA has nothing of {table}")
