"""What rerankers by prompts share: their parameters, and what a result depends on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, get_args

from rankloom.checks import choice, whole
from rankloom.errors import UsageError
from rankloom.language_model import LanguageModel, checked_model
from rankloom.language_model_stage import LanguageModelStage
from rankloom.likelihood import scoring_model
from rankloom.parameter_kinds import NamesPath
from rankloom.rerank.llm.comparator import Asking, Scoring
from rankloom.rerank.llm.template import Labels, Template, load_template
from rankloom.rerank.sorting.reranker import SortingReranker
from rankloom.session import Session

#: The name of a prompt that ships with rankloom, or the path of a file.
PromptName = Annotated[str, NamesPath(or_name=True)]
_THOUGHT = 2048  # tokens for an answer in tags, with the thought before it (Rank-R1)


class PromptedReranker(SortingReranker, LanguageModelStage):
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
        template = load_template(prompt)
        if scoring == "likelihood" and template.tagged:
            raise UsageError(
                "the prompt asks for a thought first, so how likely an answer is without one tells nothing",
                stage=self.name,
                value=prompt,
                accepted="prompts whose answer is a label alone",
                fix="pass scoring='generation', or another prompt",
            )
        self.templates: Sequence[Template] = [template]

    def check_prompt(self, labels: Sequence[Labels], passages: int) -> None:
        """Refuse a prompt that does not show what the stage asks about.

        Args:
            labels: The kinds of labels that can be read.
            passages: The most passages that it has to show.

        Raises:
            UsageError: It has other labels, or too few.
        """
        (template,) = self.templates
        if template.labels not in labels or passages > template.most:
            raise UsageError(
                f"the prompt can not show {passages} passages that are called by {' or '.join(labels)}",
                stage=self.name,
                value=self.prompt,
                accepted=f"{template.labels} for at most {template.most} are what it has",
            )

    def asking(self, session: Session, max_tokens: int, passages: int) -> Asking:
        """How the model is asked.

        Args:
            session: Its cache remembers outputs.
            max_tokens: Limit of an output, where the user has given none.
            passages: How many passages a prompt shows at most.
        """
        (template,) = self.templates
        limit = self.max_tokens or (_THOUGHT if template.tagged else max_tokens)
        return Asking(self.model, template, limit, self.passage_words, passages, self.scoring, session, self.name)
