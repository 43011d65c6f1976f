"""Answers from passages: what is asked, what is cited, and how good it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rankloom import Document, Session
from rankloom.budget import Budget
from rankloom.corpus import MemoryDocuments
from rankloom.errors import DataError, UsageError
from rankloom.eval.answers import ANSWER_MEASURES, Answers, answer, parse_citations, score_answers
from rankloom.eval.collections import load_collection
from rankloom.eval.costs import Price
from rankloom.eval.extractive import BestSentence
from rankloom.eval.table import summarise
from rankloom.fingerprint import digest
from rankloom.language_model import Completion, LanguageModel, Prompt
from rankloom.records import Query, Span
from rankloom.retrieval import BM25
from rankloom.run import Run

DOCUMENTS = MemoryDocuments(
    [
        Document("sky", "Air scatters blue light. Bread needs yeast.", title="The sky"),
        Document("tea", "Tea is a drink. It is hot."),
        Document("sea", "The sea is salty."),
    ]
)
QUERIES = [Query("q1", "why is the sky blue"), Query("q2", "is tea hot"), Query("q3", "nothing")]


class Says(LanguageModel):
    """Gives fixed answers, by a word of the question."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.prompts: list[Prompt] = []

    def fingerprint(self) -> str:
        return digest(self.answers)

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, session: Session
    ) -> Iterator[tuple[Prompt, Completion]]:
        assert session is not None
        self.prompts += prompts
        said = [next(text for word, text in self.answers.items() if f" {word}" in one.text) for one in prompts]
        for prompt, text in zip(prompts, said, strict=True):
            yield prompt, Completion(text, 100, len(text.split()), cut=len(text.split()) >= max_tokens)


def a_run(session: Session | None = None) -> Run:
    scores = {"q1": {"sky": 3.0, "tea": 2.0, "sea": 1.0}, "q2": {"tea": 2.0, "sea": 1.0}}
    return Run.from_dict(scores, queries=QUERIES, documents=DOCUMENTS, session=session)


def given() -> Answers:
    return answer(a_run(), Says(sky="The blue light [1] [3, 9].", hot="No answer."))


@pytest.mark.parametrize(
    ("said", "text", "known", "unknown"),
    [
        ("Blue [1].", "Blue.", (1,), ()),
        ("Blue [2][1] light [1]", "Blue light", (2, 1), ()),
        ("Blue [1, 3; 2]", "Blue", (1, 3, 2), ()),
        ("Blue [1-3]", "Blue", (1, 2, 3), ()),
        ("Blue [2-999999999]", "Blue", (2, 3), (4,)),
        ("Blue [3-1] [0] [7]", "Blue", (1, 2, 3), (0, 7)),
        ("[note] x[i] [1", "[note] x[i] [1", (), ()),
        ("", "", (), ()),
    ],
)
def test_citations_are_read(said: str, text: str, known: tuple[int, ...], unknown: tuple[int, ...]) -> None:
    assert parse_citations(said, 3) == (text, known, unknown)


def test_a_thought_is_no_part_of_an_answer() -> None:
    one = answer(a_run(), Says(sky="<think>Tea [2]?</think> Blue [1].", hot="<think>Is it")).answers
    assert (one["q1"].text, [cited.doc_id for cited in one["q1"].cited]) == ("Blue.", ["sky"])
    assert (one["q2"].text, one["q2"].cited) == ("", ())


def test_answers_cite_passages_and_the_ledger_says_what_went_wrong() -> None:
    done = given()
    sky = done.answers["q1"]
    assert (sky.text, sky.unknown) == ("The blue light.", (9,))
    assert [cited.doc_id for cited in sky.cited] == ["sky", "sea"]
    assert sky.context.citations[0].text == "Air scatters blue light. Bread needs yeast."
    assert done.answers["q2"].text == ""  # it said that it had no answer
    assert done.answers["q3"].raw == ""
    assert done.ledger.counts() == {"no_context": 1, "unknown_citation": 1}
    cost = done.ledger.costs[-1]
    assert (cost.stage, cost.inputs, cost.calls, cost.tokens, cost.written) == ("answer", 2, 2, 208, 8)


def test_measures_by_hand() -> None:
    qrels = {"q1": {"sky": 2, "tea": 1, "sea": 0}, "q2": {"tea": 1}, "q4": {"tea": 1}}
    gold = {"q1": ["blue light"], "q2": ["yes"], "q5": ["x"]}
    found = score_answers(given(), qrels=qrels, gold=gold)
    assert found.per_query == {
        "exact_match": {"q1": 1.0, "q2": 0.0, "q5": 0.0},
        "f1": {"q1": 1.0, "q2": 0.0, "q5": 0.0},
        "citation_support": {"q1": 0.5, "q2": 0.0, "q5": 0.0},  # `sky` holds the answer, `sea` does not
        "citation_precision": {"q1": 0.5, "q2": 0.0, "q4": 0.0},
        "citation_recall": {"q1": 0.5, "q2": 0.0, "q4": 0.0},  # `tea` was relevant and not cited
    }
    assert found.means["citation_precision"] == pytest.approx(1 / 6)
    assert found.missing == ("q4", "q5")
    assert found.unjudged_queries == ("q3",)
    strict = score_answers(given(), qrels=qrels, relevance_level=2)
    assert strict.per_query["citation_recall"]["q1"] == 1.0
    with pytest.raises(UsageError, match="neither"):
        score_answers(given())


