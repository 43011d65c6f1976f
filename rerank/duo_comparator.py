"""Answers to questions about pairs of hits, by a model that reads both documents; each reading is paid for once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, permutations
from typing import NamedTuple

import numpy as np

from rankloom.encoders import truncation_note
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.rerank.duo_input import Reading
from rankloom.rerank.duo_model import DuoModel
from rankloom.rerank.pair_stage import Outcome, keep_outcomes, known_outcomes
from rankloom.rerank.sorting import Answer, Answered, Asked, Preference
from rankloom.rerank.sorting.reranker import QueryHits
from rankloom.session import Session

_KEPT = 64  # readings that are remembered together: writing takes time, too


class Ordered(NamedTuple):
    """Two hits of a query in the order in which they are read.

    Args:
        query: The query's number.
        first: The hit that may be better.
        second: The other.
    """

    query: int
    first: int
    second: int


class DuoComparator:
    """Compares hits by a model, in both orders.

    What the model says is put into the session's cache a few readings at a time: a run that was stopped goes on, and no
    model is loaded where all is known. It is also remembered here, so that equal texts are compared with others alike,
    to the last bit.

    Args:
        lists: The queries and their hits.
        key: Stands for all that decides what is said beside the texts: the model, its precision, how much it reads.
        model: Gives the model, once it is needed.
        session: Its cache remembers what the model says.
        stage: Who asks, for notes and errors.
    """

    calls_each = 2

    def __init__(
        self, lists: Sequence[QueryHits], *, key: str, model: Callable[[], DuoModel], session: Session, stage: str
    ) -> None:
        self.lists, self.key, self.model, self.session, self.stage = lists, key, model, session, stage
        self._known: dict[str, Outcome] = {}
        self._tokens: dict[str, list[int]] = {}
        self._noted: set[tuple[str, str]] = set()

    def answer(self, asked: Sequence[Asked]) -> Answered:
        """Answer some questions: what is to be read for all of them is put into batches together."""
        orders = [Ordered(one.query, *pair) for one in asked for pair in permutations(one.question.members, 2)]
        keys = [digest(self.key, *self._texts(one)) for one in orders]
        known = self._known
        known.update(known_outcomes(self.session.cache, [key for key in keys if key not in known]))
        cached = sum(key in known for key in keys)
        missing = {key: one for key, one in zip(keys, orders, strict=True) if key not in known}
        tokens = 0
        for outcomes, read in self._said(missing):
            keep_outcomes(self.session.cache, outcomes, stage=self.stage)
            known.update(outcomes)
            tokens += read
        found = [known[key] for key in keys]
        notes = [note for one, outcome in zip(orders, found, strict=True) for note in self._cuts(one, outcome)]
        both = zip(orders[::2], found[::2], found[1::2], strict=True)
        answers = [_decided(one, outcome, turned) for one, outcome, turned in both]
        return Answered(answers, notes, cached, len(missing), tokens)

    def _said(self, missing: Mapping[str, Ordered]) -> Iterator[tuple[dict[str, Outcome], int]]:
        """What the model says of some orders, a few at a time, with the tokens that it has read for that."""
        if not missing:
            return
        model, keys = self.model(), list(missing)
        whole = self._tokenised(model, missing.values())
        readings = [model.frame.reading(*texts) for texts in whole]
        outcomes: dict[str, Outcome] = {}
        read = 0
        for places, logits in model.told(readings):
            for place, logit in zip(places.tolist(), logits, strict=True):
                cut = [len(text) - len(kept) for text, kept in zip(whole[place], readings[place], strict=True)]
                outcomes[keys[place]] = Outcome({"logit": np.array([logit]), "cut": np.array(cut, dtype=np.int64)})
                read += model.frame.length(readings[place])
            if len(outcomes) >= _KEPT:
                yield outcomes, read
                outcomes, read = {}, 0
        yield outcomes, read

    def _tokenised(self, model: DuoModel, orders: Iterable[Ordered]) -> list[Reading]:
        """The tokens of what is to be read, uncut; no text is tokenised twice."""
        texts = [self._texts(one) for one in orders]
        new = [text for text in dict.fromkeys(chain.from_iterable(texts)) if text not in self._tokens]
        self._tokens.update(zip(new, model.tokens(new), strict=True))
        return [Reading(*(self._tokens[text] for text in some)) for some in texts]

    def _texts(self, one: Ordered) -> tuple[str, str, str]:
        """The texts of a query and of two hits."""
        query, documents = self.lists[one.query].query, self.lists[one.query].documents
        return query.text, documents[one.first].contents, documents[one.second].contents

    def _cuts(self, one: Ordered, outcome: Outcome) -> Iterator[Note]:
        """Notes of what was not read of a query and two hits; each is noted once, for it is always cut alike."""
        query, documents = self.lists[one.query].query, self.lists[one.query].documents
        whose = ("", documents[one.first].id, documents[one.second].id)
        for doc_id, tokens in zip(whose, outcome.arrays["cut"].tolist(), strict=True):
            if tokens and (query.id, doc_id) not in self._noted:
                self._noted.add((query.id, doc_id))
                yield truncation_note(self.session, stage=self.stage, tokens=tokens, query_id=query.id, doc_id=doc_id)


def _decided(one: Ordered, outcome: Outcome, turned: Outcome) -> Answer:
    """Who is preferred, from what was said in both orders; nobody if that is in balance."""
    margin = _likely(outcome) - _likely(turned)
    if margin == 0:
        return ()
    return Preference(one.first if margin > 0 else one.second, abs(margin))


def _likely(outcome: Outcome) -> float:
    """The probability that the first of two documents is the better one."""
    logit = outcome.arrays["logit"].astype(np.float64)
    return float(1 / (1 + np.exp(-logit[0])))
