"""Listwise prompting: a language model puts windows of passages in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rankloom.checks import whole
from rankloom.errors import UsageError
from rankloom.language_model import Completion
from rankloom.parameter_kinds import AnyLanguageModel
from rankloom.rerank.llm.comparator import Places, PromptComparator, Scoring
from rankloom.rerank.llm.parsing import read_order
from rankloom.rerank.llm.prompted import PromptedReranker, PromptName
from rankloom.rerank.sorting import Answer, Asked, Windows
from rankloom.rerank.sorting.reranker import QueryHits
from rankloom.session import Session


class Listwise(PromptedReranker):
    """Rerank by a language model that is shown a window of passages at a time and says their order.

    Sun et al.: RankGPT, EMNLP 2023 (arXiv:2304.09542). The window slides up from the bottom; what it puts on top climbs
    into the next. Numbers that the model repeats or makes up are passed over, and passages that it leaves out go behind
    the others; each is noted (`repaired_output`). A window about which nothing can be read stays as it is
    (`unparsed_output`).

    Args:
        model: A language model; see `rankloom.language_models`.
        window: Passages of a window; 20, and a step of 10, are RankGPT's.
        step: How far the window moves up, less than `window`.
        repeats: Passes over all hits.
        scoring: `generation`: the model writes the order. `likelihood`: the passages of a window go by how likely the
            model holds each to be the best, as in `Setwise`; the prompt is `setwise` then, with at most 23 passages.
        prompt: `rank_gpt`, `rank_vicuna` (for RankVicuna and RankZephyr), or the path of a template; see
            `rankloom.rerank.llm.template`. Default: `rank_gpt`, or `setwise` for likelihoods.
        depth: How many hits of each query are sorted; 100 as in the paper.
        passage_words: Words shown of a passage; 300 as in RankGPT. What is cut is noted.
        max_tokens: Limit of an output. Default: 8 for each passage of a window.

    Raises:
        UsageError: A parameter is out of range, or the prompt has no numbers.
        NotFoundError: There is no such prompt.

    Example:
        >>> from rankloom.language_models import Local
        >>> Listwise(Local("castorini/rank_zephyr_7b_v1_full"), prompt="rank_vicuna").window
        20
    """

    name = "listwise"

    def __init__(
        self,
        model: AnyLanguageModel,
        *,
        window: int = 20,
        step: int = 10,
        repeats: int = 1,
        scoring: Scoring = "generation",
        prompt: PromptName | None = None,
        depth: int = 100,
        passage_words: int = 300,
        max_tokens: int | None = None,
    ) -> None:
        super().__init__(
            model,
            scoring=scoring,
            prompt=prompt or ("rank_gpt" if scoring == "generation" else "setwise"),
            depth=depth,
            passage_words=passage_words,
            max_tokens=max_tokens,
        )
        self.window = whole(window, least=2, stage=self.name, parameter="window")
        self.step = whole(step, least=1, stage=self.name, parameter="step")
        self.repeats = whole(repeats, least=1, stage=self.name, parameter="repeats")
        if self.step >= self.window:
            raise UsageError(
                "no passage could climb from one window into the next",
                stage=self.name,
                value={"window": window, "step": step},
                accepted="a step less than the window",
            )
        self.check_prompt(("numbers",) if scoring == "generation" else ("letters", "numbers"), self.window)

    @classmethod
    def sorting(cls, given: Mapping[str, Any], hits: int) -> Windows:
        """Windows over the hits."""
        return Windows(hits, window=given["window"], step=given["step"], repeats=given["repeats"])

    @classmethod
    def calls_each(cls, given: Mapping[str, Any]) -> int:  # noqa: ARG003  # of whatever parameters
        """One for a window."""
        return 1

    def comparator(self, lists: Sequence[QueryHits], session: Session) -> PromptComparator:
        """The language model."""
        return _Orders(lists, self.asking(session, 8 * self.window, self.window))


class _Orders(PromptComparator):
    """Puts windows in order."""

    def shown(self, asked: Asked) -> list[tuple[int, ...]]:
        """The whole window."""
        return [asked.question.members]

    def decide(self, asked: Asked, ranked: Sequence[tuple[int, ...]]) -> Answer:  # noqa: ARG002  # as it is
        """The order itself."""
        return ranked[0]

    def read(self, query: int, said: Completion, passages: int) -> Places:
        """The order as far as it can be read."""
        found = read_order(said.text, passages)
        if not found.order:
            self.note_unparsed(query, said)
            return ()
        self.note_repairs(query, found.repairs)
        if said.cut:
            self.note("cut_output", query, amount=said.written)
        return found.order
