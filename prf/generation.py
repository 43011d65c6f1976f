"""What feedback shares that a language model writes from the query alone, before anything has been found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rankloom.language_model import Prompt, output_notes
from rankloom.language_model_stage import LanguageModelStage
from rankloom.ledger import Note
from rankloom.prompt_groups import GroupsCompleted, complete_groups
from rankloom.prompt_template import PromptTemplate, prompt_template
from rankloom.records import Query
from rankloom.run import Run
from rankloom.stage import NO_TRAITS, Feedback
from rankloom.thoughts import without_thought

PROMPTS = Path(__file__).with_name("prompts")


class Said(NamedTuple):
    """What a language model has said to the queries of a run.

    Args:
        texts: For each query, the text that each of its prompts was answered by, without thoughts and stripped; empty
            ones are left out. Nothing for a query that was not asked.
        notes: What is to be said of that.
        done: What it cost.
    """

    texts: list[Mapping[int, str]]
    notes: list[Note]
    done: GroupsCompleted


class GeneratedFeedback(LanguageModelStage, Feedback):
    """Base of the methods that let a language model write about the query.

    They need no ranking: they may begin a pipeline, or stand behind a retriever, whose ranking is then dropped. A query
    without text is not asked; it and a query to which the model says nothing stay as they are and are noted as
    `no_feedback`. Outputs that are cut or empty are noted. What a model thinks aloud (`<think>`) is no part of
    its output. Queries that the session's budget does not suffice for stay as they are, too, noted as `unfinished`.

    Attributes:
        max_tokens: Limit of each output.
    """

    needs = NO_TRAITS
    max_tokens: int

    def ask(self, run: Run, prompts: Sequence[Sequence[Prompt]]) -> Said:
        """Ask the model, all queries at once, as far as the session's budget goes.

        Args:
            run: The queries.
            prompts: For each query, what is asked about it; those of a query without text are passed over.
        """
        asked = [one if query.text.strip() else () for query, one in zip(run.queries, prompts, strict=True)]
        done = complete_groups(
            self.model,
            asked,
            about=[query.id for query in run.queries],
            max_tokens=self.max_tokens,
            session=run.session,
            stage=self.name,
        )
        texts: list[Mapping[int, str]] = []
        notes = list(done.notes)
        for query, said in zip(run.queries, done.completions, strict=True):
            if said is None:
                texts.append({})
                notes.append(Note(self.name, "unfinished", query.id, detail=f"{done.stopped}; it stays as it is"))
                continue
            notes += [note for one in said for note in output_notes(one, stage=self.name, query_id=query.id)]
            stripped = [without_thought(one.text).strip() for one in said]
            texts.append({place: text for place, text in enumerate(stripped) if text})
            if not texts[-1]:
                notes.append(self._without(query))
        return Said(texts, notes, done)

    def template(self, name: str, *gaps: str) -> PromptTemplate:
        """A prompt of this stage, or one of the user's own; see `prompt_template` for the errors."""
        return prompt_template(name, PROMPTS, prefix=self.name, gaps=gaps, stage=self.name)

    def _without(self, query: Query) -> Note:
        """Why a query has no feedback."""
        reason = "the model said nothing" if query.text.strip() else "the query is empty"
        return Note(self.name, "no_feedback", query.id, detail=reason)
