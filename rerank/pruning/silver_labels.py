"""Silver labels: which sentences help to answer which question, as a language model cites them.

Chirkova et al. (Provence, ICLR 2025, arXiv:2501.16214) train on such labels. Each line of the file is a JSON object:

    {"query_id": ..., "question": ..., "doc_id": ..., "title": ..., "sentences": [...], "relevant": [0, 3]}

The sentences of a text, joined, are the text; `relevant` are places among them, from 0, none where the model says that
there is no answer. As in the paper, no label is made of an answer that can not be read, or cites the title alone; nor
is one, here, of an answer that was cut, which may have been about to cite more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from rankloom.errors import UsageError
from rankloom.files import atomic_path
from rankloom.ledger import Ledger
from rankloom.lines import record_line
from rankloom.records import Document, Query
from rankloom.rerank.pair_stage import Outcome
from rankloom.rerank.pruning.citation_answers import CITED, answer_counts
from rankloom.rerank.pruning.citations import CitationPruner
from rankloom.run import Run

_Fate = Literal["relevant", "irrelevant", "unreadable", "cut", "title_alone", "no_sentences"]
_FATES: tuple[_Fate, ...] = get_args(_Fate)


@dataclass(frozen=True, slots=True)
class SilverLabels:
    """What became of the texts that were to be labelled.

    Args:
        relevant: Labels with a relevant sentence.
        irrelevant: Labels without one: the model says that there is no answer.
        unreadable: Texts without a label, because an answer about them can not be read.
        cut: Likewise, because an answer was cut at its limit.
        title_alone: Likewise, because only the title was cited.
        no_sentences: Texts without a sentence.
        unfinished: Texts that the session's budget did not suffice for; the next call goes on with them.
        ledger: Notes on answers, and costs.
    """

    relevant: int
    irrelevant: int
    unreadable: int
    cut: int
    title_alone: int
    no_sentences: int
    unfinished: int
    ledger: Ledger

    def counts(self) -> dict[str, int]:
        """All numbers by name."""
        return {name: getattr(self, name) for name in (*_FATES, "unfinished")}


def write_silver_labels(run: Run, pruner: CitationPruner, path: str | Path) -> SilverLabels:
    """Label the sentences of the best `pruner.depth` hits of each query, and write them as JSON lines.

    Answers are kept in the session's cache as they come: after an error, when the process is killed, or when the
    budget is spent, the next call asks for the rest and writes the file anew, whole.

    Args:
        run: Queries, their hits and texts. Its session has a cache.
        pruner: Asks the model, and says what it is asked.
        path: The file.

    Raises:
        UsageError: The session has no cache, so that what is paid for would be lost.
        CompositionError: There is no ranking, or nobody knows the texts.
        DataError: A query leaves no room for a sentence; nothing has been asked then.
    """
    if run.session.cache is None:
        problem = "the session has no cache, so that answers which were paid for would be lost"
        raise UsageError(problem, stage="silver_labels", fix="Session(cache=FOLDER)")
    wanted = int(pruner.looked_at(run).sum())
    (after, outcomes, counts), notes = pruner.answered(run)
    given, fates = iter(outcomes), Counter[_Fate]()
    ranking, documents = run.hits(stage=pruner.name), run.texts(stage=pruner.name)
    with atomic_path(Path(path)) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for number, query in enumerate(run.queries):
            for document in documents.get(ranking.doc_ids(number)[: int(counts[number])]):
                fate = _fate(outcome := next(given))
                fates[fate] += 1
                if fate in ("relevant", "irrelevant"):
                    file.write(record_line(_label(query, document, outcome)))
    cost = replace(after.ledger.costs[-1], stage=pruner.name, model=pruner.model_name)
    ledger = Ledger((*after.ledger.notes, *notes), (*run.ledger.costs, cost))
    return SilverLabels(**{name: fates[name] for name in _FATES}, unfinished=wanted - len(outcomes), ledger=ledger)


def _fate(outcome: Outcome) -> _Fate:
    """What becomes of a text, given the answers about it."""
    counts = answer_counts(outcome)
    if not len(outcome.arrays["offsets"]):
        return "no_sentences"
    if counts["unread"]:
        return "unreadable"
    if counts["cut"]:
        return "cut"
    if np.any(outcome.arrays["probabilities"] == CITED):
        return "relevant"
    return "title_alone" if counts["title_alone"] else "irrelevant"


def _label(query: Query, document: Document, outcome: Outcome) -> Mapping[str, object]:
    """A line of the file."""
    starts, end = outcome.arrays["offsets"][:, 0].tolist(), int(outcome.arrays["offsets"][-1, 1])
    return {
        "query_id": query.id,
        "question": query.text,
        "doc_id": document.id,
        "title": document.title,
        "sentences": [document.text[first:last] for first, last in zip(starts, [*starts[1:], end], strict=True)],
        "relevant": np.flatnonzero(outcome.arrays["probabilities"] == CITED).tolist(),
    }
