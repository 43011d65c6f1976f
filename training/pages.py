"""Pages of a corpus: which passages make a page, which of them are its first section, which pages link to it.

Every document of the corpus is a passage; its title is that of the page. Metadata says the rest:

    page      id of the page, a string
    section   number of the section, a whole number; the lowest of a page is its first section
    links     ids of the pages that the passage links to, a list of strings; may be missing
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from rankloom.corpus import Corpus
from rankloom.errors import DataError
from rankloom.records import Document
from rankloom.training.pretraining_config import PageKeys

_STAGE = "pages"
_KEYS = PageKeys()


class Pages:
    """The pages of a corpus. Holds numbers and page ids, no texts.

    Args:
        corpus: The passages.
        linked: Whether links are needed.
        keys: Where metadata says what.
        task: Who asks, for errors.

    Attributes:
        passages: Page -> codes of its passages, in the order of the corpus.
        first: Page -> codes of the passages of its first section.
        linked_from: Page -> other pages that link to it, sorted.
        skipped: Why passages and links have no part: `passages without a page`, `links to unknown pages`.

    Raises:
        DataError: No passage has what is needed, or a value is of another type.

    Example:
        >>> told = {"page": "Tide", "section": 0}, {"page": "Moon", "section": 0, "links": ["Tide"]}
        >>> corpus = Corpus.of([Document(one["page"], "A text.", metadata=one) for one in told])
        >>> Pages(corpus, linked=True).linked_from
        {'Tide': ['Moon']}
    """

    def __init__(self, corpus: Corpus, *, linked: bool, keys: PageKeys = _KEYS, task: str = "this") -> None:
        self.passages: dict[str, list[int]] = {}
        self.first: dict[str, list[int]] = {}
        self.linked_from: dict[str, list[str]] = {}
        self.skipped: Counter[str] = Counter()
        lowest: dict[str, int] = {}
        links: dict[str, set[str]] = {}
        for code, passage in enumerate(corpus):
            page = _value(passage, keys.page, str, "a string")
            if page is None:
                self.skipped["passages without a page"] += 1
                continue
            self.passages.setdefault(page, []).append(code)
            section = _value(passage, keys.section, int, "a whole number")
            if section is not None and section <= lowest.get(page, section):
                if section < lowest.get(page, section):
                    self.first[page] = []
                lowest[page] = section
                self.first.setdefault(page, []).append(code)
            for target in _value(passage, keys.links, list, "a list of page ids") or () if linked else ():
                links.setdefault(str(target), set()).add(page)
        if linked:
            self._link(links)
        there = {keys.page: self.passages, keys.section: self.first, keys.links: links if linked else True}
        for key, held in there.items():
            if not held:
                raise DataError(
                    f"{task} needs the pages of a corpus, and no passage has the key {key!r} in its metadata",
                    stage=_STAGE,
                    value=repr(corpus),
                    accepted=f"metadata with {keys.page}, {keys.section}" + (f", {keys.links}" if linked else ""),
                    fix="add it, name the keys that the corpus has under `keys`, or leave the task out",
                )

    def _link(self, links: dict[str, set[str]]) -> None:
        """Turn links round, without links of a page to itself and to pages that are not here."""
        for target, sources in links.items():
            others = sorted(sources - {target})
            if target not in self.passages:
                self.skipped["links to unknown pages"] += len(others)
            elif others:
                self.linked_from[target] = others


def _value(passage: Document, key: str, kind: type, accepted: str) -> Any:
    """A value of a passage's metadata; None if it has none."""
    value = passage.metadata.get(key)
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        raise DataError(
            f"the key {key!r} of a passage is of another type", stage=_STAGE, value=passage.id, accepted=accepted
        )
    return value
