"""Likelihoods: equal questions once, known ones not at all, and models that break their contract."""

import sqlite3

import pytest

from rankloom.errors import StageError, UsageError
from rankloom.fingerprint import digest
from rankloom.language_model import LanguageModel, Prompt
from rankloom.likelihood import Continuation, Likelihood, ScoringModel, log_likelihoods, scoring_model
from rankloom.session import Session


class Length(ScoringModel):
    """Longer texts are less likely."""

    def __init__(self, *, fails_after=None, spoil=None):
        self.asked, self.fails_after, self.spoil = [], fails_after, spoil

    def fingerprint(self):
        return digest("length")

    def generate(self, prompts, *, max_tokens, session):
        raise NotImplementedError

    def log_likelihoods(self, asked, *, session):  # noqa: ARG002
        for one in asked:
            if len(self.asked) == self.fails_after:
                raise ConnectionError("the line is dead")
            self.asked.append(one)
            yield (one, Likelihood(-float(len(one.text)), 10)) if self.spoil is None else self.spoil(one)


ASKED = [Continuation(Prompt(prompt), text) for prompt in ("why", "how") for text in ("yes", "no", "yes")]


def test_each_is_asked_once_and_remembered(tmp_path):
    model, session = Length(), Session(cache=tmp_path)
    first = log_likelihoods(model, ASKED, session=session, stage="test")
    assert first.log_probabilities == [-3.0, -2.0, -3.0] * 2
    assert (first.cached, first.calls, first.tokens, len(model.asked)) == (0, 2, 40, 4)
    again = log_likelihoods(model, [*ASKED, Continuation(Prompt("who"), "me")], session=session, stage="test")
    assert again.log_probabilities == [*first.log_probabilities, -2.0]
    assert (again.cached, again.calls, again.tokens) == (2, 1, 10)


def test_a_seed_changes_no_likelihood_and_other_numbers_do(tmp_path):
    log_likelihoods(Length(), ASKED, session=Session(cache=tmp_path), stage="test")
    assert log_likelihoods(Length(), ASKED, session=Session(cache=tmp_path, seed=8), stage="test").calls == 0
    assert log_likelihoods(Length(), ASKED, session=Session(cache=tmp_path, dtype="bfloat16"), stage="test").calls == 2


def test_what_a_server_tells_of_a_label_is_kept_for_its_companions(tmp_path):
    class Served(Length):
        labels_only = True

        def log_likelihoods(self, asked, *, session):
            for one, found in super().log_likelihoods(asked, session=session):
                yield one, found._replace(log_probability=-float(sum(len(other.text) for other in asked)))

    def told(*labels):
        some = [Continuation(Prompt("why"), label) for label in labels]
        return log_likelihoods(Served(), some, session=Session(cache=tmp_path), stage="test")

    first = told("yes", "no")
    assert told("yes", "never").log_probabilities == told("yes", "never").log_probabilities == [-8.0, -8.0]
    again = told("no", "yes")
    assert (again.log_probabilities, again.calls) == (first.log_probabilities[::-1], 0)


def test_what_was_told_before_a_failure_is_kept(tmp_path):
    session = Session(cache=tmp_path)
    with pytest.raises(ConnectionError):
        log_likelihoods(Length(fails_after=3), ASKED, session=session, stage="test")
    model = Length()
    log_likelihoods(model, ASKED, session=session, stage="test")
    assert model.asked == ASKED[3:5]  # all of the prompt that was not done
    with sqlite3.connect(tmp_path / "results.sqlite") as connection:
        connection.execute("UPDATE entries SET value = X'00112233'")
    assert log_likelihoods(model, ASKED, session=session, stage="test").log_probabilities[0] == -3.0  # damaged: again


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: (one, Likelihood(float("nan"), 1)),
        lambda one: (Continuation(one.prompt, "other"), Likelihood(-1.0, 1)),
    ],
)
def test_a_model_that_breaks_its_contract_is_an_error(spoil):
    with pytest.raises(StageError, match="no likelihood, or one not asked for"):
        log_likelihoods(Length(spoil=spoil), ASKED, session=Session(), stage="test")


def test_a_model_that_loses_some_is_an_error():
    class Lazy(Length):
        def log_likelihoods(self, asked, *, session):
            yield from list(super().log_likelihoods(asked, session=session))[1:]

    with pytest.raises(StageError, match="3 likelihoods for 4 continuations"):
        log_likelihoods(Lazy(), ASKED, session=Session(), stage="test")


def test_a_model_that_only_writes_is_refused():
    class Writer(LanguageModel):
        def fingerprint(self):
            return "writer"

        def generate(self, prompts, *, max_tokens, session):
            raise NotImplementedError

    with pytest.raises(UsageError, match="a model on this machine"):
        scoring_model(Writer(), stage="yes_no")
    assert isinstance(scoring_model(Length(), stage="yes_no"), Length)
