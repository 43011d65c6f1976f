"""Splitters: words, functions by name, anybody's function; and that any text comes back whole."""

import sys
from dataclasses import replace
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom import Document, Run, Session
from rankloom.errors import DataError, UsageError
from rankloom.rerank.pruning import SPLITTERS, SentencePruner, Splitter
from rankloom.rerank.pruning.splitting import splitter_of
from rankloom.stage_schema import parameters

TEXT = st.one_of(st.text(max_size=60), st.text("ab .\n؟。|\t", max_size=60))
#: Functions that leave out, cut anywhere, or give nothing.
ANYBODYS = {
    "halves": lambda text: [text[: len(text) // 2], text[len(text) // 2 :]],
    "words": str.split,
    "letters": lambda text: [(place, place + 1) for place in range(len(text))],
    "second word": lambda text: text.split()[1:2],
    "nothing": lambda _: [],
    "everything": lambda text: [text],
    "empty strings": lambda text: ["", *text.split("\n"), ""],
}
ALL = [*SPLITTERS.values(), *(Splitter(name, function) for name, function in ANYBODYS.items())]


def texts(splitter, text):
    return [text[start:end] for start, end in splitter(text)]


@pytest.mark.parametrize("splitter", ALL, ids=lambda splitter: splitter.name)
@given(text=TEXT)
def test_sentences_and_the_spaces_between_them_give_back_the_text(splitter, text):
    rebuilt, before = "", 0
    for start, end in splitter(text):
        assert before <= start < end <= len(text)
        assert not text[before:start].strip()
        assert text[start:end] == text[start:end].strip()
        rebuilt += text[before:end]
        before = end
    assert rebuilt + text[before:] == text
    assert not text[before:].strip()


def test_what_a_function_leaves_out_belongs_to_the_sentence_before():
    assert texts(Splitter("second", lambda text: text.split()[1:2]), "One two three") == ["One", "two three"]
    assert texts(Splitter("dates", lambda _: [(4, 6), (8, 9)]), "abc de fg hi") == ["abc", "de f", "g hi"]


def test_lines():
    assert texts(SPLITTERS["lines"], " One. Two.\r\n\n\tthree\r- four ") == ["One. Two.", "three", "- four"]


def test_equal_sentences_are_found_one_after_the_other():
    assert Splitter("dots", lambda text: text.split("; "))("Go; Go; Go") == [(0, 3), (4, 7), (8, 10)]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["One.", "THREE"], "'THREE'"),  # not just as it stands there
        (["Two.", "One."], "'One.'"),
        ([(5, 9), (0, 4)], r"\(0, 4\)"),
        ([(0, 99)], r"\(0, 99\)"),
        ([(4, 2)], r"\(4, 2\)"),
    ],
)
def test_sentences_that_are_not_in_the_text_are_refused(given, problem):
    with pytest.raises(DataError, match=f"splitter.*mine gave.*{problem}"):
        Splitter("mine", lambda _: given)("One. Two. Three.")


def test_a_function_is_named_by_its_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "my_splitters.py"
    file.write_text("def clauses(text):\n    return text.split(', ')\n\nnumber = 3\n")
    found = splitter_of("my_splitters:clauses", stage="test")
    assert texts(found, "air, sea") == ["air,", "sea"]
    again = splitter_of("my_splitters:clauses", stage="test")
    assert found.fingerprint() == again.fingerprint()
    with pytest.raises(UsageError, match="not a function"):
        splitter_of("my_splitters:number", stage="test")
    file.write_text("def clauses(text):\n    return text.split('; ')  # edited\n")
    del sys.modules["my_splitters"]
    assert splitter_of("my_splitters:clauses", stage="test").fingerprint() != found.fingerprint()


@pytest.mark.parametrize("named", ["punkt", "", None, len, "no.such.module:split", "rankloom:no_such_name", ":"])
def test_unknown_splitters_are_refused(named):
    with pytest.raises(UsageError, match=r"sentence_pruner.*splitter"):
        SentencePruner(splitter=named)


def test_a_splitter_is_part_of_what_is_cached(tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    document = Document("d", "The sky, blue.\nThe sea. The moon.")
    expected = {"syntok": 3, "lines": 2, Splitter("comma", lambda text: text.split(",")): 2}
    for splitter, count in expected.items():
        run = SentencePruner(splitter=splitter).run(Run.from_documents("sky", [document]), session=session)
        assert len(run["q1"][0].spans) == count
    assert len({SentencePruner(splitter=splitter).fingerprint() for splitter in expected}) == 3


def test_a_splitter_of_another_version_is_another():
    assert len({Splitter("mine", str.split, version).fingerprint() for version in ("", "1", "2")}) == 3
    assert SPLITTERS["syntok"].version.endswith(f"syntok {version('syntok')}")
    named = SentencePruner(splitter=SPLITTERS["syntok"])
    older = SentencePruner(splitter=replace(SPLITTERS["syntok"], version="0"))
    assert named.fingerprint() != older.fingerprint()


def test_in_yaml_a_splitter_is_a_word():
    for word in ("sentence_pruner", "provence"):
        model = parameters(word)
        assert model.model_json_schema()["properties"]["splitter"]["type"] == "string"
        required = {"model": "a/model"} if word == "provence" else {}
        assert model(splitter="lines", **required).splitter == "lines"
        with pytest.raises(ValueError, match="string"):
            model(splitter={"name": "mine", "function": "split"}, **required)
