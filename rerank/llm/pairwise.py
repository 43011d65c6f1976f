"""Pairwise ranking prompting: a language model is asked which of two passages is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from rankloom.checks import choice, whole
from rankloom.parameter_kinds import AnyLanguageModel
from rankloom.rerank.llm.comparator import PromptComparator, Scoring
from rankloom.rerank.llm.prompted import PromptedReranker, PromptName
from rankloom.rerank.sorting import Answer, Asked, PairMethod, Sorting, by_pairs
from rankloom.rerank.sorting.reranker import QueryHits
from rankloom.session import Session

_MAX_TOKENS = 8  # of "Passage A", with room for marks around it


class Pairwise(PromptedReranker):
    """Rerank by asking a language model about pairs, each in both orders.

    Qin et al.: Large Language Models are Effective Text Rankers with Pairwise Ranking Prompting, NAACL 2024
    (arXiv:2306.17563). A passage wins if it does so in both orders; all else is a tie, also an output that can not be
    read (`unparsed_output`).

    - `all_pair`: all pairs; points for wins, half for ties. The most calls, and all of a round at once.
    - `heapsort`: the best k from a heap.
    - `sliding`: k passes of bubblesort from the bottom (PRP-Sliding-k).
    - `tournament`: the best k by knock-out; the fewest calls.

    Args:
        model: A language model; see `rankloom.language_models`.
        method: How pairs are chosen.
        k: How many of the best are wanted; 10 as in the paper. The order of the others is the one before, but for
            `sliding`, whose passes leave them as they come.
        scoring: `generation`: the model writes which passage is better. `likelihood`: it is asked how likely it holds
            either answer, by a model on this machine or a server that tells logprobs; equal ones are a
            tie.
        prompt: `pairwise`, or the path of a template; see `rankloom.rerank.llm.template`.
        depth: How many hits of each query are sorted; 100 as in the paper.
        passage_words: Words shown of a passage. What is cut is noted. 100 are about the 128 tokens that the runs of
            ielab/llm-rankers show, so two passages fit the 512 tokens of Flan-T5; models that read more may be shown
            more.
        max_tokens: Limit of an output. Default: 8.

    Raises:
        UsageError: A parameter is out of range, or the prompt has no labels for two.
        NotFoundError: There is no such prompt.

    Example:
        >>> from rankloom.language_models import Local
        >>> Pairwise(Local("google/flan-t5-xl"), method="sliding").k
        10
    """

    name = "pairwise"

    def __init__(
        self,
        model: AnyLanguageModel,
        *,
        method: PairMethod = "heapsort",
        k: int = 10,
        scoring: Scoring = "generation",
        prompt: PromptName = "pairwise",
        depth: int = 100,
        passage_words: int = 100,
        max_tokens: int | None = None,
    ) -> None:
        super().__init__(
            model, scoring=scoring, prompt=prompt, depth=depth, passage_words=passage_words, max_tokens=max_tokens
        )
        choice(method, get_args(PairMethod), stage=self.name, parameter="method")
        self.method: PairMethod = method
        self.k = whole(k, least=1, stage=self.name, parameter="k")
        self.check_prompt(("letters", "numbers"), 2)

    @classmethod
    def sorting(cls, given: Mapping[str, Any], hits: int) -> Sorting:
        """The algorithm of the method."""
        return by_pairs(given["method"], hits, k=int(given["k"]))

    @classmethod
    def calls_each(cls, given: Mapping[str, Any]) -> int:  # noqa: ARG003  # of whatever parameters
        """Both orders of a pair."""
        return 2

    def comparator(self, lists: Sequence[QueryHits], session: Session) -> PromptComparator:
        """The language model."""
        return _Pairs(lists, self.asking(session, _MAX_TOKENS, 2))


class _Pairs(PromptComparator):
    """Compares pairs."""

    calls_each = 2

    def shown(self, asked: Asked) -> list[tuple[int, ...]]:
        """Both orders."""
        return [asked.question.members, asked.question.members[::-1]]

    def decide(self, asked: Asked, ranked: Sequence[tuple[int, ...]]) -> Answer:  # noqa: ARG002  # whoever wins
        """The hit that wins in both."""
        first, second = (one[:1] for one in ranked)
        return first if first == second else ()
