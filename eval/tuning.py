"""Tuning: choosing one of several settings on some queries and measuring it on others.

The best row of a sweep flatters itself: it was chosen on the queries it is measured on. A tuned row was not. Either the
queries are parted into folds, and each fold is answered by the setting that is best on all others (cross-validation),
or the setting is chosen on a collection of its own, such as the training split, where cross-validation then says what
such a choice is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rankloom.errors import UsageError
from rankloom.eval.measures import Evaluation
from rankloom.eval.per_query import TIE
from rankloom.fingerprint import digest
from rankloom.ledger import Ledger
from rankloom.ranking import concatenate
from rankloom.records import Query
from rankloom.run import Run, Step

_STAGE = "tune"
_MOST_SHARED = 0.1  # of the queries of a training split may be queries of the test split


@dataclass(frozen=True, slots=True)
class Fold:
    """One part of the queries.

    Args:
        queries: The queries that are held out.
        chosen: The setting that is best on all other queries.
        training: Its mean on those.
        held_out: Its mean on the queries held out.
    """

    queries: tuple[str, ...]
    chosen: str
    training: float
    held_out: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was chosen, and what it is worth on queries it was not chosen on.

    Args:
        measure: What was to be made large.
        chosen_on: The collection that the choice was made on.
        means: Setting -> mean of the measure over all queries that it was chosen on.
        chosen: The best setting on all of these: the one to use from now on.
        mean: The mean on queries that had no part in the choice: over all folds, or over the test collection.
        folds: The folds; empty if the choice was made on another collection.
        elsewhere: The folds of that other collection, if the choice was validated there.
        remark: What is to be said of how it was chosen; empty if there is nothing.
    """

    measure: str
    chosen_on: str
    means: Mapping[str, float]
    chosen: str
    mean: float
    folds: tuple[Fold, ...] = ()
    elsewhere: tuple[Fold, ...] = ()
    remark: str = ""

    def choice(self, query_id: str) -> str:
        """The setting that answers a query of the test collection."""
        return next((fold.chosen for fold in self.folds if query_id in fold.queries), self.chosen)

    def to_dict(self) -> dict[str, Any]:
        """A JSON form."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The choice in words."""
        remark = [self.remark] if self.remark else []
        if not self.folds:
            best = f"{self.chosen} is best of {len(self.means)} on {self.chosen_on}"
            figures = f"({self.measure} {self.means[self.chosen]:.4f}{self._tied()}) and has {self.mean:.4f} here"
            return [f"{best} {figures}", *self._validated(), *remark]
        told = [
            f"fold {number}: {fold.chosen} is best on the others ({self.measure} {fold.training:.4f}) and has "
            f"{fold.held_out:.4f} on these {len(fold.queries)} queries"
            for number, fold in enumerate(self.folds, start=1)
        ]
        best = (
            f"{self.chosen} is best of {len(self.means)} on all queries ({self.means[self.chosen]:.4f}{self._tied()})"
        )
        return [*told, f"cross-validated {self.measure} {self.mean:.4f}; {best}", *remark]

    def _validated(self) -> list[str]:
        """What cross-validation says of the choice on the collection where it was made."""
        if not self.elsewhere:
            return []
        agreed = f"{sum(fold.chosen == self.chosen for fold in self.elsewhere)} of the {len(self.elsewhere)} folds"
        mean = _mean_of(self.elsewhere)
        return [f"cross-validated there: {self.measure} {mean:.4f}; the same is chosen without each of {agreed}"]

    def _tied(self) -> str:
        """How many others are as good as the setting that was chosen, which is then only the first of them."""
        others = sum(mean >= self.means[self.chosen] - TIE for mean in self.means.values()) - 1
        return f", tied with {others} more" if others else ""


def folds_of(query_ids: Sequence[str], folds: int, *, seed: int = 7) -> list[tuple[str, ...]]:
    """Part queries into folds of equal size (within one).

    The parting follows the ids and the seed alone, not the order of the queries, and not the platform.

    Args:
        query_ids: The queries.
        folds: How many parts, at least 2 and at most as many as queries.
        seed: Another seed parts otherwise.

    Raises:
        UsageError: Too few or too many folds.

    Example:
        >>> [sorted(fold) for fold in folds_of(["q1", "q2", "q3", "q4"], 2)]
        [['q1', 'q3'], ['q2', 'q4']]
    """
    if not 2 <= folds <= len(query_ids):
        raise UsageError(
            "can not part the queries into so many folds", stage=_STAGE, value=folds, accepted=f"2 to {len(query_ids)}"
        )
    mixed = sorted(query_ids, key=lambda query_id: digest("fold", seed, query_id))
    held = [set(mixed[number::folds]) for number in range(folds)]
    return [tuple(query_id for query_id in query_ids if query_id in one) for one in held]


def cross_validated(
    evaluations: Mapping[str, Evaluation], measure: str, *, folds: int = 5, seed: int = 7, collection: str = ""
) -> Tuning:
    """Choose among settings by cross-validation.

    Each fold is answered by the setting with the largest mean on all other folds; of equal ones (within 1e-9) by the
    first.

    Args:
        evaluations: Setting -> its evaluation, all of the same queries.
        measure: One of their measures, larger is better.
        folds: How many parts.
        seed: Of the parting.
        collection: Name of the collection, for the record.

    Raises:
        UsageError: Nothing to choose from, evaluations of different queries, or a bad number of folds.
    """
    values = _values(evaluations, measure)
    queries = list(next(iter(values.values())))
    found: list[Fold] = []
    for held in folds_of(queries, folds, seed=seed):
        others = [query_id for query_id in queries if query_id not in set(held)]
        means = _means(values, others)
        chosen = _best(means)
        found.append(Fold(held, chosen, means[chosen], _means(values, held)[chosen]))
    means = _means(values, queries)
    return Tuning(measure, collection, means, _best(means), _mean_of(found), tuple(found))


