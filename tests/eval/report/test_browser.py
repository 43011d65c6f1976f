"""The report in a real browser: it loads, sorts, filters, opens queries, and keeps strangers' texts harmless."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rankloom.cli import main
from rankloom.eval.experiment import Experiment
from rankloom.eval.results import ExperimentResult
from tests.browser import chromium, visit

WIDTHS = (360, 800, 1400)
WORDS, LENGTHS, PRUNER = (f"rankloom_test_stages:{name}" for name in ("Words", "Lengths", "FirstSentence"))
PIPELINES: dict[str, Any] = {
    "words": [{WORDS: {"k": 20}}],
    "bm25+rm3": ["bm25", "rm3", "bm25"],
    "fused": [{"rrf": {"inputs": [[{WORDS: {"k": 20}}], ["bm25", "rm3", "bm25"]]}}, {LENGTHS: {}}, {"top": 8}, PRUNER],
}
HOSTILE = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1><!-- <b>bold</b> ${1}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module", autouse=True)
def stages() -> Iterator[None]:
    """Make the test stages importable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "stages"))
        yield


def carried_out(folder: Path, **values: Any) -> tuple[ExperimentResult, Path]:
    common = {"measures": ["nDCG@10", "AP", "seconds"], "pipelines": PIPELINES, "output": str(folder / "out")}
    result = Experiment.from_dict({**common, **values}).run()
    return result, folder / "out" / "report.html"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, stages: None) -> tuple[ExperimentResult, Path]:  # noqa: ARG001
    compare = {"intervals": "bootstrap"}
    return carried_out(tmp_path_factory.mktemp("mini"), collection="mini", compare=compare)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, stages: None) -> tuple[ExperimentResult, Path]:  # noqa: ARG001
    folder = tmp_path_factory.mktemp("hostile")
    texts = {"d1": f"Blue {HOSTILE}. The \U0001f98a fox \U0001f98a. Red!", "__proto__": "blue blue. Sea."}
    queries = {"<i>q1</i>": f"blue {HOSTILE}", "__proto__": "the blue fox", "it's": "sea"}
    records = [json.dumps({"_id": key, "title": HOSTILE, "text": text}) for key, text in texts.items()]
    (folder / "c.jsonl").write_text("\n".join(records))
    (folder / "q.jsonl").write_text("\n".join(json.dumps({"_id": k, "text": t}) for k, t in queries.items()))
    (folder / "r.txt").write_text("<i>q1</i> 0 d1 1\n__proto__ 0 d1 1\nit's 0 __proto__ 1\n")
    files = {"corpus": "c.jsonl", "queries": "q.jsonl", "qrels": "r.txt"}
    return carried_out(folder, collection={name: str(folder / file) for name, file in files.items()})


def query_ids(page: Any) -> list[str]:
    return page.locator("#query-table tbody .id").all_text_contents()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_loads_without_a_problem_and_fits(browser: Any, report: Any, width: int, scheme: str) -> None:
    with visit(browser, report[1], width=width, color_scheme=scheme) as seen:
        page = seen.page
        assert page.locator("#query-table tbody tr").count() == 25
        assert page.evaluate("document.documentElement.scrollWidth") == width
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, paper[4:-1].split(","))) > 600) == (scheme == "light")
        assert page.locator(".plot svg:visible").count() == 3
        page.locator("#query-table .open").first.click()
        page.locator("dialog .hits summary").first.click()
        assert page.evaluate("document.querySelector('dialog').scrollWidth") <= width
        assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(browser: Any, report: Any, scheme: str) -> None:
    with visit(browser, report[1], color_scheme=scheme, fragment="#q=q02&p=fused") as seen:
        seen.page.locator("dialog .hits summary").first.click()
        found = seen.page.evaluate((Path(__file__).parent / "contrast.js").read_text())
        assert found["read"] > 400
        assert found["poor"] == []


def test_the_summary_sorts_by_any_column(browser: Any, report: Any) -> None:
    means = {row.name: row.cells["AP"].mean for row in report[0].summary.rows}
    names = "#summary tbody th"
    with visit(browser, report[1]) as seen:
        page = seen.page

        def order() -> list[str]:
            return [cell.get_attribute("data-value") for cell in page.locator(names).all()]

        assert order() == list(PIPELINES)
        head = page.locator("#summary thead th", has_text="AP")
        head.get_by_role("button").click()
        assert order() == sorted(means, key=means.__getitem__, reverse=True)
        assert head.get_attribute("aria-sort") == "descending"
        head.get_by_role("button").press("Enter")
        assert order() == sorted(means, key=means.__getitem__)
        page.locator("#summary thead button").first.click()
        assert order() == sorted(means)
        assert head.get_attribute("aria-sort") is None


