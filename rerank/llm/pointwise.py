"""Pointwise prompting: a language model is shown one passage at a time, and asked how likely it holds an answer.

What a passage scores depends on the query and the passage alone, so every pair is remembered. What an output says does
not count; the model has to tell likelihoods (`rankloom.likelihood.ScoringModel`), as those on this machine do, and many
servers for labels.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np

from rankloom.checks import whole
from rankloom.errors import UsageError
from rankloom.fingerprint import digest
from rankloom.language_model import LanguageModel, Prompt, checked_model
from rankloom.language_model_stage import LanguageModelStage
from rankloom.likelihood import Continuation, ScoringModel, scoring_model
from rankloom.likelihood_groups import log_likelihoods_of_groups
from rankloom.parameter_kinds import AnyLanguageModel
from rankloom.prompt_room import Showing, Size, words_with_room
from rankloom.ranking import ScoreKind
from rankloom.rerank.llm.comparator import cut_words
from rankloom.rerank.llm.prompted import PromptName
from rankloom.rerank.llm.template import Template, load_template
from rankloom.rerank.pair_stage import Pair
from rankloom.rerank.pointwise import Pointwise, Scored
from rankloom.run import Run
from rankloom.session import Session

_LABEL_TOKENS = 8  # room for the label after a prompt


class PointwisePrompt(Pointwise, LanguageModelStage):
    """Rerank by likelihoods of what might follow a prompt about one passage.

    A subclass says what might follow, and what the likelihoods mean. A label of which a server tells no likelihood
    counts as less likely than those that it tells; the pair is noted as `unlisted_label`. Where the session's budget
    does not suffice for a query, only its first hits are scored, as with a smaller `depth`; it is noted as
    `unfinished`. What was scored is kept, and running again goes on.

    Attributes:
        by_labels: Whether what might follow are labels, which a token tells apart; servers know no other likelihoods.
    """

    model: ScoringModel
    by_labels: ClassVar[bool] = True

    def __init__(self, model: LanguageModel, *, prompt: str, depth: int, passage_words: int) -> None:
        self.model = scoring_model(checked_model(model, stage=self.name), stage=self.name, labels=self.by_labels)
        self.prompt = prompt
        self.depth = whole(depth, least=1, stage=self.name, parameter="depth")
        self.passage_words = whole(passage_words, least=1, stage=self.name, parameter="passage_words")
        self.templates: Sequence[Template] = [load_template(prompt)]
        if self.templates[0].labels != "none":
            raise UsageError("the prompt is for several passages", stage=self.name, value=prompt, accepted="no labels")

    @abstractmethod
    def continuations(self, query: str) -> list[str]:
        """What might follow a prompt for a query."""

    @abstractmethod
    def value(self, log_probabilities: Sequence[float]) -> float:
        """The score, of the likelihoods of the continuations."""

    def prompt_of(self, query: str, passage: str) -> Prompt:
        """The prompt for a query and a passage."""
        return self.templates[0].showing(query, [passage])

    def identity(self, session: Session | None = None) -> str:
        """The model's fingerprint, and what the prompt says."""
        if session is not None:
            self.model.resolve(session)
        said = [] if self.model.context_tokens is None else [self.model.context_tokens]  # passages may be shown as far
        return digest(self.model, self.templates[0], *said)

    def __call__(self, run: Run) -> Run:
        """Score the best `depth` hits of each query, as far as the session's budget goes."""
        self._check_queries(run)
        after = super().__call__(run)
        if run.session.budget is None:
            return after
        own = after.ledger.costs[-1]
        return after.noted(*run.session.budget.uncounted(replace(own, stage=self.name, model=self.model_name)))

    def score(self, pairs: Sequence[Pair], session: Session) -> Scored:
        """Score some pairs; where the session's budget does not suffice for all, the first of them.

        Raises:
            UsageError: The budget limits money, and has no price for the model.
        """
        wanted: list[list[Continuation]] = []
        truncated = np.zeros(len(pairs), dtype=np.int64)
        for place, (pair, words) in enumerate(zip(pairs, self._words(pairs, session), strict=True)):
            passage, truncated[place] = cut_words(pair.document.contents, words)
            prompt = self.prompt_of(pair.query, passage)
            wanted.append([Continuation(prompt, text) for text in self.continuations(pair.query)])
        done = log_likelihoods_of_groups(self.model, wanted, session=session.silent(), stage=self.name)
        scores = np.array([self.value(told.log_probabilities) for told in done.told], dtype=np.float32)
        unlisted = np.array([told.unlisted for told in done.told], dtype=np.int64)
        truncated = truncated[: len(scores)]
        return Scored(scores, truncated, done.calls, done.tokens, unlisted=unlisted, stopped=done.stopped)

    def _words(self, pairs: Sequence[Pair], session: Session) -> list[int]:
        """How many words of the passage of each pair are shown: as many as the model has room for."""
        limits = [self.passage_words] * len(pairs)
        places: dict[str, list[int]] = {}
        for place, pair in enumerate(pairs):
            places.setdefault(pair.query, []).append(place)
        for query, own in places.items():
            showings = [
                Showing(query, 1, partial(self._showing, query, pairs[place].document.contents)) for place in own
            ]
            for place, words in zip(own, self._with_room(query, showings, self.passage_words, session), strict=True):
                limits[place] = words
        return limits

    def _check_queries(self, run: Run) -> None:
        """Refuse queries that leave no room for a passage, before anything is paid for.

        Raises:
            DataError: Names the query.
        """
        for query, looked_at in zip(run.queries, self.looked_at(run), strict=True):
            if looked_at and self.by_labels:  # other texts are told on this machine alone, where nothing is paid
                key = digest(self.prompt_of(query.text, "x"))
                showing = Showing(query.id, 1, partial(self._showing, query.text, "x"), key=key)
                self._with_room(query.text, [showing], 1, run.session)

    def _with_room(self, query: str, showings: Sequence[Showing], words: int, session: Session) -> list[int]:
        """How many words prompts about a query can show; see `words_with_room`."""
        output = _LABEL_TOKENS
        if self.model.knows_room and not self.by_labels:
            output = max(self.model.prompt_tokens([Prompt(text) for text in self.continuations(query)], session))
        return words_with_room(self.model, showings, words=words, max_tokens=output, session=session, stage=self.name)

    def _showing(self, query: str, text: str, words: int, _: Size) -> Prompt:
        """The prompt that shows so many words of a passage."""
        return self.prompt_of(query, cut_words(text, words)[0])


