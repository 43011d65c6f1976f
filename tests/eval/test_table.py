"""The table: which statistics stand in it, in which units, and that it depends on nothing but its input."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rankloom.errors import UsageError
from rankloom.eval.correction import benjamini_hochberg
from rankloom.eval.effect_size import cohens_dz, minimum_detectable_difference
from rankloom.eval.intervals import difference_interval, mean_interval
from rankloom.eval.measures import Evaluation
from rankloom.eval.significance import randomisation, wilcoxon
from rankloom.eval.table import summarise

QUERIES = [f"q{n}" for n in range(30)]


def evaluation(seed: int, shift: float = 0.0) -> Evaluation:
    values = np.random.default_rng(seed).random(30) + shift
    found = np.floor(values * 10)
    return Evaluation(
        measures=("AP", "NumRet"),
        exact={"AP": "AP", "NumRet": "NumRet"},
        per_query={
            "AP": dict(zip(QUERIES, values.tolist(), strict=True)),
            "NumRet": dict(zip(QUERIES, found.tolist(), strict=True)),
        },
        means={"AP": float(values.mean()), "NumRet": float(found.sum())},
    )


EVALUATIONS = {"base": evaluation(1), "near": evaluation(2, 0.02), "far": evaluation(3, 0.4)}


def values(name: str, measure: str = "AP") -> list[float]:
    return list(EVALUATIONS[name].per_query[measure].values())


def test_cells_hold_the_statistics_that_were_asked_for() -> None:
    summary = summarise(
        EVALUATIONS,
        baseline="base",
        test="randomisation",
        correction="benjamini_hochberg",
        intervals="bootstrap",
        seed=3,
    )
    base, near, far = (row.cells["AP"] for row in summary.rows)
    raw = [randomisation(values(name), values("base"), seed=3).p_value for name in ("near", "far")]
    assert [near.p_value, far.p_value] == raw
    assert [near.corrected, far.corrected] == benjamini_hochberg(raw)
    assert (near.mark, far.mark) == ("", "+")
    assert near.interval == mean_interval(values("near"), seed=3)
    assert near.delta_interval == difference_interval(values("near"), values("base"), seed=3)
    assert near.effect_size == cohens_dz(values("near"), values("base"))
    assert near.detectable == minimum_detectable_difference(values("near"), values("base"))
    assert base.interval == mean_interval(values("base"), seed=3)
    assert (base.delta, base.delta_interval, base.p_value, base.effect_size) == (None, None, None, None)


def test_counts_are_sums_and_so_are_their_differences_and_intervals() -> None:
    summary = summarise(EVALUATIONS, baseline="base", intervals="bootstrap")
    base, _, far = (row.cells["NumRet"] for row in summary.rows)
    assert far.delta == far.mean - base.mean > 50
    assert far.interval is not None
    assert far.delta_interval is not None
    assert far.interval.low < far.mean < far.interval.high
    assert far.delta_interval.low < far.delta < far.delta_interval.high
    per_query = minimum_detectable_difference(values("far", "NumRet"), values("base", "NumRet"))
    assert far.detectable == pytest.approx(30 * (per_query or 0))


def test_json_form() -> None:
    summary = summarise(EVALUATIONS, baseline="base", test="wilcoxon", correction="bonferroni", intervals="bootstrap")
    told = json.loads(json.dumps(summary.to_dict(), allow_nan=False))
    assert (told["test"], told["correction"], told["intervals"]) == ("wilcoxon", "bonferroni", "bootstrap")
    assert (told["level"], told["power"]) == (0.05, 0.8)
    cell = told["pipelines"]["far"]["measures"]["AP"]
    assert cell["p_value"] == wilcoxon(values("far"), values("base")).p_value
    assert cell["corrected"] == min(1.0, 2 * cell["p_value"])
    assert cell["delta_interval"] == list(difference_interval(values("far"), values("base")) or ())
    assert {"mean", "interval", "effect_size", "detectable", "wins", "ties", "losses", "delta"} <= set(cell)
    assert set(told["pipelines"]["base"]["measures"]["AP"]) == {"mean", "interval"}
    plain = summarise(EVALUATIONS, baseline="base").to_dict()["pipelines"]
    assert set(plain["base"]["measures"]["AP"]) == {"mean"}
    assert not {"interval", "delta_interval"} & set(plain["far"]["measures"]["AP"])


def test_same_difference_everywhere_has_a_json_form_and_a_row() -> None:
    shifted = {"base": EVALUATIONS["base"], "up": evaluation(1, 0.1)}
    summary = summarise(shifted, baseline="base", intervals="bootstrap")
    cell = json.loads(json.dumps(summary.to_dict(), allow_nan=False))["pipelines"]["up"]["measures"]["AP"]
    assert (cell["p_value"], cell["detectable"]) == (0.0, 0.0)
    assert "effect_size" not in cell
    row = dict(zip(summary.tests_header(), summary.tests()[0], strict=True))
    assert (row["effect"], row["interval"], row["wins"]) == ("-", "[0.1000, 0.1000]", "30")


def test_texts_show_intervals_where_asked() -> None:
    asked = summarise(EVALUATIONS, baseline="base", test="randomisation", intervals="bootstrap")
    plain = summarise(EVALUATIONS, baseline="base", correction="none")
    cell = asked.rows[2].cells["AP"]
    assert cell.interval is not None
    assert asked.cells()[2][1] == (
        f"{cell.mean:.4f} [{cell.interval.low:.4f}, {cell.interval.high:.4f}] ({cell.delta:+.4f})+"
    )
    assert plain.cells()[2][1] == f"{cell.mean:.4f} ({cell.delta:+.4f})+"
    for summary in (asked, plain):
        assert {len(cells) for cells in summary.tests()} == {len(summary.tests_header())}
    assert "interval" in asked.tests_header()
    assert "interval" not in plain.tests_header()
    assert "randomisation test, Holm-corrected over the pipelines compared. In brackets: 95%" in asked.legend()
    assert "paired t-test, uncorrected. Effect" in plain.legend()


def test_pipelines_that_failed_have_a_row() -> None:
    summary = summarise(EVALUATIONS, baseline="base", failed=["broken"])
    assert summary.cells()[-1] == ["broken", *["failed"] * len(summary.measures), "-", "-"]
    assert {len(cells) for cells in summary.cells()} == {len(summary.header())}


def test_figures_depend_on_the_seed_and_not_on_who_else_is_compared() -> None:
    def told(names: list[str], seed: int) -> object:
        some = {name: EVALUATIONS[name] for name in names}
        summary = summarise(
            some, baseline="base", test="randomisation", correction="none", intervals="bootstrap", seed=seed
        )
        return summary.to_dict()["pipelines"]["near"]

    assert told(["base", "near"], 3) == told(["far", "near", "base"], 3)
    assert told(["base", "near"], 3) != told(["base", "near"], 4)


def test_unknown_words_and_other_queries_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'wilcoxon'"):
        summarise(EVALUATIONS, baseline="base", test="wilcoxn")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="correction"):
        summarise(EVALUATIONS, baseline="base", correction="tukey")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="intervals"):
        summarise(EVALUATIONS, baseline="base", intervals="t")  # type: ignore[arg-type]
    other = Evaluation(("AP",), {"AP": "AP"}, {"AP": {"q0": 1.0}}, {"AP": 1.0})
    with pytest.raises(UsageError, match="no value for a query"):
        summarise({"base": EVALUATIONS["base"], "other": other}, baseline="base")