def chosen_elsewhere(
    training: Mapping[str, Evaluation],
    measured: Callable[[str], Evaluation],
    measure: str,
    *,
    folds: int | None = None,
    seed: int = 7,
    collection: str = "",
) -> Tuning:
    """Choose among settings on one collection and measure the choice on another; of equal ones the first.

    Args:
        training: Setting -> its evaluation where it is chosen.
        measured: Evaluates a setting where the choice is measured; asked for the chosen one alone.
        measure: A measure of all of them, larger is better.
        folds: Into how many parts the first collection is cut to validate the choice there; None for not at all.
        seed: Of the parting.
        collection: Name of the first collection, for the record.

    Raises:
        UsageError: Nothing to choose from, evaluations of different queries, or a bad number of folds.
    """
    values = _values(training, measure)
    means = _means(values, list(next(iter(values.values()))))
    chosen = _best(means)
    parts = () if folds is None else cross_validated(training, measure, folds=folds, seed=seed).folds
    held_out = _values({chosen: measured(chosen)}, measure)
    mean = _means(held_out, list(held_out[chosen]))[chosen]
    return Tuning(measure, collection, means, chosen, mean, elsewhere=parts)


def shared_queries(training: Sequence[Query], test: Sequence[Query], *, same_corpus: bool) -> list[str]:
    """The queries that settings can not be chosen by, as they are measured afterwards.

    Collections have a few: two of SciFact's claims for training are claims of its test split, word for word.

    Args:
        training: What is chosen on.
        test: What is measured on.
        same_corpus: Whether equal ids mean equal queries; equal texts always do.

    Returns:
        Ids of training queries, in their order.

    Raises:
        UsageError: They are more than a tenth, so that the two are no splits of their own.
    """
    ids = {query.id for query in test} if same_corpus else set()
    texts = {" ".join(query.text.lower().split()) for query in test}
    both = [query.id for query in training if query.id in ids or " ".join(query.text.lower().split()) in texts]
    if len(both) > _MOST_SHARED * len(training):
        raise UsageError(
            f"{len(both)} of the {len(training)} queries to tune on are also measured, such as {both[0]!r}",
            stage=_STAGE,
            fix="choose on another split, or by `folds`",
        )
    return both


def put_together(runs: Mapping[str, Run], tuning: Tuning) -> Run:
    """One run in which each query has the hits of the setting that was chosen without it.

    Its notes are those of these hits. Its costs are those of the setting that is best on all queries.

    Args:
        runs: Setting -> its run, all of the same queries.
        tuning: The choice.
    """
    whole = runs[tuning.chosen]
    if not tuning.folds:
        return whole
    numbers: dict[str, list[int]] = {}
    for number, query in enumerate(whole.queries):
        numbers.setdefault(tuning.choice(query.id), []).append(number)
    parts = [runs[name].select(places) for name, places in numbers.items()]
    order = [number for places in numbers.values() for number in places]
    back = sorted(range(len(order)), key=order.__getitem__)
    ranking = concatenate([part.hits(stage=_STAGE) for part in parts]).select(back)
    queries = [query for part in parts for query in part.queries]
    notes = [runs[name].ledger.only(whole.queries[n].id for n in places).notes for name, places in numbers.items()]
    joined = replace(
        whole,
        queries=tuple(queries[place] for place in back),
        lineage=digest(_STAGE, [(name, runs[name].lineage, places) for name, places in numbers.items()]),
        ledger=Ledger(tuple(note for some in notes for note in some), whole.ledger.costs),
    ).ranked(ranking)
    return replace(joined, steps=(Step(_STAGE, joined.queries, ranking),))


def _values(evaluations: Mapping[str, Evaluation], measure: str) -> dict[str, Mapping[str, float]]:
    """Setting -> query id -> value.

    Raises:
        UsageError: There is nothing, the measure is not there, or the queries differ.
    """
    if not evaluations:
        raise UsageError("there is nothing to choose from", stage=_STAGE)
    for name, evaluation in evaluations.items():
        if measure not in evaluation.per_query:
            raise UsageError(f"{name} was not measured by this", stage=_STAGE, value=measure)
    values = {name: evaluation.per_query[measure] for name, evaluation in evaluations.items()}
    first = next(iter(values.values()))
    for name, known in values.items():
        if odd := sorted(set(known) ^ set(first)):
            raise UsageError(f"{name} was measured on other queries", stage=_STAGE, value=odd[0])
    return values


def _mean_of(folds: Sequence[Fold]) -> float:
    """The mean over all queries of folds, each answered by the setting that was chosen without it."""
    total = sum(fold.held_out * len(fold.queries) for fold in folds)
    return total / sum(len(fold.queries) for fold in folds)


def _means(values: Mapping[str, Mapping[str, float]], queries: Sequence[str]) -> dict[str, float]:
    """Setting -> mean over some queries."""
    return {name: sum(known[query_id] for query_id in queries) / len(queries) for name, known in values.items()}


def _best(means: Mapping[str, float]) -> str:
    """The setting with the largest mean; of equal ones the first."""
    most = max(means.values())
    return next(name for name, mean in means.items() if mean >= most - TIE)