def test_a_model_sees_and_cites_what_a_pruner_has_kept() -> None:
    run = a_run()
    spans = [None] * 5
    kept = (Span(0, 24, 1.0, kept=True), Span(25, 43, 0.0, kept=False))
    pruned = run.ranked(replace(run.hits(stage="test"), spans=(kept, *spans[1:])))
    model = Says(sky="yeast [1]", hot="hot [1]")
    done = answer(pruned, model)
    assert "yeast" not in model.prompts[0].text
    assert done.answers["q1"].context.citations[0].text == "Air scatters blue light."
    assert score_answers(done, gold={"q1": ["yeast"]}).per_query["citation_support"]["q1"] == 0.0


def test_no_answer_is_paid_for_twice_and_a_cut_one_is_noted(tmp_path: Path) -> None:
    model, session = Says(sky="one two three [1]", hot="hot"), Session(cache=tmp_path)
    first = answer(a_run(session), model, max_answer_tokens=3)
    again = answer(a_run(session), model, max_answer_tokens=3)
    assert len(model.prompts) == 2
    assert again.answers == first.answers
    assert first.ledger.counts() == again.ledger.counts() == {"no_context": 1, "cut_output": 1}
    assert (again.ledger.costs[-1].cached, again.ledger.costs[-1].tokens) == (2, 0)


def test_queries_that_a_budget_does_not_suffice_for_are_not_answered_and_named(tmp_path: Path) -> None:
    model, budget = Says(sky="blue light [1]", hot="hot"), Budget(calls=1)
    done = answer(a_run(Session(cache=tmp_path, budget=budget)), model)
    assert (len(model.prompts), budget.spent["calls"], budget.spent["tokens"]) == (1, 1, 103)
    assert {query_id: one.text for query_id, one in done.answers.items()} == {"q1": "blue light", "q2": "", "q3": ""}
    assert [(one.kind, one.query_id) for one in done.ledger.notes] == [("unfinished", "q2"), ("no_context", "q3")]
    assert "the budget of 1 calls is spent" in done.ledger.notes[0].detail
    again = answer(a_run(Session(cache=tmp_path, budget=Budget(calls=1))), model)
    assert (len(model.prompts), again.answers["q2"].text) == (2, "hot")
    assert not again.ledger.of("unfinished")
    with pytest.raises(UsageError, match="nobody says what the model costs"):
        answer(a_run(), model, session=Session(budget=Budget(money=1.0, prices={"other": Price()})))


def test_an_extractive_model_beats_citing_the_first_passage_of_the_last_hit() -> None:
    """A whole chain, offline, on the bundled collection."""
    mini = load_collection("mini")
    run = BM25.of(mini.corpus, k=5).run(mini.queries)
    best = score_answers(answer(run, BestSentence()), qrels=mini.qrels)
    fifth = score_answers(answer(run, Says(Question="x [5]", **{"": "x [5]"})), qrels=mini.qrels)
    assert best.means["citation_precision"] > fifth.means["citation_precision"] > 0
    summary = summarise({"fifth": fifth, "best": best}, baseline="fifth")
    assert summary.rows[1].cells["citation_precision"].mark == "+"
    assert set(best.measures) <= set(ANSWER_MEASURES)


def said(model: LanguageModel, prompt: Prompt, max_tokens: int) -> Completion:
    return dict(model.generate([prompt], max_tokens=max_tokens, session=Session()))[prompt]


def test_the_extractive_model() -> None:
    model = BestSentence()
    passages = "[1] The sky\nBread needs yeast.\n\n[2] A sky scatters blue. The sky is blue, why not."
    prompt = Prompt(f"{passages}\n\nQuestion: is the sky blue\nAnswer:")
    assert said(model, prompt, 50).text == "A sky scatters blue. [2]"
    cut = said(model, prompt, 2)
    assert (cut.text, cut.cut) == ("A sky", True)
    nothing = Prompt("[1] Bread needs yeast.\n\nQuestion: tides\nAnswer:")
    assert said(model, nothing, 9).text == "No answer"
    with pytest.raises(DataError, match="answer_prompt"):
        said(model, Prompt("hello"), 9)


def test_odd_citations() -> None:
    assert parse_citations("So it was [3-1].", passages=3) == ("So it was.", (1, 2, 3), ())
    assert parse_citations("In [1999] it rained.", passages=3) == ("In [1999] it rained.", (), ())
    assert parse_citations(f"[{'9' * 5000}] x [2]", passages=3)[1:] == ((2,), ())
