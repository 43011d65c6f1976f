"""What all stages share that ask a language model: its name in the ledger, loading, and prompts that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rankloom.fingerprint import digest
from rankloom.language_model import LanguageModel
from rankloom.prompt_template import PromptTemplate
from rankloom.session import Session
from rankloom.stage import Stage


class LanguageModelStage(Stage):
    """A stage that asks a language model.

    Attributes:
        model: The language model, a parameter of the constructor.
        templates: The prompts that it was made with; what they say is part of the fingerprint.
    """

    model: LanguageModel
    templates: Sequence[PromptTemplate] = ()

    @classmethod
    def most_prompts(cls, given: Mapping[str, Any]) -> int | None:  # noqa: ARG003  # of the parameters of subclasses
        """How many prompts a query takes at most; equal ones, and those that the cache knows, are not asked again.

        Args:
            given: The stage's parameters, as a configuration has them.

        Returns:
            None for a stage whose work is told otherwise, such as by pairs of query and document.
        """
        return None

    def fingerprint(self) -> str:
        """A digest of the parameters, of what the prompts say, and of how long they may be, where the model is told."""
        told = [] if self.model.context_tokens is None else [self.model.context_tokens]
        return digest(super().fingerprint(), list(self.templates), *told)

    @property
    def model_name(self) -> str:
        """The language model, for the ledger and prices."""
        return self.model.name

    def warm_up(self, session: Session | None = None) -> None:
        """Load the language model."""
        self.model.load(session or Session())

    def close(self) -> None:
        """Free the language model."""
        self.model.close()
