"""Setwise prompting: a language model is asked which of several passages is best."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from rankloom.checks import choice, whole
from rankloom.fingerprint import digest
from rankloom.parameter_kinds import AnyLanguageModel
from rankloom.rerank.llm.comparator import Asking, PromptComparator, Scoring
from rankloom.rerank.llm.prompted import PromptedReranker, PromptName
from rankloom.rerank.sorting import Answer, Asked, Bubblesort, Heapsort, Sorting, Tournament, best_of_set
from rankloom.rerank.sorting.reranker import QueryHits
from rankloom.session import Session

Method = Literal["heapsort", "bubblesort", "tournament"]
_MAX_TOKENS = 8  # of "Passage A", with room for marks around it


class Setwise(PromptedReranker):
    """Rerank by asking a language model for the best of a few passages, again and again.

    Zhuang et al.: A Setwise Approach for Effective and Highly Efficient Zero-shot Ranking with Large Language Models,
    SIGIR 2024 (arXiv:2310.09497). With `prompt="rank_r1"` and `children=19` it asks as Rank-R1 does (Zhuang et al.,
    arXiv:2503.06034), which thinks before it answers. Where an output names no passage, the one that stands highest so
    far stays (`unparsed_output`).

    - `heapsort`: the best k from a heap in which every place has `children` children.
    - `bubblesort`: k passes of windows of `children` + 1 from the bottom.
    - `tournament`: the best k by knock-out in groups of `children` + 1; of small sets it takes the fewest calls.

    Args:
        model: A language model; see `rankloom.language_models`.
        method: How sets are chosen.
        k: How many of the best are wanted; 10 as in the paper. The order of the others is the one before, but for
            `bubblesort`, whose passes leave them as they come.
        children: Passages of a prompt, less one; 3 as in the authors' code, at most 22 with letters.
        permutations: Prompts for each set, its passages in another order each time (the first as they stand); the
            passage that is chosen most often wins, of several the one that ranked highest before.
        scoring: `generation`: the model writes which passage is best. `likelihood`: it is asked how likely it holds
            each answer, by a model on this machine or a server that tells logprobs.
        prompt: `setwise`, `rank_r1`, or the path of a template; see `rankloom.rerank.llm.template`.
        depth: How many hits of each query are sorted; 100 as in the paper.
        passage_words: Words shown of a passage. What is cut is noted. By 80 words of plain prose four passages fit the
            512 tokens of Flan-T5 (our own choice; the runs of ielab/llm-rankers show 128 tokens of each of three).
            Models that read more may be shown more.
        max_tokens: Limit of an output. Default: 8, or 2048 for a prompt whose answer stands in tags.

    Raises:
        UsageError: A parameter is out of range, or the prompt has too few labels.
        NotFoundError: There is no such prompt.

    Example:
        >>> from rankloom.language_models import Local
        >>> Setwise(Local("google/flan-t5-large"), children=2).method
        'heapsort'
    """

    name = "setwise"

    def __init__(
        self,
        model: AnyLanguageModel,
        *,
        method: Method = "heapsort",
        k: int = 10,
        children: int = 3,
        permutations: int = 1,
        scoring: Scoring = "generation",
        prompt: PromptName = "setwise",
        depth: int = 100,
        passage_words: int = 80,
        max_tokens: int | None = None,
    ) -> None:
        super().__init__(
            model, scoring=scoring, prompt=prompt, depth=depth, passage_words=passage_words, max_tokens=max_tokens
        )
        choice(method, get_args(Method), stage=self.name, parameter="method")
        self.method: Method = method
        self.k = whole(k, least=1, stage=self.name, parameter="k")
        self.children = whole(children, least=1, stage=self.name, parameter="children")
        self.permutations = whole(permutations, least=1, stage=self.name, parameter="permutations")
        self.check_prompt(("letters", "numbers"), self.children + 1)

    @classmethod
    def sorting(cls, given: Mapping[str, Any], hits: int) -> Sorting:
        """The algorithm of the method."""
        k, children = int(given["k"]), int(given["children"])
        by_method: dict[Method, Sorting] = {
            "heapsort": Heapsort(hits, k=k, children=children, best_of=best_of_set),
            "bubblesort": Bubblesort(hits, k=k, children=children, best_of=best_of_set),
            "tournament": Tournament(hits, k=k, size=children + 1),
        }
        return by_method[given["method"]]

    @classmethod
    def calls_each(cls, given: Mapping[str, Any]) -> int:
        """One for each permutation."""
        return int(given["permutations"])

    def comparator(self, lists: Sequence[QueryHits], session: Session) -> PromptComparator:
        """The language model."""
        return _Sets(lists, self.asking(session, _MAX_TOKENS, self.children + 1), self.permutations)


class _Sets(PromptComparator):
    """Finds the best of sets."""

    def __init__(self, lists: Sequence[QueryHits], asking: Asking, permutations: int) -> None:
        super().__init__(lists, asking)
        self.calls_each = permutations

    def shown(self, asked: Asked) -> list[tuple[int, ...]]:
        """The members in each order; it depends on nothing but the seed, the query and the members."""
        members = asked.question.members
        seed = digest(self.asking.session.seed, self.lists[asked.query].query.text, members)
        chance = random.Random(seed)  # noqa: S311  # no secret
        return [members, *(tuple(chance.sample(members, len(members))) for _ in range(self.calls_each - 1))]

    def decide(self, asked: Asked, ranked: Sequence[tuple[int, ...]]) -> Answer:  # noqa: ARG002  # by the votes alone
        """The hit that most outputs choose; of several, the one that ranked highest before."""
        votes = Counter(hit for one in ranked for hit in one[:1])
        best = min(votes, key=lambda hit: (-votes[hit], hit), default=None)
        return () if best is None else (best,)