class YesNo(PointwisePrompt):
    """Rerank by how likely a language model answers `Yes` when asked whether a passage answers the query.

    Liang et al., HELM (arXiv:2211.09110), relevance generation; prompt and score as in ielab/llm-rankers: the softmax
    over `Yes` and `No`.

    Args:
        model: A language model on this machine, or on a server that tells logprobs; see `rankloom.language_models`.
        prompt: `yes_no`, or the path of a template for one passage; see `rankloom.rerank.llm.template`.
        depth: How many hits of each query are scored; 100 as in most published reranking runs.
        passage_words: Words shown of a passage. What is cut is noted. 200 fit the 512 tokens of Flan-T5 beside a short
            query (our own choice); models that read more may be shown more.

    Raises:
        UsageError: A parameter is out of range, or the model tells no likelihoods.
        NotFoundError: There is no such prompt.

    Example:
        >>> from rankloom.language_models import Local
        >>> YesNo(Local("google/flan-t5-large")).continuations("why is the sky blue")
        ['Yes', 'No']
    """

    name = "yes_no"
    kind = ScoreKind.PROBABILITY

    def __init__(
        self, model: AnyLanguageModel, *, prompt: PromptName = "yes_no", depth: int = 100, passage_words: int = 200
    ) -> None:
        super().__init__(model, prompt=prompt, depth=depth, passage_words=passage_words)

    def continuations(self, query: str) -> list[str]:  # noqa: ARG002  # whatever is asked
        """Both answers."""
        return ["Yes", "No"]

    def value(self, log_probabilities: Sequence[float]) -> float:
        """The probability of the first, were there no others."""
        yes, no = log_probabilities
        return 1.0 / (1.0 + math.exp(min(no - yes, 700.0)))


