"""What a language model draws out of documents, whatever the query: keywords, entities, summaries, essays."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from rankloom.fingerprint import digest
from rankloom.language_model import Completion, LanguageModel, Prompt, known_completions, output_notes
from rankloom.ledger import Cost, Note
from rankloom.prf.words import first_words
from rankloom.prompt_groups import complete_groups
from rankloom.prompt_room import Showing, Size, words_with_room
from rankloom.prompt_template import PromptTemplate
from rankloom.records import Document
from rankloom.session import Session
from rankloom.thoughts import without_thought

Feature = Literal["keywords", "entities", "summary", "cot_keywords", "essay"]
#: Feature -> what several of them are called in a query, and the limit of tokens of one.
FEATURES: dict[Feature, tuple[str, int]] = {
    "keywords": ("keywords", 64),
    "entities": ("entities", 64),
    "summary": ("summaries", 128),
    "cot_keywords": ("keywords", 256),
    "essay": ("essays", 512),
}
_BLANK_LINE = re.compile(r"\n\s*\n")
_AROUND = " \r\n\t*_"  # of a list in Markdown
_KEYWORDS = re.compile(r"^\W*keywords\W*:", re.IGNORECASE | re.MULTILINE)


class _Shown(NamedTuple):
    """What is shown of a document.

    Args:
        text: Its beginning.
        cut: How many words are cut off.
        limit: Beyond how many.
    """

    text: str
    cut: int
    limit: int


class Drawn(NamedTuple):
    """What was drawn out of a document.

    Args:
        text: The feature, on one line; empty if there is none.
        notes: What is to be said of it, of no query.
        stopped: Which limit of the budget was reached before the document's turn; empty if none was.
    """

    text: str
    notes: tuple[Note, ...] = ()
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class FeatureMaker:
    """Draws one feature out of documents. Texts that are equal are asked about once, and those in the cache not at all.

    Args:
        model: Who is asked.
        feature: What for.
        template: The prompt, with the gap `{document}`.
        max_words: Words of a document that stand in the prompt.
        max_tokens: Limit of an output.
        stage: Who asks, for notes and errors.
    """

    model: LanguageModel
    feature: Feature
    template: PromptTemplate
    max_words: int
    max_tokens: int
    stage: str

    def draw(self, documents: Sequence[Document], session: Session) -> tuple[dict[str, Drawn], Cost, tuple[Note, ...]]:
        """The feature of each document by its id, what it cost, and what is to be said of the budget.

        Documents without text are not asked about, nor those that the session's budget does not suffice for.
        """
        begun = time.perf_counter()
        shown = self._shown([one for one in documents if one.contents.strip()], session)
        prompts = [self.template.prompt(document=one.text) for one in shown.values()]
        done = complete_groups(
            self.model,
            [[one] for one in prompts],
            about=list(shown),
            max_tokens=self.max_tokens,
            session=session,
            stage=self.stage,
        )
        drawn = {one.id: self._empty(one.id) for one in documents}
        for (doc_id, one), said in zip(shown.items(), done.completions, strict=True):
            drawn[doc_id] = Drawn("", stopped=done.stopped) if said is None else self._drawn(doc_id, said[0], one)
        cost = Cost(
            self.stage,
            digest(self.stage, self.model, [prompt.text for prompt in prompts]),
            inputs=len(prompts),
            cached=done.cached,
            calls=done.calls,
            tokens=done.tokens,
            seconds=time.perf_counter() - begun,
            written=done.written,
            model=self.model.name,
        )
        return drawn, cost, done.notes

    def _shown(self, documents: Sequence[Document], session: Session) -> dict[str, _Shown]:
        """What is shown of each document: as many words as the model has room for.

        What is known of whole documents had room, unless the user says now what the model reads.
        """
        shown = {one.id: _Shown(*first_words(one.contents, self.max_words), self.max_words) for one in documents}
        prompts = {doc_id: self.template.prompt(document=one.text) for doc_id, one in shown.items()}
        asked = list(prompts.values()) if self.model.context_tokens is None else []
        known = known_completions(self.model, asked, max_tokens=self.max_tokens, session=session)
        new = [one for one in documents if prompts[one.id] not in known]
        limits = words_with_room(
            self.model,
            [Showing(one.id, 1, partial(self._with_words, one.contents)) for one in new],
            words=self.max_words,
            max_tokens=self.max_tokens,
            session=session,
            stage=self.stage,
        )
        return shown | {
            one.id: _Shown(*first_words(one.contents, limit), limit) for one, limit in zip(new, limits, strict=True)
        }

    def _with_words(self, text: str, words: int, _: Size) -> Prompt:
        """The prompt that shows so many words of a document."""
        return self.template.prompt(document=first_words(text, words)[0])

    def _empty(self, doc_id: str) -> Drawn:
        """What there is of a document without text."""
        return Drawn("", (Note(self.stage, "empty_document", "", doc_id, detail="it gives no feedback"),))

    def _drawn(self, doc_id: str, said: Completion, shown: _Shown) -> Drawn:
        """The feature in what was said of a document."""
        notes = output_notes(said, stage=self.stage, query_id="", doc_id=doc_id)
        if shown.cut:
            detail = f"words beyond {shown.limit}" + (", the model's room" if shown.limit < self.max_words else "")
            notes.append(Note(self.stage, "cut_feedback", "", doc_id, amount=shown.cut, detail=detail))
        text = without_thought(said.text)
        if self.feature == "cot_keywords" and text.strip():
            found = last_keywords(text)
            if found is None:
                detail = "no line begins with 'Keywords:'; the document is passed over"
                notes.append(Note(self.stage, "unparsed_output", "", doc_id, detail=detail))
            text = found or ""
        return Drawn(" ".join(text.split()), tuple(notes))


def last_keywords(text: str) -> str | None:
    r"""What stands behind the last `Keywords:` at the beginning of a line, up to a blank line; None if none begins so.

    Args:
        text: A chain of thought and what it leads to.

    Example:
        >>> last_keywords("It is about light.\n**Keywords:** sky, blue")
        'sky, blue'
    """
    ends = [found.end() for found in _KEYWORDS.finditer(text)]
    return _BLANK_LINE.split(text[ends[-1] :].strip(_AROUND))[0].rstrip(_AROUND) if ends else None
