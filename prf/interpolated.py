"""Interpolated feedback: where the ranking of a second retriever comes in, before feedback, after it, or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeVar, get_args

from rankloom.checks import between, choice
from rankloom.errors import CompositionError
from rankloom.fusion import interpolate
from rankloom.fusion_methods import MISSING, Missing
from rankloom.parameter_kinds import Inner
from rankloom.pipeline import Composition, Pipeline
from rankloom.pool import NORMS, Norm
from rankloom.stage import Feedback, Stage

Strategy = Literal["none", "before", "after", "both"]
_Step = TypeVar("_Step")


class InterpolatedFeedback(Composition):
    """Feedback around which the rankings of two retrievers are interpolated (Li et al., SIGIR 2022).

    With `mixed` for `interpolate(partner, ..., alpha=alpha, norm=norm, missing=missing)`, it is this pipeline:

    - `none`: `base >> feedback >> base`.
    - `before`: `mixed(base) >> feedback >> base`. Feedback documents are the best of both retrievers.
    - `after`: `mixed(base >> feedback >> base)`. What feedback has found is interpolated with the partner's ranking.
    - `both`: `mixed(mixed(base) >> feedback >> base)`, the best in the paper for most collections and measures.

    In the paper `base` is a dense retriever, `partner` BM25 or uniCOIL, and feedback is over vectors; here all three
    are free. The partner gets the query as it came, and is asked once, also for `both`. Settings of an interpolation
    that a strategy does not have change nothing, so that a sweep can go through the strategies.

    Args:
        base: The retriever that feedback writes for.
        feedback: Any feedback stage, or a pipeline that begins with one. The second `base` is left out behind one that
            ends with a ranking: `TextPRF` with `through`, or `VectorPRF(then="rerank") >> StoredVectors(...)`.
        partner: The other retriever.
        strategy: Where its ranking comes in.
        alpha: Weight of the partner, from 0 to 1; that of `base` is 1 - alpha.
        alpha_after: The same after feedback; by default `alpha`.
        norm: Normalisation of each list; see `rankloom.fusion.interpolate`, as for `missing`. By default `minmax`, as
            the scores of two retrievers have no common scale (the paper adds them as they are, with tuned weights).
        missing: What a document scores in a list that does not hold it.

    Raises:
        UsageError: A weight is not between 0 and 1, or another option is unknown.
        CompositionError: One of the three is missing or is no stage, or one can not follow the other.

    Example:
        >>> from rankloom import Corpus, Document
        >>> from rankloom.prf import RM3
        >>> from rankloom.retrieval import BM25
        >>> corpus = Corpus.of([Document("a", "rain and snow"), Document("b", "rain in spring"), Document("c", "sand")])
        >>> plain, long = BM25.of(corpus), BM25.of(corpus, b=1.0)
        >>> InterpolatedFeedback(plain, RM3(docs=1), long, strategy="after").search("rain").doc_ids
        ['a', 'b']
    """

    name = "interpolated_feedback"

    def __init__(
        self,
        base: Inner,
        feedback: Inner,
        partner: Inner,
        *,
        strategy: Strategy = "both",
        alpha: float = 0.5,
        alpha_after: float | None = None,
        norm: Norm = "minmax",
        missing: Missing = "minimum",
    ) -> None:
        choice(strategy, get_args(Strategy), stage=self.name, parameter="strategy")
        self.base, self.feedback, self.partner = base, feedback, partner
        self.strategy: Strategy = strategy
        self.alpha = between(alpha, 0, 1, stage=self.name, parameter="alpha")
        after = (
            self.alpha if alpha_after is None else between(alpha_after, 0, 1, stage=self.name, parameter="alpha_after")
        )
        self.alpha_after = alpha_after
        choice(norm, NORMS, stage=self.name, parameter="norm")
        choice(missing, MISSING, stage=self.name, parameter="missing")
        self.norm, self.missing = norm, missing
        searched, step, other = self._part("base"), self._part("feedback"), self._part("partner")
        last = Pipeline([step]).stages[-1]
        fed = [step] if _leaves_ranking(type(last), last.params()) else [step, searched]

        def mixed(own: Sequence[Stage], weight: float) -> Stage:
            one = own[0] if len(own) == 1 else Pipeline(own)
            return interpolate(other, one, alpha=weight, norm=norm, missing=missing)

        before_and_after = partial(mixed, weight=self.alpha), partial(mixed, weight=after)
        super().__init__(_arranged(strategy, searched, fed, *before_and_after))

    @classmethod
    def steps(cls, given: Mapping[str, Any], last: Callable[[Any], tuple[type[Stage], Mapping[str, Any]]]) -> list[Any]:
        """The pipeline as YAML has it."""
        base, feedback, partner = given["base"], given["feedback"], given["partner"]
        fed = [feedback] if _leaves_ranking(*last(feedback)) else [feedback, base]
        alpha = given["alpha"]
        after = alpha if given["alpha_after"] is None else given["alpha_after"]
        options = {name: given[name] for name in ("norm", "missing")}

        def mixed(own: Sequence[Any], weight: float) -> Any:
            one = own[0] if len(own) == 1 else list(own)
            return {"interpolate": {"inputs": [partner, one], "alpha": weight, **options}}

        return _arranged(given["strategy"], base, fed, partial(mixed, weight=alpha), partial(mixed, weight=after))

    def _part(self, parameter: str) -> Stage:
        """One of the three parts, if it is there."""
        part = getattr(self, parameter)
        if not isinstance(part, Stage):
            raise CompositionError(f"{parameter} is not a stage", stage=self.name, value=part)
        return part


def _arranged(
    strategy: Strategy,
    base: _Step,
    fed: Sequence[_Step],
    before: Callable[[Sequence[_Step]], _Step],
    after: Callable[[Sequence[_Step]], _Step],
) -> list[_Step]:
    """The steps of a strategy, be they stages or written.

    Args:
        strategy: Which.
        base: The retriever.
        fed: Feedback, and what answers its queries.
        before: Interpolates steps with the partner, before feedback.
        after: Likewise after feedback.
    """
    first = before([base]) if strategy in ("before", "both") else base
    steps = [first, *fed]
    return [after(steps)] if strategy in ("after", "both") else steps


def _leaves_ranking(stage: type[Stage], given: Mapping[str, Any]) -> bool:
    """Whether a stage leaves a ranking: all do, but feedback that writes queries for a retriever."""
    return not issubclass(stage, Feedback) or stage.leaves_ranking(given)