def test_queries_are_sorted_filtered_and_searched(browser: Any, report: Any) -> None:
    result, path = report
    cell = result.summary.rows[2].cells["nDCG@10"]
    values = {name: outcome.evaluation.per_query["nDCG@10"] for name, outcome in result.outcomes.items()}
    with visit(browser, path) as seen:
        page = seen.page
        page.select_option("#system", label="fused")
        page.select_option("#against", label="words")
        page.select_option("#filter", "helped")
        assert page.locator("#count").text_content() == f"{cell.wins} of 50 queries"
        assert all(values["fused"][query] > values["words"][query] for query in query_ids(page))
        page.select_option("#filter", "hurt")
        assert page.locator("#count").text_content() == f"{cell.losses} of 50 queries"
        page.select_option("#filter", "all")
        page.locator("#query-table thead button", has_text="words").click()
        expected = sorted(
            values["words"], key=lambda query: (-values["words"][query], list(values["words"]).index(query))
        )
        assert query_ids(page) == expected[:25]
        page.click("#next")
        assert query_ids(page) == expected[25:]
        assert page.locator("#next").is_disabled()
        page.fill("#search", "HONEY bees")
        found = [query.id for query in result.collection.queries if "honey bees" in query.text.lower()]
        assert found
        assert set(found) <= set(query_ids(page))
        page.fill("#search", "q07")
        assert query_ids(page) == ["q07"]
        page.fill("#search", "no such words")
        assert query_ids(page) == []
        assert f"{cell.wins} queries better" in page.locator("#read-changes").text_content()


def test_a_query_opens_by_keyboard_and_closes_again(browser: Any, report: Any) -> None:
    with visit(browser, report[1]) as seen:
        page = seen.page
        page.fill("#search", "q03")
        page.locator("#query-table .open").focus()
        page.keyboard.press("Enter")
        assert page.locator("#trace-title").text_content() == "varroa mite treatment"
        assert "#q=q03" in page.url
        page.select_option("#trace-pipeline", "fused")
        hits = report[0].outcomes["fused"].run["q03"]
        assert page.locator("dialog .hits").first.locator(".id").all_text_contents() == hits.doc_ids
        page.keyboard.press("Escape")
        assert not page.locator("dialog").is_visible()
        page.wait_for_function("location.hash === ''")  # what follows the closing is a moment later
        assert page.evaluate("document.activeElement.className") == "open"


def test_one_hit_is_traced_with_its_sentences(browser: Any, report: Any) -> None:
    hit = report[0].outcomes["fused"].run["q02"][0]
    assert hit.spans is not None
    with visit(browser, report[1], fragment=f"#q=q02&p=fused&d={hit.doc_id}") as seen:
        body = seen.page.locator("dialog details[open] .hit-body")
        rows = [row.split("\t") for row in body.locator(".hit-trace tbody").inner_text().splitlines()]
        ranked = [entry for entry in hit.trace if entry.stage != "rm3"]
        assert [row[0].strip() for row in rows] == [entry.stage for entry in ranked]
        assert [row[1] for row in rows] == ["not there" if e.rank is None else str(e.rank) for e in ranked]
        kept = [hit.text[span.start : span.end] for span in hit.spans if span.kept]
        dropped = [hit.text[span.start : span.end] for span in hit.spans if not span.kept]
        assert kept
        assert dropped
        assert body.locator("mark").all_text_contents() == kept
        assert body.locator("del").all_text_contents() == dropped


def test_texts_of_strangers_stay_texts(browser: Any, hostile: Any) -> None:
    result, path = hostile
    with visit(browser, path) as seen:
        page = seen.page
        assert query_ids(page) == ["<i>q1</i>", "__proto__", "it's"]
        for query in result.collection.queries:
            page.fill("#search", query.id)
            page.locator("#query-table .open").first.click()
            assert page.locator("#trace-title").text_content() == query.text
            page.select_option("#trace-pipeline", "fused")
            hits = result.outcomes["fused"].run[query.id]
            for summary in page.locator("dialog .hits summary").all():
                summary.click()
            bodies = page.locator("dialog .hits").first.locator(".text-body")
            bodies.nth(len(hits) - 1).wait_for()  # they are filled when they open
            for hit, body in zip(hits, bodies.all(), strict=True):
                marked = body.locator("mark, del").all_text_contents()
                assert marked == [hit.text[span.start : span.end] for span in hit.spans]
            page.keyboard.press("Escape")
        assert page.evaluate("window.pwned") is None
        assert page.locator("main img, dialog img, main i, dialog script, main script").count() == 0


