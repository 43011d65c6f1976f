"""Asking a language model: equal prompts once, known ones not at all, and every token counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rankloom.errors import StageError, UsageError
from rankloom.fingerprint import digest
from rankloom.language_model import Completion, LanguageModel, Prompt, checked_model, complete, output_notes
from rankloom.session import Session


class Echo(LanguageModel):
    """Repeats the prompt, the last first; says what it was asked."""

    def __init__(self, name: str = "echo", lose: int = 0, fail_after: int = 99, also: Prompt | None = None) -> None:
        self.name, self.lose, self.fail_after, self.also = name, lose, fail_after, also
        self.asked: list[list[str]] = []

    def fingerprint(self) -> str:
        return digest(self.name)

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, session: Session
    ) -> Iterator[tuple[Prompt, Completion]]:
        assert session is not None
        self.asked.append([prompt.text for prompt in prompts])
        for number, prompt in enumerate(reversed(prompts[self.lose :])):
            if number == self.fail_after:
                raise ConnectionError("the line is dead")
            yield prompt, Completion(prompt.text[:max_tokens], 10, 3, cut=len(prompt.text) > max_tokens)
        if self.also is not None:
            yield self.also, Completion("unasked")


PROMPTS = [Prompt("a"), Prompt("bb"), Prompt("a"), Prompt("a", system="be brief")]


def test_equal_prompts_are_asked_once_and_known_ones_never_again(tmp_path: Path) -> None:
    model, session = Echo(), Session(cache=tmp_path)
    first = complete(model, PROMPTS, max_tokens=1, session=session, stage="test")
    assert model.asked == [["a", "bb", "a"]]  # the system prompt makes another prompt of the last
    assert [(one.text, one.cut) for one in first.completions] == [("a", False), ("b", True), ("a", False), ("a", False)]
    assert (first.cached, first.calls, first.tokens, first.written) == (0, 3, 39, 9)
    again = complete(model, PROMPTS, max_tokens=1, session=session, stage="test")
    assert again.completions == first.completions
    assert (again.cached, again.calls, again.tokens) == (4, 0, 0)
    assert len(model.asked) == 1


@pytest.mark.parametrize("change", ["model", "limit", "seed"])
def test_whatever_changes_an_output_asks_anew(tmp_path: Path, change: str) -> None:
    complete(Echo(), PROMPTS, max_tokens=5, session=Session(cache=tmp_path), stage="test")
    other = Echo("other" if change == "model" else "echo")
    session = Session(cache=tmp_path, seed=8 if change == "seed" else 7)
    assert complete(other, PROMPTS, max_tokens=6 if change == "limit" else 5, session=session, stage="test").calls == 3


@pytest.mark.parametrize(("greedy", "calls"), [(True, 0), (False, 1)])
def test_a_seed_counts_only_where_outputs_are_drawn(tmp_path: Path, greedy: bool, calls: int) -> None:
    model = Echo()
    model.greedy = greedy
    complete(model, [Prompt("a")], max_tokens=5, session=Session(cache=tmp_path), stage="test")
    again = complete(model, [Prompt("a")], max_tokens=5, session=Session(cache=tmp_path, seed=8), stage="test")
    assert again.calls == calls


def test_what_is_empty_is_not_kept(tmp_path: Path) -> None:
    model, session = Echo(), Session(cache=tmp_path)
    prompts = [Prompt(" x"), Prompt("y")]
    assert [one.text for one in complete(model, prompts, max_tokens=1, session=session, stage="test").completions] == [
        " ",
        "y",
    ]
    again = complete(model, prompts, max_tokens=1, session=session, stage="test")
    assert (again.cached, again.calls, model.asked) == (1, 1, [[" x", "y"], [" x"]])


def test_samples_of_one_text_are_prompts_of_their_own(tmp_path: Path) -> None:
    model, session = Echo(), Session(cache=tmp_path)
    prompts = [Prompt("a", sample=number) for number in (0, 1, 2, 1)]
    assert complete(model, prompts, max_tokens=1, session=session, stage="test").calls == 3
    assert complete(model, [Prompt("a", sample=3)], max_tokens=1, session=session, stage="test").calls == 1
    assert complete(model, prompts, max_tokens=1, session=session, stage="test").cached == 4


def test_what_was_paid_for_before_a_failure_is_kept_to_the_last_answer(tmp_path: Path) -> None:
    prompts = [Prompt(str(number)) for number in range(40)]
    with pytest.raises(ConnectionError):
        complete(Echo(fail_after=37), prompts, max_tokens=9, session=Session(cache=tmp_path), stage="test")
    done = complete(Echo(), prompts, max_tokens=9, session=Session(cache=tmp_path), stage="test")
    assert (done.cached, done.calls) == (37, 3)
    assert [one.text for one in done.completions] == [str(number) for number in range(40)]


def test_a_damaged_entry_is_asked_for_again(tmp_path: Path) -> None:
    complete(Echo(), [Prompt("a")], max_tokens=5, session=Session(cache=tmp_path), stage="test")
    with sqlite3.connect(tmp_path / "results.sqlite") as connection:
        connection.execute("UPDATE entries SET value = X'00112233'")
    done = complete(Echo(), [Prompt("a")], max_tokens=5, session=Session(cache=tmp_path), stage="test")
    assert (done.cached, done.calls, done.completions[0].text) == (0, 1, "a")


def test_a_model_that_loses_or_invents_an_answer_is_an_error() -> None:
    with pytest.raises(StageError, match="2 completions for 3 prompts"):
        complete(Echo(lose=1), PROMPTS, max_tokens=5, session=Session(), stage="test")
    for also in (Prompt("nobody asked"), PROMPTS[0]):  # the latter a second time
        with pytest.raises(StageError, match="not asked for"):
            complete(Echo(also=also), PROMPTS, max_tokens=5, session=Session(), stage="test")


def test_no_prompts_ask_nothing() -> None:
    model = Echo()
    assert complete(model, [], max_tokens=5, session=Session(), stage="test").completions == []
    assert model.asked == []


def test_what_the_ledger_should_know_of_an_output() -> None:
    notes = output_notes(Completion(" ", 5, 7, cut=True), stage="test", query_id="q", doc_id="d")
    assert [(note.kind, note.query_id, note.doc_id, note.amount) for note in notes] == [
        ("cut_output", "q", "d", 7),
        ("empty_output", "q", "d", 1),
    ]
    assert output_notes(Completion("fine"), stage="test", query_id="q") == []
    assert output_notes(Completion("<think>hm</think> fine"), stage="test", query_id="q") == []
    (note,) = output_notes(Completion("<think>hm, fi"), stage="test", query_id="q")
    assert note.kind == "empty_output"
    assert note.detail.startswith("only a thought; allow more tokens")


def test_only_a_language_model_will_do() -> None:
    assert checked_model(model := Echo(), stage="test") is model
    with pytest.raises(UsageError, match="test: model is not a language model; got 'gpt'"):
        checked_model("gpt", stage="test")
