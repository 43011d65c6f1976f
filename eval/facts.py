"""What must be known about well-known collections to measure on them, by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SELF_HITS = frozenset({"arguana", "quora"})  # their queries are themselves documents of the corpus
_LICENCES = {
    "mini": "Apache-2.0 (written for this project)",
    "scifact": "claims CC BY 4.0, abstracts ODC-By",
    "nfcorpus": "free for academic use",
    "cranfield": "research",
    "cisi": "research",
    "cacm": "research",
    "npl": "research",
    "adi": "research",
    "xquad-r-passage": "CC BY-SA 4.0",
    "xquad-r-sentence": "CC BY-SA 4.0",
    "liveqa-med": "CC BY 4.0",
    "trec-dl": "MS MARCO: research only",
    "msmarco": "MS MARCO: research only",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """Quirks and licence of a collection.

    Args:
        drop_self_hits: A hit with the query's own id does not count.
        relevance_level: Least grade that is relevant in binary measures.
        licence: In words; empty if not known.
    """

    drop_self_hits: bool = False
    relevance_level: int = 1
    licence: str = ""


def facts_of(name: str) -> Facts:
    """What is known about a collection, from any part of its name.

    Args:
        name: Such as `beir/arguana/test` or `trec-dl19-mini/test`.

    Example:
        >>> facts_of("beir/quora/test").drop_self_hits, facts_of("trec-dl19-mini/test").relevance_level
        (True, 2)
    """
    parts = [part.lower() for part in re.split(r"[/\\:]", name)]
    # In the document track of TREC Deep Learning a grade of 1 is relevant; in the passage track it is not.
    documents = any(part.startswith("msmarco-document") for part in parts)
    deep_learning = any(re.match(r"(trec-?)?dl-?(20)?(19|2\d)\b", part) for part in parts) and not documents
    licence = next((text for known, text in _LICENCES.items() if any(_is(part, known) for part in parts)), "")
    if deep_learning:
        licence = _LICENCES["trec-dl"]
    return Facts(bool(_SELF_HITS & set(parts)), 2 if deep_learning else 1, licence)


def _is(part: str, known: str) -> bool:
    """Whether a part of a name is a known one, or a variant such as `msmarco-passage`."""
    return part == known or part.startswith(f"{known}-")