def test_without_a_browser_tests_are_skipped_but_in_ci_they_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    for ci, outcome in (("", pytest.skip.Exception), ("true", pytest.fail.Exception)):
        monkeypatch.setenv("CI", ci)
        with pytest.raises(outcome, match="no browser found"), chromium():
            pass


def test_the_policy_refuses_scripts_that_are_not_ours(browser: Any, report: Any) -> None:
    with visit(browser, report[1]) as seen:
        inject = (
            "const s = document.createElement('script'); s.textContent = 'window.pwned = 1'; document.body.append(s)"
        )
        seen.page.evaluate(inject)
        assert seen.page.evaluate("window.pwned") is None
        assert any("Content Security Policy" in problem for problem in seen.problems)
        seen.problems.clear()


def test_without_scripts_the_tables_and_diagrams_are_there(browser: Any, report: Any) -> None:
    with visit(browser, report[1], java_script_enabled=False) as seen:
        table = seen.page.locator("#summary tbody").inner_text()
        for row in report[0].summary.rows:
            assert all(f"{cell.mean:.4f}" in table for cell in row.cells.values())
        assert seen.page.locator(".pipeline .box:visible").count() == 12
        assert seen.page.locator(".trade svg:visible").count() == 1
        assert seen.page.locator("noscript p").is_visible()


@pytest.mark.slow
def test_ten_thousand_queries(browser: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subjects, verbs = (
        ("sky", "sea", "moon", "bread", "light"),
        ("blue", "rise", "shine", "fall", "keep", "turn", "stay"),
    )
    documents = [f"{subject} {verb} {verb}" for subject in subjects for verb in verbs]
    asked = [f"{documents[n % 35]} {subjects[n % 3]} number {n}" for n in range(10_000)]
    (tmp_path / "c.jsonl").write_text(
        "\n".join(json.dumps({"_id": f"d{n}", "text": t}) for n, t in enumerate(documents))
    )
    (tmp_path / "q.jsonl").write_text("\n".join(json.dumps({"_id": f"q{n}", "text": t}) for n, t in enumerate(asked)))
    (tmp_path / "r.txt").write_text("".join(f"q{n} 0 d{n * 7 % 35} 1\nq{n} 0 d{n % 35} 1\n" for n in range(10_000)))
    files = {"corpus": "c.jsonl", "queries": "q.jsonl", "qrels": "r.txt"}
    pipelines = {f"b{number}": [{"bm25": {"k": 10, "b": number / 10, "k1": 0.4 + number}}] for number in range(6)}
    collection = {name: str(tmp_path / file) for name, file in files.items()}
    measures = ["nDCG@10", "AP", "RR@10", "R@5"]
    result, path = carried_out(tmp_path, collection=collection, pipelines=pipelines, measures=measures)
    assert path.stat().st_size < 15_000_000
    stored = json.loads(path.read_text().split('id="data">')[1].split("</script>")[0])["traces"]
    assert len(stored) == 100
    with visit(browser, path, width=360) as seen:
        page = seen.page
        assert page.locator("#count").text_content() == "10,000 queries"
        assert page.locator("#query-table tbody tr").count() == 25
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        page.locator("#query-table thead button", has_text="b5").click()
        values = result.outcomes["b5"].evaluation.per_query["nDCG@10"]
        order = sorted(values, key=lambda query: (-values[query], int(query[1:])))
        assert query_ids(page) == order[:25]
        page.fill("#search", "number 9999")
        assert query_ids(page) == ["q9999"]
        absent = next(query for query in values if query not in stored)
        page.fill("#search", absent)
        page.locator("#query-table .open").first.click()
        assert "100 queries on which the pipelines differ most" in page.locator(".not-stored").inner_text()
        command = shlex.split(page.locator(".command").inner_text())
    assert command[0] == "rankloom"
    assert main([*command[1:], "--no-cache"]) == 0
    assert capsys.readouterr().out.startswith(f"{absent}: ")
