"""Hard negatives: documents that a pipeline finds and that are not relevant, as far as anybody knows.

Xiong et al.: ANCE, ICLR 2021 (arXiv:2007.00808). Most of what a good retriever ranks high without a judgement is
relevant (Qu et al.: RocketQA, NAACL 2021, arXiv:2010.08191), hence the filters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from rankloom.errors import DataError
from rankloom.ranked_list import RankedList
from rankloom.records import Query
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Stage
from rankloom.training.contrastive_config import Negatives
from rankloom.training.pairs import SourceTexts, same_text

_STAGE = "hard_negatives"


@dataclass(frozen=True, slots=True)
class Mined:
    """One example, by ids.

    Args:
        query: The query.
        positive: A relevant document.
        negatives: Documents to tell it from.
        scores: The judge's of them all, the relevant document's first; none without a judge.
    """

    query: str
    positive: str
    negatives: tuple[str, ...]
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a query.

    Args:
        query_id: The query.
        relevant: Document id -> grade, of relevant documents that the corpus has.
        texts: Their texts, as `same_text` leaves them.
        judged: Documents that were judged, relevant or not.
    """

    query_id: str
    relevant: Mapping[str, int]
    texts: frozenset[str]
    judged: frozenset[str]


def mine(
    source: SourceTexts,
    queries: Sequence[Query],
    how: Negatives,
    *,
    candidates: Stage,
    judge: Stage | None,
    session: Session,
    seed: int,
) -> tuple[list[Mined], Counter[str]]:
    """Examples with hard negatives.

    Args:
        source: Corpus and judgements.
        queries: Which of its queries.
        how: Ranks, filters, numbers.
        candidates: The pipeline of `how`, built.
        judge: The judge of `how`, built.
        session: How they are carried out.
        seed: Of the draws; each query's are its own, whatever other queries there are.

    Returns:
        The examples in the order of the queries, and counts: candidates, why some were left out, negatives that were
        drawn at random instead, relevant documents that the corpus lacks.

    Raises:
        DataError: The judge leaves candidates without a score of its own, or the corpus is too small.
    """
    found = candidates.run(queries, session=session)
    judged = None if judge is None else judged_by(judge, found, source, last=how.ranks[1])
    counts: Counter[str] = Counter()
    examples: list[Mined] = []
    for query in queries:
        draws = np.random.default_rng([seed, crc32(query.id.encode())])
        known = _known(source, query.id, counts)
        ranked = found[query.id].doc_ids[: how.ranks[1]]
        left = _not_relevant(source, ranked[how.ranks[0] - 1 :], known, counts)
        for positive in _positives(known.relevant, how.positives, draws):
            kept = left if judged is None else _below(judged[query.id], left, positive, known, how)
            counts["too near to the relevant document"] += len(left) - len(kept)
            negatives = [kept[place] for place in sorted(draws.permutation(len(kept))[: how.count].tolist())]
            negatives += _at_random(source, known, ranked, how.count - len(negatives), draws)
            counts["drawn at random instead"] += max(0, how.count - len(kept))
            scores = () if judged is None else _scores(judged[query.id], [positive, *negatives])
            examples.append(Mined(query.id, positive, tuple(negatives), scores))
    counts["examples"] = len(examples)
    return examples, counts


def judged_by(judge: Stage, found: Run, source: SourceTexts, *, last: int) -> Mapping[str, Mapping[str, float]]:
    """A judge's scores of every query's candidates and relevant documents.

    Args:
        judge: Steps that score a ranking anew, or that retrieve.
        found: The candidates.
        source: Corpus and judgements.
        last: The last rank that counts.

    Raises:
        DataError: A reranker scores fewer documents than there are.
    """
    asked: dict[str, dict[str, float]] = {}
    for query_id, hits in found.items():
        wanted = dict.fromkeys([*source.relevant_to(query_id), *hits.doc_ids[:last]])
        asked[query_id] = {doc_id: float(-place) for place, doc_id in enumerate(wanted)}
    start: Run | tuple[Query, ...] = found.queries
    if "ranking" in judge.opening():
        start = Run.from_dict(asked, queries=found.queries, documents=source.corpus, session=found.session)
    scored = judge.run(start, session=found.session)
    return {query_id: _own_scores(hits, asked[query_id]) for query_id, hits in scored.items()}


