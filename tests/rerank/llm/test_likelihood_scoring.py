"""Choosing by likelihood instead of by what is written: pairs, sets and windows."""

from dataclasses import replace

import pytest

from rankloom import Document, Run
from rankloom.corpus import MemoryDocuments
from rankloom.errors import UsageError
from rankloom.language_model import Completion
from rankloom.likelihood import Likelihood
from rankloom.rerank.llm import GradedRelevance, Listwise, Pairwise, QueryLikelihood, Setwise, YesNo
from tests.rerank.llm.models import Grader, Scorer, graded_run, grades

MIXED = [3, 9, 1, 7, 5, 8, 2, 6, 4, 0]
STAGES = [
    lambda model: Pairwise(model, scoring="likelihood", k=4),
    lambda model: Setwise(model, scoring="likelihood", k=4),
    lambda model: Setwise(model, scoring="likelihood", k=4, permutations=3),
    lambda model: Listwise(model, scoring="likelihood", window=6, step=2),
]


@pytest.mark.parametrize("make", STAGES)
def test_the_likelier_label_wins(make):
    model = Scorer()
    run = make(model).run(graded_run(MIXED, MIXED[::-1]))
    assert grades(run, "q0")[:4] == grades(run, "q1")[:4] == [9, 8, 7, 6]
    assert model.prompts == []  # nothing is written
    (cost,) = run.ledger.costs
    assert cost.calls == len({one.prompt for one in model.asked})
    assert {one.text for one in model.asked} <= {f"Passage {label}" for label in "ABCDEF"}


@pytest.mark.parametrize("make", STAGES)
def test_equal_likelihoods_change_nothing(make):
    class Even(Scorer):
        def log_likelihoods(self, asked, *, session):  # noqa: ARG002
            yield from ((one, Likelihood(-1.0, 1)) for one in asked)

    assert grades(make(Even()).run(graded_run([1, 2, 3, 4])), "q0") == [1, 2, 3, 4]


def test_windows_are_ordered_as_a_whole():
    run = Listwise(Scorer(), scoring="likelihood", window=10, step=5).run(graded_run(MIXED))
    assert grades(run, "q0") == sorted(MIXED, reverse=True)


@pytest.mark.parametrize("make", STAGES)
def test_a_model_that_only_writes_is_refused(make):
    with pytest.raises(UsageError, match="does not tell how likely an output is"):
        make(Grader())


def test_a_window_has_no_more_passages_than_labels():
    with pytest.raises(UsageError, match="can not show 24 passages"):
        Listwise(Scorer(), scoring="likelihood", window=24)


@pytest.mark.parametrize("make", [Pairwise, Setwise, YesNo, QueryLikelihood, GradedRelevance])
def test_what_is_shown_by_default_leaves_room_in_512_tokens(make):
    words = Document("d", "word " * 1000)
    scores = {"q": {f"d{n}": -float(n) for n in range(5)}}
    documents = MemoryDocuments([replace(words, id=doc_id) for doc_id in scores["q"]])
    model = Counting()
    make(model).run(Run.from_dict(scores, queries={"q": "why is it so"}, documents=documents))
    assert max(model.words) * 1.3 < 512  # tokens of T5 for a word of English prose


class Counting(Scorer):
    """Counts the words of its prompts."""

    def __init__(self):
        super().__init__()
        self.words = []

    def generate(self, prompts, *, max_tokens, session):  # noqa: ARG002
        for prompt in prompts:
            self.words.append(len(prompt.text.split()))
            yield prompt, Completion("Passage A")

    def log_likelihoods(self, asked, *, session):  # noqa: ARG002
        for one in asked:
            self.words.append(len(one.prompt.text.split()))
            yield one, Likelihood(-1.0, read=1)


def test_a_prompt_that_asks_for_a_thought_is_refused():
    with pytest.raises(UsageError, match=r"rank_r1.*scoring='generation'"):
        Setwise(Scorer(), scoring="likelihood", prompt="rank_r1", children=19)
