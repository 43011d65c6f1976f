"""What all feedback by language models keeps to: the session's budget, and that thoughts are no text."""

import pytest

from rankloom import Document, Run, Session
from rankloom.budget import Budget
from rankloom.corpus import MemoryDocuments
from rankloom.errors import UsageError
from rankloom.eval.costs import Price
from rankloom.language_model import Completion
from rankloom.prf import GRF, HyDE, PromptPRF, Query2Doc
from tests.prf.fakes import FakeTerms, FakeVectors
from tests.prf.writers import Writer

TEXTS = {"d1": "sea water salt", "d2": "tea leaf", "d3": "sun light"}
SAID = {"sea": "salt", "tea": "leaf", "sun": "light"}
MAKE = {
    "hyde": lambda model: HyDE(model, passages=1, retriever=FakeVectors(vectors={"d1": (1.0, 0.0, 0.0)})),
    "query2doc": Query2Doc,
    "grf": lambda model: GRF(model, kinds=["summary"], max_df=1.0, weight=0, retriever=FakeTerms(texts=TEXTS)),
    "prompt_prf": lambda model: PromptPRF(model, docs=1),
}


def start(session):
    """Three queries, each with a document of its own."""
    documents = MemoryDocuments([Document(doc_id, text) for doc_id, text in TEXTS.items()])
    hits = {f"q{number}": {f"d{number}": 1.0} for number in (1, 2, 3)}
    run = Run.from_dict(hits, queries={"q1": "sea", "q2": "tea", "q3": "sun"}, documents=documents)
    return run, session


def held(query):
    """All that feedback may have written."""
    return query.text, dict(query.terms or {}), {name: one.tolist() for name, one in query.vectors.items()}


def after(name, model, session):
    run, session = start(session)
    return MAKE[name](model).run(run, session=session)


@pytest.mark.parametrize("name", MAKE)
class TestBudget:
    def test_what_it_does_not_reach_stays_and_the_next_run_goes_on(self, name, tmp_path):
        budget, model = Budget(calls=1), Writer(SAID)
        first = after(name, model, Session(cache=tmp_path, budget=budget))
        assert (len(model.asked), budget.spent["calls"]) == (1, 1)
        assert budget.spent["tokens"] == len(model.asked[0].text.split()) + 1
        assert [(note.query_id, note.detail) for note in first.ledger.of("unfinished")] == [
            (query_id, "the budget of 1 calls is spent; it stays as it is") for query_id in ("q2", "q3")
        ]
        assert first.ledger.of("no_feedback") == ()
        whole = after(name, Writer(SAID), Session())
        assert held(first.queries[0]) == held(whole.queries[0])
        assert [query.text for query in first.queries[1:]] == ["tea", "sun"]
        second = after(name, model, Session(cache=tmp_path, budget=Budget(calls=2)))
        assert [held(query) for query in second.queries] == [held(query) for query in whole.queries]
        assert second.ledger.of("unfinished") == ()
        assert len(model.asked) == 3

    def test_what_is_known_costs_nothing(self, name, tmp_path):
        model = Writer(SAID)
        after(name, model, Session(cache=tmp_path))
        budget = Budget(calls=1)
        again = after(name, model, Session(cache=tmp_path, budget=budget))
        assert (len(model.asked), budget.spent["calls"], again.ledger.of("unfinished")) == (3, 0, ())

    def test_a_model_that_counts_no_tokens_is_noted_once(self, name):
        class Silent(Writer):
            def generate(self, prompts, *, max_tokens, session):
                for prompt, said in super().generate(prompts, max_tokens=max_tokens, session=session):
                    yield prompt, Completion(said.text)

        run = after(name, Silent(SAID), Session(budget=Budget(tokens=500)))
        (note,) = run.ledger.of("uncounted_tokens")
        assert (note.amount, note.detail) == (3, "writer-1 does not tell its tokens: no limit of tokens can be kept")
        assert after(name, Writer(SAID), Session(budget=Budget(tokens=500))).ledger.of("uncounted_tokens") == ()

    def test_money_is_not_spent_without_a_price(self, name):
        model = Writer(SAID)
        with pytest.raises(UsageError, match="nobody says what the model costs; got 'writer-1'"):
            after(name, model, Session(budget=Budget(money=1.0, prices={"other": Price()})))
        assert model.asked == []


@pytest.mark.parametrize("name", MAKE)
def test_a_thought_is_no_part_of_what_is_said(name):
    thinking = {key: f"<think>salt leaf light abc?</think>\n{text}" for key, text in SAID.items()}
    thought, plain = after(name, Writer(thinking), Session()), after(name, Writer(SAID), Session())
    assert [held(query) for query in thought.queries] == [held(query) for query in plain.queries]
    assert thought.ledger.notes == plain.ledger.notes


@pytest.mark.parametrize("name", MAKE)
def test_a_thought_without_an_end_is_noted_and_counts_for_nothing(name):
    run = after(name, Writer({"sea": "<think>salt abc", "tea": "leaf", "sun": "light"}), Session())
    assert [note.query_id for note in run.ledger.of("no_feedback")] == ["q1"]
    (note,) = run.ledger.of("empty_output")
    assert note.detail.startswith("only a thought; allow more tokens, or switch thinking off")
    assert run.queries[0].text == "sea"
    assert not run.queries[0].vectors


def test_all_prompts_of_a_query_are_asked_or_none():
    model, budget = Writer(), Budget(calls=5)
    stage = HyDE(model, passages=2, retriever=FakeVectors(vectors={"d1": (1.0, 0.0, 0.0)}))
    run = stage.run({"q1": "sea", "q2": "tea", "twin": "sea", "q3": "sun"}, session=Session(budget=budget))
    assert [note.query_id for note in run.ledger.of("unfinished")] == ["q3"]
    assert (len(model.asked), budget.spent["calls"]) == (4, 4)  # equal queries once


def test_features_of_a_corpus_keep_to_the_budget(tmp_path):
    documents = [Document(doc_id, text) for doc_id, text in TEXTS.items()]
    model = Writer(SAID)
    first = PromptPRF(model).prepare(documents, session=Session(cache=tmp_path, budget=Budget(calls=2)))
    assert [note.detail for note in first.notes] == ["the budget of 2 calls is spent; a second call goes on"]
    assert PromptPRF(model).prepare(documents, session=Session(cache=tmp_path)).notes == ()
    assert len(model.asked) == 3
