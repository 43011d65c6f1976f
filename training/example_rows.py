"""Rows of contrastive training from examples that teachers were asked about."""

from __future__ import annotations

from collections.abc import Sequence

from rankloom.training.contrasts import Row
from rankloom.training.distillation import Example
from rankloom.training.pairs import SourceTexts


def rows_of(examples: Sequence[Example], sources: Sequence[SourceTexts]) -> list[Row]:
    """One row for each example, so that `batches` keeps documents away from queries that they are relevant to.

    Args:
        examples: Of training queries of the sources, the relevant document first in each.
        sources: Tell which other documents are relevant. A query of several sources belongs to the first, and has the
            relevant documents of all.
    """
    names: dict[str, str] = {}
    relevant: dict[str, set[str]] = {}
    for source in sources:
        for query in source.queries:
            names.setdefault(query.text, source.source.name)
            found = source.corpus.get(list(source.relevant_to(query.id)))
            relevant.setdefault(query.text, set()).update(document.contents for document in found)
    return [
        Row(
            one.query,
            one.texts[0],
            one.texts[1:],
            names[one.query],
            frozenset(one.texts),
            frozenset(relevant[one.query]),
        )
        for one in examples
    ]
