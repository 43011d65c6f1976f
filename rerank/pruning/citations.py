"""Pruning by citations: a language model answers from a text's numbered sentences, and those that it cites are kept.

This is how the authors of Provence label what they train on (Chirkova et al., ICLR 2025, arXiv:2501.16214); see
`rankloom.rerank.pruning.silver_labels` for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.fingerprint import digest
from rankloom.language_model import Prompt, checked_model
from rankloom.language_model_stage import LanguageModelStage
from rankloom.ledger import Note
from rankloom.parameter_kinds import AnyLanguageModel, NamesPath
from rankloom.prompt_groups import complete_groups
from rankloom.prompt_room import Showing, Size, words_with_room
from rankloom.prompt_template import prompt_template
from rankloom.records import Span
from rankloom.rerank.llm.comparator import cut_words
from rankloom.rerank.pair_stage import LookedAt, Outcome
from rankloom.rerank.pruning.blocks import in_blocks
from rankloom.rerank.pruning.citation_answers import CITED, NOT_CITED, UNTOLD, Asked, answer_notes, read_answers
from rankloom.rerank.pruning.sentence_stage import Judged, SentencePair, SentenceStage
from rankloom.rerank.pruning.splitting import AnySplitter
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Pruner

_PROMPTS = Path(__file__).parent / "prompts"
_REASONS = {CITED: "cited", UNTOLD: "answer unreadable", NOT_CITED: "not cited"}


class CitationPruner(SentenceStage, LanguageModelStage, Pruner):
    """Keep the sentences that a language model cites when it answers the query from the document alone.

    The model is shown the document's title, if there is one, and its sentences, each behind its number, as
    `[0] Title [1] First sentence.` Long documents are shown in blocks of whole sentences, each with the question, as
    many words as are asked for or the model has room for. `No answer` drops a block's sentences. An answer that can
    not be read, since it neither cites a sentence nor says that, keeps them all, as does an empty one: what nobody has
    judged is not taken away. Notes tell of both (`unparsed_output`, `empty_output`), of numbers that no sentence has
    (`repaired_output`) and of answers that were cut (`cut_output`).

    Answers are kept in the session's cache as they come. Where the session's budget does not suffice for a query, only
    its first hits are pruned, which is noted as `unfinished`, and running again goes on. Order and scores of the hits
    stay as they are.

    The prompts are in words of our own after the three of the paper's code.

    Args:
        model: A language model; see `rankloom.language_models`.
        prompt: `answer` (answer, and cite what is used), `relevant` (sum up what is relevant, and cite it),
            `straightforward` (say only the numbers), or the path of a file with the gaps `{query}` and `{sentences}`.
        block_words: Most words that a prompt shows of a document; a longer sentence is cut, and noted. Our own choice,
            some twenty sentences; the paper's passages have ten at most.
        max_tokens: Limit of an answer; 256 as in the paper's code.
        splitter: What splits texts into sentences: `syntok`, `lines`, `module:function`, or a `Splitter`.
        depth: How many hits of each query are pruned; the others stay whole. 5 as in the paper.

    Raises:
        UsageError: A parameter is out of range.
        NotFoundError: There is no such prompt.

    Example:
        >>> from rankloom.language_models import OpenAICompatible
        >>> CitationPruner(OpenAICompatible("qwen3:8b", url="http://localhost:11434/v1"), prompt="relevant").depth
        5
    """

    name = "citation_pruner"

    def __init__(
        self,
        model: AnyLanguageModel,
        *,
        prompt: Annotated[str, NamesPath(or_name=True)] = "answer",
        block_words: int = 500,
        max_tokens: int = 256,
        splitter: AnySplitter = "syntok",
        depth: int = 5,
    ) -> None:
        super().__init__(threshold=UNTOLD, best=None, keep_at_least=0, splitter=splitter, depth=depth)
        self.model = checked_model(model, stage=self.name)
        self.prompt = prompt
        self.block_words = whole(block_words, least=1, stage=self.name, parameter="block_words")
        self.max_tokens = whole(max_tokens, least=1, stage=self.name, parameter="max_tokens")
        gaps = ("query", "sentences")
        self.templates = [prompt_template(prompt, _PROMPTS, prefix=self.name, gaps=gaps, stage=self.name)]

    def __call__(self, run: Run) -> Run:
        """Prune the best `depth` hits of each query, as far as the session's budget goes.

        Raises:
            DataError: A query leaves no room for a sentence; nothing has been asked then.
            UsageError: The session's budget limits money, and has no price for the model.
        """
        (after, outcomes, counts), told = self.answered(run)
        ranking, notes = self.pruned(run, outcomes, counts)
        return after.ranked(ranking).noted(*notes, *told)

    def answered(self, run: Run) -> tuple[LookedAt, list[Note]]:
        """What the model says of the best `depth` hits of each query, and what is to be noted of its answers.

        Raises:
            DataError: A query leaves no room for a sentence; nothing has been asked then.
            UsageError: The session's budget limits money, and has no price for the model.
        """
        self._check_queries(run)
        seen = self.outcomes(run)
        ranking, given = run.hits(stage=self.name), iter(seen.outcomes)
        notes = [
            note
            for number, query in enumerate(run.queries)
            for doc_id in ranking.doc_ids(number)[: int(seen.counts[number])]
            for note in answer_notes(next(given), stage=self.name, query_id=query.id, doc_id=doc_id)
        ]
        if run.session.budget is not None:
            own = replace(seen.run.ledger.costs[-1], stage=self.name, model=self.model_name)
            notes += run.session.budget.uncounted(own)
        return seen, notes

    def judge(self, pairs: Sequence[SentencePair], session: Session) -> Judged:
        """Which sentences of some pairs are cited; of the first pairs alone, where a budget does not suffice for all.

        Raises:
            DataError: A pair leaves no room for a word of a sentence.
        """
        shown = [self._shown(pair, words) for pair, words in zip(pairs, self._words(pairs, session), strict=True)]
        done = complete_groups(
            self.model,
            [[one.prompt for one in blocks] for blocks in shown],
            about=[pair.query for pair in pairs],
            max_tokens=self.max_tokens,
            session=session.silent(),
            stage=self.name,
        )
        answered = takewhile(lambda group: group is not None, done.completions)
        read = [
            read_answers([one.asked for one in blocks], said or [])
            for blocks, said in zip(shown, answered, strict=False)
        ]
        return Judged(
            [one.probabilities for one in read],
            np.array([sum(block.cut for block in blocks) for blocks in shown[: len(read)]], dtype=np.int64),
            done.calls,
            done.tokens,
            done.stopped,
            more=[one.told() for one in read],
            written=done.written,
            passing=np.array([one.empty > 0 for one in read], dtype=np.bool_),
        )

    def spans(self, outcome: Outcome, above: NDArray[np.bool_], compared: str = "") -> tuple[Span, ...]:
        """The sentences of a document, each with its fate."""
        return tuple(
            replace(span, reason=_REASONS[span.probability]) for span in super().spans(outcome, above, compared)
        )

    def identity(self, session: Session | None = None) -> str:
        """The model's fingerprint, how it draws, and what the prompt says."""
        drawn = []
        if session is not None:
            self.model.resolve(session)
            drawn.append(self.model.numerics(session))
        said = [] if self.model.context_tokens is None else [self.model.context_tokens]  # blocks may be as large
        return digest(self.model, self.templates[0], *said, *drawn)

    def _check_queries(self, run: Run) -> None:
        """Refuse queries that leave no room for a sentence, before anything is paid for.

        Raises:
            DataError: Names the query.
        """
        asked = [query for query, hits in zip(run.queries, self.looked_at(run), strict=True) if hits]
        prompts = [self._prompt(query.text, ["x"]) for query in asked]
        showings = [
            Showing(query.id, 1, partial(_always, prompt), key=digest(prompt))
            for query, prompt in zip(asked, prompts, strict=True)
        ]
        self._with_room(showings, 1, run.session)

    def _words(self, pairs: Sequence[SentencePair], session: Session) -> list[int]:
        """How many words of each pair's document a prompt shows."""
        showings = [
            Showing(
                pair.query,
                min(1, len(pair.offsets)),
                partial(self._longest, pair),
                key=digest(self.templates[0], pair.query, pair.document.title, pair.sentences),
            )
            for pair in pairs
        ]
        return self._with_room(showings, self.block_words, session)

    def _with_room(self, showings: Sequence[Showing], words: int, session: Session) -> list[int]:
        """How many words prompts can show; see `words_with_room`."""
        return words_with_room(
            self.model, showings, words=words, max_tokens=self.max_tokens, session=session, stage=self.name
        )

    def _longest(self, pair: SentencePair, words: int, size: Size) -> Prompt:
        """The longest prompt about a pair, given how many words one shows."""
        prompts = [one.prompt for one in self._shown(pair, words)]
        sizes = size([prompt.text for prompt in prompts])
        return prompts[sizes.index(max(sizes))]

    def _shown(self, pair: SentencePair, words: int) -> list[_Shown]:
        """The prompts about a pair, given how many words one shows of the document."""
        title = [pair.document.title] if pair.document.title.strip() else []
        sentences = pair.sentences
        found = []
        for block in in_blocks(0, [len(text.split()) for text in sentences], words).blocks if sentences else ():
            own = sentences[block.first : block.first + len(block.lengths)]
            cut = [cut_words(text, read) for text, read in zip(own, block.lengths, strict=True)]
            prompt = self._prompt(pair.query, [*title, *(text for text, _ in cut)])
            found.append(_Shown(Asked(block, len(title)), prompt, cut=sum(left for _, left in cut)))
        return found

    def _prompt(self, query: str, texts: Sequence[str]) -> Prompt:
        """The prompt that shows some texts behind their numbers."""
        numbered = " ".join(f"[{number}] {text}" for number, text in enumerate(texts))
        return self.templates[0].prompt(query=query, sentences=numbered)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A prompt about some sentences of a document.

    Args:
        asked: Which sentences.
        prompt: The prompt.
        cut: Words of the sentences that are not shown.
    """

    asked: Asked
    prompt: Prompt
    cut: int


def _always(prompt: Prompt, words: int, size: Size) -> Prompt:  # noqa: ARG001  # there is nothing to cut
    """A prompt, however many words may be shown."""
    return prompt
