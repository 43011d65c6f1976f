"""Prompts as data files: gaps, the system's part, and where they come from."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.errors import DataError, NotFoundError
from rankloom.language_model import Prompt
from rankloom.prompt_template import PromptTemplate, prompt_template


def found(name, folder, *gaps):
    return prompt_template(name, folder, prefix="ask", gaps=gaps, stage="test")


def test_gaps_are_filled_all_at_once():
    template = PromptTemplate("{a} and {b}, {c} {A} {}", "for {b}")
    assert template.prompt(a="{b}", b="x", sample=3) == Prompt("{b} and x, {c} {A} {}", "for x", 3)
    assert template.gaps() == {"a", "b", "c"}


@given(st.text(), st.text())
def test_what_fills_a_gap_is_not_looked_at(before, filling):
    text = before.replace("{", "(") + "{query}"
    assert PromptTemplate(text).prompt(query=filling).text == before.replace("{", "(") + filling


def test_a_line_parts_the_systems_text():
    assert PromptTemplate.parsed("Be brief.\n\n---\n\nQuery: {query}\n") == PromptTemplate(
        "Query: {query}", "Be brief."
    )
    assert PromptTemplate.parsed("a --- b\n----\nc\n") == PromptTemplate("a --- b\n----\nc")


def test_shipped_and_own_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ask_short.txt").write_text("{query}?\n")
    Path("mine.txt").write_text("Please: {query}")
    assert found("short", tmp_path, "query").text == "{query}?"
    assert found("mine.txt", tmp_path, "query").text == "Please: {query}"
    with pytest.raises(NotFoundError, match=r"no such prompt; got 'shrot'; accepted: short, or the path.*mean 'short'"):
        found("shrot", tmp_path, "query")
    with pytest.raises(DataError, match=r"has the gaps \{query\}; .*accepted: exactly \{document\}, \{query\}"):
        found("short", tmp_path, "query", "document")
    Path("none.txt").write_text("nothing")
    with pytest.raises(DataError, match="has the gaps none"):
        found("none.txt", tmp_path, "query")
    Path("bytes.txt").write_bytes(b"\xff{query}")
    with pytest.raises(DataError, match="can not be read"):
        found("bytes.txt", tmp_path, "query")
