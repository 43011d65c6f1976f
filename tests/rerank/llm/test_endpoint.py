"""Rerankers over a real HTTP server that answers, babbles, pushes back and dies."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from rankloom import Session, rrf
from rankloom.budget import Budget
from rankloom.errors import StageError, UsageError
from rankloom.execution import aexecute
from rankloom.language_model import Prompt
from rankloom.language_models import OpenAICompatible
from rankloom.rerank.llm import GradedRelevance, Listwise, Pairwise, QueryLikelihood, Setwise, YesNo
from tests.chat_server import ChatServer, Misbehaviour
from tests.rerank.llm.models import Grader, Scorer, graded_run, grades

MIXED = [3, 9, 1, 7, 5, 8, 2, 6, 4, 0]
STAGES = [Pairwise, Setwise, partial(Listwise, window=4, step=2, repeats=3)]

LIKELY = [
    partial(Pairwise, scoring="likelihood", k=4),
    partial(Setwise, scoring="likelihood", k=4),
    partial(Setwise, scoring="likelihood", k=4, permutations=3),
    partial(Listwise, scoring="likelihood", window=6, step=2),
    YesNo,
    GradedRelevance,
]


def likeliest(body):
    """The log probabilities of the scorer of the other tests, as a server lists them."""
    text = body["messages"][-1]["content"]
    told = Scorer().told(text)
    if "Passage B" in text:
        labels = [line[len("Passage ")] for line in text.splitlines() if line.startswith("Passage ")]
        return [{"Passage": -0.1}, {f" {label}": told(f"Passage {label}") for label in labels}]
    return [{label: told(label) for label in ("Yes", "No", *"01234")} | {"The": -40.0}]


@pytest.fixture
def server():
    found = ChatServer()
    found.says = lambda body: Grader().truth(Prompt(body["messages"][-1]["content"]))
    yield found
    found.close()


def model(server, **more):
    return OpenAICompatible("tiny", url=server.url, **{"retries": 0, **more})


@pytest.mark.parametrize("make", [*STAGES, *LIKELY])
def test_what_was_paid_before_the_server_died_is_not_paid_again(server, tmp_path: Path, make) -> None:
    server.likeliest = likeliest
    session = Session(cache=tmp_path, offline=True)
    server.script = [None] * 3 + [Misbehaviour(dies=True)] * 40
    with pytest.raises(StageError):
        make(model(server, concurrency=1)).run(graded_run(MIXED, MIXED, session=session))
    assert len(server.answered) == 3
    server.script = []
    run = make(model(server)).run(graded_run(MIXED, MIXED, session=session))
    assert grades(run, "q0")[:3] == [9, 8, 7]
    paid = server.paid("tiny")
    assert len(paid) == len(set(paid))  # nothing twice
    assert run.ledger.costs[-1].calls == len(paid) - 3


@pytest.mark.parametrize("make", STAGES)
def test_babble_and_pushing_back_change_nothing_that_was_not_said(server, make) -> None:
    server.script = [Misbehaviour(status=429, headers={"Retry-After": "0"}), Misbehaviour(status=503)]
    server.says = lambda _: "As a language model, I would rather talk about something else."
    run = make(model(server, retries=3)).run(graded_run(MIXED, session=Session(offline=True)))
    assert grades(run, "q0") == MIXED
    assert len(run.ledger.of("unparsed_output")) == run.ledger.costs[-1].calls
    assert len(server.requests) == run.ledger.costs[-1].calls + 2


def test_stages_side_by_side_keep_to_one_budget(server) -> None:
    budget = Budget(calls=50)
    both = rrf(Setwise(model(server), k=3), Pairwise(model(server), k=3), Setwise(model(server), k=3, children=2))
    run = asyncio.run(aexecute(both, graded_run(*[MIXED] * 8, session=Session(offline=True, budget=budget))))
    assert len(server.requests) == budget.spent["calls"] <= 50
    assert run.ledger.of("unfinished")


@pytest.mark.parametrize("make", LIKELY)
def test_likelihoods_of_a_server_rank_as_those_of_a_model_on_this_machine(server, tmp_path: Path, make) -> None:
    server.likeliest = likeliest
    here = make(Scorer()).run(graded_run(MIXED, MIXED[::-1]))
    session = Session(cache=tmp_path, offline=True)
    for requests in (here.ledger.costs[-1].calls, 0):
        server.requests.clear()
        run = make(model(server)).run(graded_run(MIXED, MIXED[::-1], session=session))
        assert run.to_dict() == here.to_dict()
        assert len(server.requests) == run.ledger.costs[-1].calls == requests
        assert run.ledger.notes == here.ledger.notes


@pytest.mark.parametrize(("make", "said"), [(LIKELY[1], "Passage "), (YesNo, "")])
def test_labels_that_a_server_does_not_list_are_noted_also_the_second_time(server, tmp_path, make, said) -> None:
    server.likeliest = likeliest
    session = Session(cache=tmp_path, offline=True)
    first = make(model(server, top_logprobs=2)).run(graded_run([5, 9, 7, 8], session=session))
    if said:
        assert grades(first, "q0")[0] == 9
    notes = first.ledger.of("unlisted_label")
    assert notes
    assert all(note.amount >= 1 and note.detail.startswith(said) for note in notes)
    server.close()
    again = make(model(server, top_logprobs=2)).run(graded_run([5, 9, 7, 8], session=session))
    assert again.ledger.of("unlisted_label") == notes


@pytest.mark.parametrize("make", LIKELY)
def test_a_server_without_logprobs_is_an_error_after_one_round(server, make) -> None:
    server.says = lambda _: "Yes"
    with pytest.raises(StageError, match=r"does not tell how likely.*scoring: generation"):
        make(model(server, concurrency=1)).run(graded_run(MIXED, session=Session(offline=True)))
    assert len(server.requests) == 1


def test_a_query_is_no_label(server) -> None:
    with pytest.raises(UsageError, match="how likely labels are, and no other texts"):
        QueryLikelihood(model(server))
    ten = GradedRelevance(model(server), highest=10)
    with pytest.raises(UsageError, match="a lower highest grade"):
        ten.run(graded_run([1, 2], session=Session(offline=True)))
    assert not server.requests


def test_a_budget_holds_for_likelihoods_of_a_server(server) -> None:
    server.likeliest = likeliest
    budget = Budget(calls=5)
    run = YesNo(model(server)).run(graded_run(MIXED, session=Session(offline=True, budget=budget)))
    assert len(server.requests) == budget.spent["calls"] == 5
    assert grades(run, "q0") == [*sorted(MIXED[:5], reverse=True), *MIXED[5:]]
