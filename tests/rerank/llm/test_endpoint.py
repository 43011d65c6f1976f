"""Rerankers over a real HTTP server that answers, babbles, pushes back and dies."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from rankloom import Session, rrf
from rankloom.budget import Budget
from rankloom.errors import StageError
from rankloom.execution import aexecute
from rankloom.language_model import Prompt
from rankloom.language_models import OpenAICompatible
from rankloom.rerank.llm import Listwise, Pairwise, Setwise
from tests.chat_server import ChatServer, Misbehaviour
from tests.rerank.llm.models import Grader, graded_run, grades

MIXED = [3, 9, 1, 7, 5, 8, 2, 6, 4, 0]
STAGES = [Pairwise, Setwise, partial(Listwise, window=4, step=2, repeats=3)]


@pytest.fixture
def server():
    found = ChatServer()
    found.says = lambda body: Grader().truth(Prompt(body["messages"][-1]["content"]))
    yield found
    found.close()


def model(server, **more):
    return OpenAICompatible("tiny", url=server.url, **{"retries": 0, **more})


@pytest.mark.parametrize("make", STAGES)
def test_what_was_paid_before_the_server_died_is_not_paid_again(server, tmp_path: Path, make) -> None:
    session = Session(cache=tmp_path, offline=True)
    server.script = [None] * 3 + [Misbehaviour(dies=True)] * 40
    with pytest.raises(StageError):
        make(model(server, concurrency=1)).run(graded_run(MIXED, MIXED, session=session))
    paid = server.prompts[:3]
    server.script = []
    run = make(model(server)).run(graded_run(MIXED, MIXED, session=session))
    assert grades(run, "q0")[:3] == [9, 8, 7]
    assert not set(server.prompts[4:]) & set(paid)
    assert run.ledger.costs[-1].cached >= 3


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