def _own_scores(hits: RankedList, asked: Mapping[str, float]) -> dict[str, float]:
    """Scores that are the judge's; what it does not return counts as the worst that it returns."""
    if hits.scored is not None and hits.scored < len(hits):
        raise DataError(
            f"the judge scores {hits.scored} of {len(hits)} documents",
            stage=_STAGE,
            value=hits.query.id,
            fix="raise its depth, or narrow negatives.ranks",
        )
    scores = dict(zip(hits.doc_ids, hits.scores, strict=True))
    worst = min(scores.values(), default=0.0)
    return {doc_id: scores.get(doc_id, worst) for doc_id in asked}


def _scores(judged: Mapping[str, float], doc_ids: Sequence[str]) -> tuple[float, ...]:
    """A judge's scores; documents that it was not asked about were drawn at random, and count as its worst."""
    worst = min(judged.values())
    return tuple(judged.get(doc_id, worst) for doc_id in doc_ids)


def _known(source: SourceTexts, query_id: str, counts: Counter[str]) -> _Known:
    """What the judgements say of a query."""
    grades = source.relevant.get(query_id, {})
    relevant = source.relevant_to(query_id)
    counts["relevant documents missing"] += sum(grade > 0 for grade in grades.values()) - len(relevant)
    texts = frozenset(same_text(document.contents) for document in source.corpus.get(list(relevant)))
    return _Known(query_id, relevant, texts, frozenset(grades))


def _positives(relevant: Mapping[str, int], count: int, draws: np.random.Generator) -> list[str]:
    """Some relevant documents: the best grades first, at random among equals."""
    ids = sorted(relevant)
    shuffled = [ids[place] for place in draws.permutation(len(ids)).tolist()]
    return sorted(shuffled, key=lambda doc_id: -relevant[doc_id])[:count]


def _not_relevant(source: SourceTexts, candidates: Sequence[str], known: _Known, counts: Counter[str]) -> list[str]:
    """Candidates that are neither judged relevant nor copies of what is."""
    others = [doc_id for doc_id in candidates if doc_id not in known.relevant]
    kept = [one.id for one in source.corpus.get(others) if same_text(one.contents) not in known.texts]
    counts["candidates"] += len(candidates)
    counts["judged relevant"] += len(candidates) - len(others)
    counts["copies of a relevant document"] += len(others) - len(kept)
    return kept


def _below(
    scores: Mapping[str, float],
    candidates: Sequence[str],
    positive: str,
    known: _Known,
    how: Negatives,
) -> list[str]:
    """Candidates that the judge finds clearly worse than the relevant document, or that people found irrelevant."""
    reached = scores[positive]
    most = min(reached - (1 - how.share) * abs(reached), reached - how.margin)
    return [doc_id for doc_id in candidates if doc_id in known.judged or scores[doc_id] <= most]


def _at_random(
    source: SourceTexts, known: _Known, ranked: Sequence[str], count: int, draws: np.random.Generator
) -> list[str]:
    """Some documents of the corpus that are neither relevant nor ranked.

    What is ranked is taken as a negative already, or was left out for a reason: its rank, or the judge.
    """
    if count <= 0:
        return []
    everything = len(source.corpus)
    wanted = min(everything, count + len(ranked) + 2 * len(known.relevant))
    while True:
        drawn = source.corpus.at(draws.choice(everything, size=wanted, replace=False).tolist())
        free = [one.id for one in drawn if one.id not in ranked and same_text(one.contents) not in known.texts]
        if len(free) >= count:
            return free[:count]
        if wanted == everything:
            raise DataError(
                f"the corpus has too few documents that are neither relevant nor ranked: {len(free)} of {count}",
                stage=_STAGE,
                value=known.query_id,
                fix="lower negatives.count, or the last of negatives.ranks",
            )
        wanted = min(everything, 2 * wanted)
