"""Splitters: words, functions by name, anybody's function; and that any text comes back whole."""

import sys
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom import Document, Run, Session
from rankloom.config import PipelineBuilder
from rankloom.corpus import MemoryDocuments
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


SOURCES = {
    "function": "def clauses(text):\n    return text.split({mark!r})\n",
    "object": "class Clauses:\n    def __call__(self, text):\n        return text.split({mark!r})\n"
    "clauses = Clauses()\n",
    "decorated": "from functools import wraps\ndef at(function):\n    @wraps(function)\n    def split(text):\n"
    "        return function(text.split({mark!r}))\n    return split\n@at\ndef clauses(parts):\n    return parts\n",
    "made by another": "def by(mark):\n    return lambda text: text.split(mark)\nclauses = by({mark!r})\n",
    "partial": "import functools\nclauses = functools.partial(lambda mark, text: text.split(mark), {mark!r})\n",
}


@pytest.mark.parametrize("kind", SOURCES)
def test_whatever_can_be_called_is_another_once_it_is_edited(tmp_path, monkeypatch, kind):
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"edited_{kind.replace(' ', '_')}"
    found = {}
    for mark in (", ", "; "):
        (tmp_path / f"{name}.py").write_text(f"# {len(mark) * mark}\n" + SOURCES[kind].format(mark=mark))
        sys.modules.pop(name, None)
        found[mark] = splitter_of(f"{name}:clauses", stage="test")
        assert texts(found[mark], f"air{mark}sea") == [f"air{mark}".strip(), "sea"]
        assert splitter_of(f"{name}:clauses", stage="test").fingerprint() == found[mark].fingerprint()
    assert found[", "].fingerprint() != found["; "].fingerprint()


def test_one_without_a_source_needs_a_version(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"sentence_pruner: the splitter has no source.*Splitter\(name, function"):
        SentencePruner(splitter="builtins:sorted")
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "from rankloom.rerank import Splitter\nmine = Splitter('mine', sorted, '2')\n"
    (tmp_path / "with_version.py").write_text(source)
    assert splitter_of("with_version:mine", stage="test") == Splitter("mine", sorted, "2")


class Token:
    """What stands in the spans of other libraries."""


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (None, r"mine gave no sentences.*None"),
        ("One. Two.", r"mine gave no sentences.*'One\. Two\.'"),
        (3, r"mine gave no sentences"),
        ([None], r"neither a string nor a pair.*None"),
        ([(0, 4, 5)], r"neither a string nor a pair"),
        ([[Token(), Token()]], r"neither a string nor a pair.*Token"),
        ([(0.0, 4.0)], r"neither a string nor a pair.*\(0\.0, 4\.0\)"),
        (["One.", b"Two."], r"neither a string nor a pair.*b'Two\.'"),
    ],
)
def test_what_is_no_sentence_is_refused(given, problem):
    with pytest.raises(DataError, match=f"splitter.*{problem}"):
        Splitter("mine", lambda _: given)("One. Two.")


def test_offsets_may_be_of_any_whole_numbers():
    assert texts(Splitter("mine", lambda _: np.array([[0, 4], [5, 9]])), "One. Two.") == ["One.", "Two."]
    assert texts(Splitter("mine", lambda _: iter([[0, 4], [5, 9]])), "One. Two.") == ["One.", "Two."]


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


def test_in_yaml_it_may_be_a_function_of_your_own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "splitters_of_mine.py").write_text("def clauses(text):\n    return text.split(', ')\n")
    spec = {"lead_pruner": {"n": 1, "splitter": "splitters_of_mine:clauses"}}
    pipeline = PipelineBuilder({}).build(spec, corpus=None, session=Session(offline=True))
    documents = MemoryDocuments([Document("d", "air, sea, moon")])
    run = pipeline.run(Run.from_dict({"q1": {"d": 1.0}}, queries={"q1": "air"}, documents=documents))
    assert run["q1"][0].pruned_text == "air,"
