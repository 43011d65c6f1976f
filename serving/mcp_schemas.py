"""What assistants ask for and are answered, as short as it can be without hiding anything."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from rankloom.serving.schemas import CitationModel, Count, Str, Told

Question = Annotated[Str, Field(description="The question, in natural language or in key words.")]
Texts = Annotated[list[Str], Field(description="The texts, best first if they have an order.")]
Name = Annotated[Str | None, Field(description="Which pipeline; by default the first that is named above.")]
Most = Annotated[Count, Field(description="How many documents at most.")]
Tokens = Annotated[Count, Field(description="How long the text may be, in tokens.")]
Best = Annotated[Count | None, Field(description="How many come back; by default all.")]


class Said(BaseModel):
    """What every answer tells.

    Args:
        pipeline: Which pipeline has answered.
        notes: What a reader must know of the answer, such as that a model has not read a whole text.
        left_out: Stages that the answer was made without, and why; empty if it is whole.
    """

    pipeline: str
    notes: list[str]
    left_out: list[str]


class Passage(BaseModel):
    """A document that was found.

    Args:
        rank: From 1.
        doc_id: Its id.
        score: After the last stage.
        title: May be empty.
        text: Its text, or the sentences of it that help to answer.
        shortened: Whether sentences were left out.
    """

    rank: int
    doc_id: str
    score: float
    title: str
    text: str
    shortened: bool


class Passages(Said):
    """What a search has found, best first."""

    passages: list[Passage]


class Packed(Said):
    """Text to answer from; each number in it is that of a citation."""

    context: str
    tokens: int
    citations: list[CitationModel]
    documents_left_out: list[str]


class Placed(BaseModel):
    """Where a text stands in the new order: its place among those given, from 0, and its score."""

    index: int
    score: float


class Order(Said):
    """Texts in the order of their relevance."""

    results: list[Placed]


class Shortened(BaseModel):
    """What is left of a text: its place among those given, from 0, and its score, if the pipeline gives any."""

    index: int
    text: str
    score: float | None


class ShortenedTexts(Said):
    """What is left of the texts, in the order given, and what share of their characters was taken away."""

    documents: list[Shortened]
    compression: float


def said(told: Told) -> dict[str, Any]:
    """What an answer tells, in words."""
    notes = [
        f"{note.stage}: {note.kind}{f' of {note.doc_id}' if note.doc_id else ''} ({note.amount}) {note.detail}".rstrip()
        for note in told.notes
    ]
    left_out = [f"{one.stages}: {one.reason} {one.detail}".rstrip() for one in told.left_out]
    return {"pipeline": told.pipeline, "notes": notes, "left_out": left_out}
