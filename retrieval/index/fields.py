"""Documents of several fields in one index.

A term of a field is a term of its own, named `field`, a separator, `term`; and a field's name alone is a term whose
value is the field's length. So lengths and statistics of fields are kept right by whatever keeps terms right:
commits, deletions and merges know nothing of fields.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rankloom.errors import UsageError
from rankloom.retrieval.analysis import Analyzer
from rankloom.retrieval.index.inversion import Inverted
from rankloom.retrieval.index.units import TermCounter, Terms

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATOR = "\x1f"  # of a field's name and a term; may stand in a term, but not in a name
_FIELDS = "fields"  # where an index's `about` names its fields


def field_term(field: str, term: str) -> str:
    """The name of a field's term in the index."""
    return f"{field}{SEPARATOR}{term}"


def field_terms(fields: Mapping[str, Sequence[str]]) -> dict[str, int]:
    r"""A document as `ImpactIndexWriter.add` takes it, from the terms of each field, repeated as they occur.

    Example:
        >>> field_terms({"title": ["sky"], "text": ["blue", "blue"], "venue": []})
        {'title\x1fsky': 1, 'title': 1, 'text\x1fblue': 2, 'text': 2}
    """
    found: dict[str, int] = {}
    for field, terms in fields.items():
        found |= {field_term(field, term): count for term, count in Counter(terms).items()}
        if terms:
            found[field] = len(terms)
    return found


def without_fields(vector: Mapping[str, int], fields: Iterable[str]) -> dict[str, int]:
    """The terms of a document and how often each occurs in some fields together, in the order of terms."""
    wanted, found = set(fields), Counter[str]()
    for name, value in vector.items():
        field, separator, term = name.partition(SEPARATOR)
        if separator and field in wanted:
            found[term] += value
    return dict(sorted(found.items()))


def about_fields(fields: Iterable[str]) -> dict[str, str]:
    """How an index tells its fields; nothing if it has none.

    Raises:
        UsageError: A name is empty or holds the separator.
    """
    names = sorted(fields)
    for name in names:
        if not isinstance(name, str) or not name or SEPARATOR in name:
            raise UsageError("a field needs a name", stage="index", value=name, accepted="a string without U+001F")
    return {_FIELDS: json.dumps(names)} if names else {}


def fields_of(about: Mapping[str, str]) -> list[str]:
    """The fields that an index tells of, in order; none if it has no fields."""
    names: list[str] = json.loads(about.get(_FIELDS, "[]"))
    return names


class FieldCounter:
    """Counts the terms of documents of several fields; see `TermCounter`.

    Args:
        analyzer: What makes terms of the texts of all fields.
        fields: Their names.
    """

    def __init__(self, analyzer: Analyzer, fields: Sequence[str]) -> None:
        self.terms = Terms()
        self._counters = {name: TermCounter(_FieldAnalyzer(analyzer, name), self.terms) for name in fields}

    def count(self, texts: Mapping[str, pa.LargeStringArray]) -> Inverted:
        """The terms of some documents, from the texts of each field."""
        parts, owners = [], []
        for field, counter in self._counters.items():
            counted = counter.count(texts[field])
            filled = np.flatnonzero(counted.lengths)
            name = np.full(len(filled), self.terms.numbers([field])[0], dtype=np.int32)
            lengths = counted.lengths[filled].astype(np.int32)
            parts += [(counted.terms, counted.values), (name, lengths)]
            owners += [np.repeat(np.arange(len(counted.distinct)), counted.distinct), filled]
        documents = len(next(iter(texts.values())))
        owner = np.concatenate(owners)
        order = owner.argsort(kind="stable")
        terms, values = (np.concatenate(column)[order] for column in zip(*parts, strict=True))
        sums = np.bincount(owner[order], weights=values, minlength=documents).astype(np.int64)
        return Inverted(np.bincount(owner, minlength=documents).astype(np.int64), sums, terms, values)


class _FieldAnalyzer:
    """An analyzer whose terms are named as those of a field."""

    def __init__(self, analyzer: Analyzer, field: str) -> None:
        self._analyzer, self._field = analyzer, field
        self.by_word = bool(getattr(analyzer, "by_word", False))

    def __call__(self, text: str) -> list[str]:
        """The terms of a text."""
        return [field_term(self._field, term) for term in self._analyzer(text)]

    def fingerprint(self) -> str:
        """The analyzer's own."""
        return self._analyzer.fingerprint()