class QueryLikelihood(PointwisePrompt):
    """Rerank by how likely a language model holds the query to be a question that is written for a passage.

    Sachan et al.: Improving Passage Retrieval with Zero-Shot Question Generation, EMNLP 2022 (arXiv:2204.07496). The
    score is the sum of the log probabilities of the query's tokens.

    Args:
        model: A language model on this machine; see `rankloom.language_models.Local`.
        prompt: `query_likelihood`, or the path of a template for one passage; see `rankloom.rerank.llm.template`.
        depth: How many hits of each query are scored; 100 as in most published reranking runs.
        passage_words: Words shown of a passage. What is cut is noted. 200 fit the 512 tokens of Flan-T5 beside a short
            query (our own choice); models that read more may be shown more.

    Raises:
        UsageError: A parameter is out of range, or the model tells no likelihoods.
        NotFoundError: There is no such prompt.

    Example:
        >>> from rankloom.language_models import Local
        >>> QueryLikelihood(Local("google/flan-t5-large")).continuations("why is the sky blue")
        ['why is the sky blue']
    """

    name = "query_likelihood"
    kind = ScoreKind.LOGIT
    by_labels = False

    def __init__(
        self,
        model: AnyLanguageModel,
        *,
        prompt: PromptName = "query_likelihood",
        depth: int = 100,
        passage_words: int = 200,
    ) -> None:
        super().__init__(model, prompt=prompt, depth=depth, passage_words=passage_words)

    def continuations(self, query: str) -> list[str]:
        """The query."""
        return [query]

    def value(self, log_probabilities: Sequence[float]) -> float:
        """The log probability itself."""
        return log_probabilities[0]


class GradedRelevance(PointwisePrompt):
    """Rerank by the grade that a language model expects to give a passage, from 0 to a highest one.

    Zhuang et al.: Beyond Yes and No, NAACL 2024 (arXiv:2310.14122), rating scale with expected relevance: the mean of
    the grades, weighted by the softmax of their likelihoods.

    Args:
        model: A language model on this machine, or on a server that tells logprobs; see `rankloom.language_models`.
        highest: The highest grade; 4 is the paper's choice.
        prompt: `graded`, or the path of a template for one passage that may also hold `{highest}`; see
            `rankloom.rerank.llm.template`.
        depth: How many hits of each query are scored; 100 as in most published reranking runs.
        passage_words: Words shown of a passage. What is cut is noted. 200 fit the 512 tokens of Flan-T5 beside a short
            query (our own choice); models that read more may be shown more.

    Raises:
        UsageError: A parameter is out of range, or the model tells no likelihoods.
        NotFoundError: There is no such prompt.

    Example:
        >>> from rankloom.language_models import Local
        >>> GradedRelevance(Local("google/flan-t5-large"), highest=2).continuations("why is the sky blue")
        ['0', '1', '2']
    """

    name = "graded_relevance"
    kind = ScoreKind.SIMILARITY

    def __init__(
        self,
        model: AnyLanguageModel,
        *,
        highest: int = 4,
        prompt: PromptName = "graded",
        depth: int = 100,
        passage_words: int = 200,
    ) -> None:
        super().__init__(model, prompt=prompt, depth=depth, passage_words=passage_words)
        self.highest = whole(highest, least=1, stage=self.name, parameter="highest")

    def continuations(self, query: str) -> list[str]:  # noqa: ARG002  # whatever is asked
        """The grades."""
        return [str(grade) for grade in range(self.highest + 1)]

    def value(self, log_probabilities: Sequence[float]) -> float:
        """The expected grade."""
        top = max(log_probabilities)
        weights = [math.exp(one - top) for one in log_probabilities]
        return sum(grade * weight for grade, weight in enumerate(weights)) / sum(weights)

    def prompt_of(self, query: str, passage: str) -> Prompt:
        """The prompt, with the highest grade."""
        return self.templates[0].showing(query, [passage], highest=str(self.highest))
