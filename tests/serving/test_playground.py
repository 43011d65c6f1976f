"""The playground in a real browser, from a real process: it asks, compares, and keeps texts of strangers harmless."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from rankloom.context import estimate_tokens
from rankloom.corpus import BESIDE, Corpus
from rankloom.records import Document
from rankloom.retrieval import BM25
from tests.browser import chromium
from tests.serving.loopback import BY_LENGTH, DOCUMENTS
from tests.serving.server_process import ServerProcess

pytestmark = pytest.mark.slow  # a process and a browser take some seconds to start

QUESTION = "which sea is blue"
KEY = "a-key-of-sixteen-characters"
HOSTILE = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1>"
CONTRAST = Path(__file__).parents[1] / "eval" / "report" / "contrast.js"
POISONED = Document(
    "<i>bad</i>", f"Zebra {HOSTILE} runs. \U0001f993 Stripes \U0001f993 {HOSTILE}! Third zebra.", HOSTILE
)
PIPELINES = {
    "plain": ["bm25"],
    "best": ["bm25", {"top": 3}, BY_LENGTH, {"lead_pruner": 1}, {"top": 2}],
    "order": [BY_LENGTH],
}


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("playground")
    corpus = Corpus.build([*DOCUMENTS, POISONED], folder / "index" / BESIDE)
    BM25.build(corpus, folder / "index" / "bm25")
    return folder


@contextmanager
def started(folder, name, **values):
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"index": "index", "pipelines": PIPELINES, **values}))
    with ServerProcess(path) as server:
        yield str(server.client.base_url)


@pytest.fixture(scope="module")
def url(folder):
    with started(folder, "serve") as url:
        yield url


@contextmanager
def visited(browser, url, *, width=1400, allowed=(), **context):
    """The page of a server; when the block ends, nothing may have gone wrong and no other host been asked."""
    opened = browser.new_context(viewport={"width": width, "height": 800}, **context)
    page = opened.new_page()
    problems, requests = [], []
    page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(url)
    yield page
    assert [one for one in problems if not any(word in one for word in allowed)] == []
    assert len(requests) > 4
    assert all(one.startswith(f"{url.rstrip('/')}/") for one in requests), requests
    opened.close()


def asked(page, question=QUESTION):
    page.fill("#question", question)
    page.press("#question", "Enter")
    page.locator(".columns").wait_for()


def answered(page, pipeline, question=QUESTION):
    """What the server says, asked from the page."""
    body = {"query": question, "pipeline": pipeline, "trace": True}
    return page.request.post("/v1/search", data=body).json()


def test_two_pipelines_are_compared(browser, url):
    with visited(browser, url, base_url=url) as page:
        page.locator("#search:enabled").wait_for()
        options = page.locator("#pipeline-a option").evaluate_all("all => all.map(one => one.value)")
        assert options == ["plain", "best"]  # `order` does not search
        assert page.evaluate("document.activeElement.id") == "question"
        asked(page)
        plain, best = answered(page, "plain"), answered(page, "best")
        columns = page.locator(".columns > section")
        assert columns.locator("h2").all_text_contents() == ["A plain", "B best"]
        for column, answer in zip(columns.all(), (plain, best), strict=True):
            assert len(answer["hits"]) > 1
            titles = [hit["title"] or hit["doc_id"] for hit in answer["hits"]]
            assert column.locator(".hits .title").all_text_contents() == titles
            stages = column.locator("tbody").first.locator("th").all_text_contents()
            assert stages == [stage["stage"] for stage in answer["stages"]]
            assert all(text.endswith(" ms") for text in column.locator("td.number").all_text_contents())
        ids = [{hit["doc_id"] for hit in answer["hits"]} for answer in (plain, best)]
        assert f"{len(ids[0] & ids[1])} documents in both" in page.text_content("#status")
        first = plain["hits"][0]["doc_id"]
        there = {hit["doc_id"]: hit["rank"] for hit in best["hits"]}
        tag = f"B: {there[first]}" if first in there else "not in B"
        assert columns.nth(0).locator(".tag").first.text_content() == tag


def test_ranks_move_and_sentences_are_kept_and_dropped(browser, url):
    with visited(browser, url, base_url=url) as page:
        page.locator("#search:enabled").wait_for()
        asked(page)
        answer, column = answered(page, "best"), page.locator(".columns > section").nth(1)
        rows = column.locator(".moves tbody tr")
        for row, hit in zip(rows.all(), answer["hits"], strict=True):
            ranks = [one["rank"] for one in hit["trace"] if one["stage"] != "top"]
            cells = row.locator("td").all_text_contents()
            assert [int(cell.split()[0].rstrip(",")) for cell in cells] == ranks
            for before, now, cell in zip(ranks, ranks[1:], cells[1:], strict=False):
                moved = before - now
                arrow = f"▲{moved}" if moved > 0 else f"▼{-moved}" if moved < 0 else ""
                assert arrow in cell
                assert ("▲" in cell or "▼" in cell) == (moved != 0)
        assert any(one["trace"][0]["rank"] != one["rank"] for one in answer["hits"])
        for body, hit in zip(column.locator(".text").all(), answer["hits"], strict=True):
            for kept, tag in ((True, "mark"), (False, "del")):
                wanted = [hit["text"][one["start"] : one["end"]] for one in hit["spans"] if one["kept"] == kept]
                assert body.locator(tag).all_text_contents() == wanted
            words = body.locator(".unseen").all_text_contents()
            assert words == ["kept: " if one["kept"] else "dropped: " for one in hit["spans"]]
        whole = sum(estimate_tokens(hit["text"]) for hit in answer["hits"])
        left = sum(estimate_tokens(hit["pruned_text"]) for hit in answer["hits"])
        assert f"({left} of {whole} left)" in column.locator(".figures").text_content()


def test_all_of_it_goes_by_keyboard(browser, url):
    with visited(browser, url) as page:
        page.locator("#search:enabled").wait_for()
        order = []
        for _ in range(4):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.id"))
        assert order == ["pipeline-a", "pipeline-b", "hits", "search"]
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.fill("#question", QUESTION)
        page.focus("#search")
        page.keyboard.press("Enter")
        page.locator(".columns").wait_for()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Open all texts"
        assert page.locator("details.hit[open]").count() > 0
        while page.evaluate("document.activeElement.tagName") != "SUMMARY":
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert not page.evaluate("document.activeElement.parentElement.open")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.parentElement.open")
        unnamed = "all => all.filter(one => !one.labels.length).map(one => one.id)"
        assert page.locator("input, select").evaluate_all(unnamed) == []


def test_texts_of_strangers_stay_texts(browser, url):
    with visited(browser, url) as page:
        page.locator("#search:enabled").wait_for()
        asked(page, f"zebra {HOSTILE}")
        for column in page.locator(".columns > section").all():
            assert column.locator(".hits .title").first.text_content() == HOSTILE
            assert POISONED.id in column.locator(".facts").first.text_content()
        plain, pruned = page.locator(".text").first, page.locator(".columns > section").nth(1)
        assert plain.text_content() == POISONED.text
        shown = "".join(pruned.locator(".text").first.locator("mark, del").all_text_contents())
        assert "\U0001f993 Stripes \U0001f993" in shown  # offsets count characters, not halves of pairs
        assert shown.count(HOSTILE) == 2
        assert page.locator("main script, main img, main i").count() == 0
        assert page.evaluate("window.pwned") is None


def test_the_policy_refuses_what_is_not_ours(browser, url):
    with visited(browser, url, allowed=("Content Security Policy", "Trusted")) as page:
        page.locator("#search:enabled").wait_for()
        refused = page.evaluate(
            "() => { try { document.body.innerHTML = '<b>x</b>'; return ''; } catch (error) { return error.name; } }"
        )
        assert refused == "TypeError"
        script = "const one = document.createElement('script'); one.textContent = 'window.pwned = 1'; main.append(one)"
        refused = page.evaluate(
            f"main => {{ try {{ {script}; return ''; }} catch (error) {{ return error.name; }} }}",
            page.locator("main").element_handle(),
        )
        assert refused == "TypeError"
        assert page.evaluate("window.pwned") is None
        headers = page.request.get(f"{url}/playground/playground.js").headers
        assert headers["content-type"] == "text/javascript; charset=utf-8"
        assert "script-src 'self'" in headers["content-security-policy"]
        assert page.request.get(f"{url}/playground/..%2fapp.py").status == 404


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1400])
def test_it_fits_and_has_the_contrast_that_wcag_asks_for(browser, url, width, scheme):
    with visited(browser, url, width=width, color_scheme=scheme) as page:
        page.locator("#search:enabled").wait_for()
        asked(page)
        page.get_by_text("Open all texts").click()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, paper[4:-1].split(","))) > 600) == (scheme == "light")
        found = page.evaluate(CONTRAST.read_text())
        assert found["read"] > 60
        assert found["poor"] == []
        asked(page, f"zebra {HOSTILE}")
        page.get_by_text("Open all texts").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_what_is_wrong_is_told(browser, url):
    with visited(browser, url, allowed=("422",)) as page:
        page.locator("#search:enabled").wait_for()
        page.fill("#hits", "5000")
        asked(page)
        told = page.locator("section .problem").all_text_contents()
        assert told == ["request: too many hits; value: 5000; accepted: at most 100"] * 2
        page.fill("#hits", "10")
        asked(page, "nothingofthekind")
        assert "Nothing was found." in page.locator("section").first.text_content()
        assert "no hits" in page.locator(".notes").first.text_content()


def test_a_key_is_asked_for(browser, folder):
    (folder / "keys.txt").write_text(KEY)
    with (
        started(folder, "keyed", keys={"file": "keys.txt"}) as url,
        visited(browser, url, allowed=("401",)) as page,
    ):
        page.locator("#key").wait_for()
        assert page.evaluate("document.activeElement.id") == "key"
        page.keyboard.type("a-key-that-nobody-has")
        page.keyboard.press("Enter")
        page.locator("#problem", has_text="does not know this key").wait_for()
        page.fill("#key", KEY)
        page.keyboard.press("Enter")
        page.locator("#search:enabled").wait_for()
        asked(page)
        assert page.locator(".columns > section .hits").count() == 2
        assert page.evaluate("localStorage.length + sessionStorage.length") == 0
        assert KEY not in page.content()
