"""Windows of long documents: runs of tokens (or words) that overlap, so that no passage is cut for every reader.

Hofstätter et al.: Intra-Document Cascading, SIGIR 2021 (arXiv:2105.09816), section 3.
"""

from __future__ import annotations

from typing import NamedTuple


class Window(NamedTuple):
    """Where a window lies in its document.

    Args:
        begin: Its first token.
        end: Behind its last token.
        before: How many places of its overlap stand empty, as the document begins behind them.
    """

    begin: int
    end: int
    before: int


def document_windows(length: int, *, core: int, overlap: int) -> list[Window]:
    """The windows of a document, in its order: their cores follow one another, and overlaps reach into the neighbours.

    A window is there if its core holds a token, so a document of exactly `core` tokens has one, and one without tokens
    has none.

    Args:
        length: Tokens of the document.
        core: Tokens of a core; the last may have fewer.
        overlap: Tokens that a window reaches beyond its core, on either side, as far as the document has them.

    Example:
        >>> [window[:2] for window in document_windows(120, core=50, overlap=7)]
        [(0, 57), (43, 107), (93, 120)]
    """
    return [
        Window(max(0, start - overlap), min(length, start + core + overlap), max(0, overlap - start))
        for start in range(0, length, core)
    ]
