"""Texts cut into units and counted in compiled code, against the analyzer asked for each whole text."""

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.eval import load_collection
from rankloom.retrieval import EnglishAnalyzer, SnowballAnalyzer, WhitespaceAnalyzer
from rankloom.retrieval.index import units as units_module
from rankloom.retrieval.index.units import TermCounter

ANALYZERS = {
    "english": EnglishAnalyzer(),
    "plain": EnglishAnalyzer(stop_words=[], stem=False),
    "german": SnowballAnalyzer("german"),
    "space": WhitespaceAnalyzer(),
}
ASCII = st.text(st.characters(max_codepoint=127))
WORDLIKE = st.text(
    st.sampled_from("aBz09_:.',; -'\u2019\u202f\u00a0\u0085\u2028\u00e9\u6f22\u0301\t\x1c\x00"), max_size=40
)


def counted(analyzer, texts):
    """The terms of each text as the counter gives them."""
    counter = TermCounter(analyzer)
    held = counter.count(pa.array(texts, pa.large_string()))
    found, start = [], 0
    for distinct, length in zip(held.distinct.tolist(), held.lengths.tolist(), strict=True):
        terms = [counter.terms.words[number] for number in held.terms[start : start + distinct].tolist()]
        found.append(dict(zip(terms, held.values[start : start + distinct].tolist(), strict=True)))
        assert sum(found[-1].values()) == length
        start += distinct
    return found


@pytest.mark.parametrize("name", ANALYZERS)
@settings(deadline=None, max_examples=300)
@given(texts=st.lists(ASCII | WORDLIKE | st.text(st.characters(exclude_categories=["Cs"])), max_size=6))
def test_the_analyzer_s_own_terms(name, texts):
    analyzer = ANALYZERS[name]
    assert counted(analyzer, texts) == [dict(Counter(analyzer(text))) for text in texts]


@pytest.mark.parametrize("name", ["english", "german"])
def test_real_texts(name):
    texts = [document.contents for document in load_collection("mini/test").corpus]
    assert counted(ANALYZERS[name], texts) == [dict(Counter(ANALYZERS[name](text))) for text in texts]


@pytest.mark.parametrize(
    "text", ["a" * 600, "x " + "1" * 256 + " y", "_" * 300 + "a", "a." * 400, "\u6f22" * 300, "A" * 255]
)
def test_long_stretches(text):
    analyzer = ANALYZERS["english"]
    assert counted(analyzer, [text, "b", text]) == [dict(Counter(analyzer(one))) for one in (text, "b", text)]


def test_the_memory_of_units_is_bounded_and_grows(monkeypatch):
    monkeypatch.setattr(units_module, "_ROOM", 4)
    monkeypatch.setattr(units_module, "_MOST_UNITS", 500)
    counter = TermCounter(ANALYZERS["english"])
    for start in range(0, 3000, 100):
        texts = pa.array([f"w{number} w{number % 7} sky" for number in range(start, start + 100)], pa.large_string())
        held = counter.count(texts)
        assert held.lengths.tolist() == [3] * 100
        assert counter._known <= 500 + 201
    assert sorted(counter.terms.words) == sorted({f"w{number}" for number in range(3000)} | {"sky"})
