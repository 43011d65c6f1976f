"""What an experiment may cost: counts from the plan, estimates from an earlier run of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rankloom.eval import Experiment
from rankloom.eval.costs import Price
from rankloom.eval.forecast import earlier_costs, forecast, forecast_lines
from rankloom.eval.plan import plan_of
from rankloom.ledger import Cost

DEFINITIONS = {"bm25": {"bm25": {"k": 50}}, "wide": {"rrf": {"inputs": ["bm25", {"bm25": {"k": 30, "b": 0.0}}]}}}


def stages(*pipelines):
    return plan_of({f"p{number}": spec for number, spec in enumerate(pipelines)}, DEFINITIONS).stages


@pytest.mark.parametrize(
    ("pipeline", "pairs"),
    [
        (["bm25", {"bi_encoder": {"depth": 100}}], 50),
        (["bm25", {"top": 20}, {"bi_encoder": {"depth": 100}}], 20),
        (["bm25", {"bi_encoder": {"depth": 10}}], 10),
        (["wide", {"bi_encoder": {"depth": 100}}], 80),  # two lists of 50 and 30 may have nothing in common
        (["bm25", "rm3", {"bm25": {"k": 40}}, {"bi_encoder": {"depth": 100}}], 40),
        (["bm25", {"top": 20}, {"top": 70}, "sentence_pruner"], 20),
    ],
)
def test_pairs_are_limited_by_what_reaches_the_stage(pipeline, pairs):
    found = forecast(stages(pipeline), queries=7)[-1]
    assert (found.inputs, found.unit) == (7 * pairs, "pairs")


def test_shared_stages_are_counted_once_and_cuts_not_at_all():
    found = forecast(stages(["bm25", {"top": 5}], ["bm25", "rm3", "bm25"], ["wide"]), queries=10)
    assert [(one.stage, one.uses, one.inputs) for one in found] == [
        ("bm25(k=50)", 3, 10),
        ("rm3", 1, 10),
        ("bm25(k=50)", 1, 10),
        ("bm25(k=30, b=0.0)", 1, 10),
    ]
    assert all(one.calls is None and one.seconds is None for one in found)


@pytest.mark.parametrize(
    ("step", "prompts"),
    [
        ({"hyde": {"passages": 4}}, 7 * 4),
        ({"query2doc": {}}, 7),
        ({"grf": {}}, 7 * 10),
        ({"grf": {"kinds": ["essay", "news"]}}, 7 * 2),
        ({"prompt_prf": {"docs": 5}}, 7 * 5),
    ],
)
def test_prompts_for_a_language_model_are_counted(step, prompts):
    ((word, given),) = step.items()
    model = {"openai_compatible": {"name": "m", "url": "http://localhost/v1", "temperature": 1.0}}
    _, found = forecast(stages(["bm25", {word: {"model": model, **given}}]), queries=7)
    assert (found.prompts, found.calls) == (prompts, None)
    assert list(forecast_lines([found], 7, source=None))[1].endswith(f"  7 queries; at most {prompts} prompts")
    earlier = [Cost(word, "x", inputs=10, calls=40, tokens=800, seconds=5.0, model="m")]
    (_, known) = forecast(stages(["bm25", {word: {"model": model, **given}}]), queries=7, earlier=earlier)
    line = list(forecast_lines([known], 7, source=Path("out")))[1]
    assert line.endswith(f"7 queries; at most {prompts} prompts; about 28 calls, 560 tokens, 3.5 s")


@pytest.mark.parametrize(
    ("parameters", "inputs", "line"),
    [
        ({"through": {"bi_encoder": {"depth": 10}}, "docs": 4}, 7 * 4 * 10, "at most 280 pairs"),
        ({"through": ["bi_encoder"], "method": "truncate"}, 7 * 50, "at most 350 pairs"),
        ({"through": "bi_encoder", "method": "window"}, None, "an unknown number of pairs"),
        ({"through": "bm25", "docs": 4}, 7 * 4, "at most 28 queries"),
        ({"through": {"text_prf": {"through": "bm25", "docs": 2}}, "docs": 4}, 7 * 8, "at most 56 queries"),
    ],
)
def test_new_queries_of_a_stage_are_counted_for_those_inside_it(parameters, inputs, line):
    first, inner, *_ = found = forecast(stages(["bm25", {"text_prf": parameters}]), queries=7)
    assert (first.inputs, inner.inputs) == (7, inputs)
    assert (found[-1].inputs, found[-1].unit) == (7, "queries")
    assert line in list(forecast_lines(found, 7, source=None))[2]
    assert "text_prf(through=b" in found[-1].stage or "text_prf(through=text_prf(through=b" in found[-1].stage


def test_pairs_after_new_queries():
    feedback = {"text_prf": {"through": {"bm25": {"k": 30}}, "docs": 2}}
    assert forecast(stages(["bm25", feedback, {"bi_encoder": {"depth": 100}}]), queries=7)[-1].inputs == 7 * 60
    feedback["text_prf"] = {"through": {"bi_encoder": {"depth": 10}}}
    assert forecast(stages(["bm25", feedback, {"bi_encoder": {"depth": 100}}]), queries=7)[-1].inputs == 7 * 50
    feedback["text_prf"] = {"method": "truncate"}
    rewritten = ["bm25", feedback, {"bm25": {"k": 20}}, {"bi_encoder": {"depth": 100}}]
    assert forecast(stages(rewritten), queries=7)[-1].inputs == 7 * 20


def test_estimates_are_earlier_costs_in_proportion():
    earlier = [
        Cost("bi_encoder", "a", inputs=120, cached=20, calls=10, tokens=5000, seconds=4.0, written=1000),
        Cost("bi_encoder", "b", inputs=100, calls=10, tokens=3000, seconds=2.0),
        Cost("bm25", "c", inputs=10, cached=10, seconds=0.1),  # from the cache alone: nothing is known
    ]
    prices = {"bi_encoder": Price(input=1.0, output=10.0, call=0.5)}
    bm25, encoder = forecast(stages(["bm25", {"bi_encoder": {"depth": 100}}]), 8, earlier=earlier, prices=prices)
    assert bm25.seconds is None
    share = 8 * 50 / 200
    assert (encoder.calls, encoder.tokens, encoder.seconds) == (20 * share, 8000 * share, 6.0 * share)
    assert encoder.money == pytest.approx((1.0 * 14000 + 10.0 * 2000) / 1e6 + 0.5 * 40)


def test_each_model_has_its_own_estimate_and_price():
    """Stages of one class differ in what they cost by their model; its other parameters count for little."""
    small, large, unmet = ({"cross_encoder": {"model": name, "depth": 20}} for name in ("small", "large", "unmet"))
    earlier = [
        Cost("cross_encoder", "a", inputs=100, calls=10, tokens=1000, seconds=1.0, model="small"),
        Cost("cross_encoder", "b", inputs=100, calls=10, tokens=1000, seconds=50.0, model="large"),
    ]
    prices = {"cross_encoder": Price(call=1.0), "large": Price(call=7.0)}
    plan = stages(["bm25", small], ["bm25", large], ["bm25", unmet])
    _, *found = forecast(plan, 10, earlier=earlier, prices=prices)
    assert [one.seconds for one in found] == [2.0, 100.0, None]
    assert [one.money for one in found] == [20.0, 140.0, None]


def test_a_cost_without_a_model_counts_for_any(tmp_path: Path):
    """The queries of learned sparse retrieval may need no model, though the step names one."""
    sparse = [{"learned_sparse": {"model": "sparse", "queries": str(tmp_path)}}]
    (found,) = forecast(stages(sparse), 10, earlier=[Cost("learned_sparse", "a", inputs=5, seconds=1.0)])
    assert found.seconds == 2.0


def test_an_earlier_run_is_read_from_its_folder(tmp_path: Path):
    experiment = Experiment.from_dict(
        {
            "collection": "mini",
            "measures": ["nDCG@10"],
            "pipelines": {"bm25": ["bm25"], "again": ["bm25", "rm3", "bm25"]},
            "output": str(tmp_path / "out"),
        }
    )
    experiment.run()
    costs = earlier_costs(tmp_path / "out")
    assert sorted(cost.stage for cost in costs) == ["bm25", "bm25", "rm3"]  # the shared first stage counts once
    found = forecast(experiment.plan().stages, 100, earlier=costs)
    spent = {name: sum(cost.seconds for cost in costs if cost.stage == name) for name in ("bm25", "rm3")}
    assert found[1].seconds == pytest.approx(2 * spent["rm3"])  # 50 queries then, 100 now
    assert found[0].seconds == pytest.approx(spent["bm25"])  # two applications then
    lines = list(forecast_lines(found, 100, source=tmp_path / "out"))
    assert lines[0].startswith("100 queries; estimates from")
    assert len(lines) == 4


@pytest.mark.parametrize("content", [None, "{", "[]", json.dumps({"pipelines": {"a": {"costs": [{"x": 1}]}}})])
def test_a_ledger_that_can_not_be_read_is_no_earlier_run(tmp_path: Path, content: str | None):
    if content is not None:
        (tmp_path / "ledger.json").write_text(content)
    assert earlier_costs(tmp_path) == []
    assert "no earlier run" in next(forecast_lines((), 1, source=None))
