"""What rerankers by prompts share: their parameters, and what a result depends on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, get_args

from rankloom.checks import choice, whole
from rankloom.errors import UsageError
from rankloom.fingerprint import digest
from rankloom.language_model import LanguageModel, checked_model
from rankloom.likelihood import scoring_model
from rankloom.parameter_kinds import NamesPath
from rankloom.rerank.llm.comparator import Asking, Scoring
from rankloom.rerank.llm.template import Labels, load_template
from rankloom.rerank.sorting.reranker import SortingReranker
from rankloom.session import Session

#: The name of a prompt that ships with rankloom, or the path of a file.
PromptName = Annotated[str, NamesPath(or_name=True)]
_THOUGHT = 2048  # tokens for an answer in tags, with the thought before it (Rank-R1)


class PromptedReranker(SortingReranker):
    """A reranker that asks a language model; see `rankloom.rerank.llm`."""

    def __init__(
        self,
        model: LanguageModel,
        *,
        scoring: Scoring,
        prompt: str,
        depth: int,
        passage_words: int,
        max_tokens: int | None,
    ) -> None:
        self.model = checked_model(model, stage=self.name)
        choice(scoring, get_args(Scoring), stage=self.name, parameter="scoring")
        self.scoring: Scoring = scoring
        if scoring == "likelihood":
            scoring_model(self.model, stage=self.name)
        self.prompt = prompt
        self.depth = whole(depth, least=1, stage=self.name, parameter="depth")
        self.passage_words = whole(passage_words, least=1, stage=self.name, parameter="passage_words")
        if max_tokens is not None:
            whole(max_tokens, least=1, stage=self.name, parameter="max_tokens")
        self.max_tokens = max_tokens
        self._template = load_template(prompt)

    @property
    def model_name(self) -> str:
        """What ledgers and prices call the model."""
        return self.model.name

    def fingerprint(self) -> str:
        """A digest of the class, its version, its parameters, the model and what the prompt says."""
        return digest(super().fingerprint(), self._template)

    def check_prompt(self, labels: Sequence[Labels], passages: int) -> None:
        """Refuse a prompt that does not show what the stage asks about.

        Args:
            labels: The kinds of labels that can be read.
            passages: The most passages that it has to show.

        Raises:
            UsageError: It has other labels, or too few.
        """
        if self._template.labels not in labels or passages > self._template.most:
            raise UsageError(
                f"the prompt can not show {passages} passages that are called by {' or '.join(labels)}",
                stage=self.name,
                value=self.prompt,
                accepted=f"{self._template.labels} for at most {self._template.most} are what it has",
            )

    def asking(self, session: Session, max_tokens: int) -> Asking:
        """How the model is asked, with a limit of tokens where none is given."""
        limit = self.max_tokens or (_THOUGHT if self._template.tagged else max_tokens)
        return Asking(self.model, self._template, limit, self.passage_words, self.scoring, session, self.name)

    def warm_up(self, session: Session | None = None) -> None:
        """Load the model."""
        self.model.load(session or Session())

    def close(self) -> None:
        """Free the model."""
        self.model.close()
