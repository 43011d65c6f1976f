"""What exact search scans: an int8 code for every vector, and how far the true vectors are from their codes.

Storage that keeps int8 codes is scanned as it is; for other kinds the codes are kept beside it, a byte a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rankloom.progress import SILENT, Progress
from rankloom.retrieval.token_index.storage import Int8Storage, TokenStorage, new_array, read_array, shown
from rankloom.retrieval.vectors.quantised import Quantised, kept_codes, quantised

_CODES, _MEASURES = "scan_codes.npy", "scan_measures.npy"
_STAGE = "multi_vector"


def build_codes(storage: TokenStorage, folder: Path | None, progress: Progress = SILENT) -> Quantised:
    """Codes of all vectors of a storage, made one block in memory at a time.

    Args:
        storage: The vectors.
        folder: Where the files go, an existing folder; None keeps all in memory.
        progress: What is shown of it.
    """
    measures = new_array(folder, _MEASURES, (3, len(storage)), np.float32)
    codes = (
        storage.codes
        if isinstance(storage, Int8Storage)
        else new_array(folder, _CODES, (len(storage), storage.dimensions), np.int8)
    )
    for first, block in _blocks(storage, progress):
        part = slice(first, first + len(block.codes))
        measures[:, part] = block.measures
        if not isinstance(storage, Int8Storage):
            codes[part] = block.codes
    return Quantised(codes, measures) if folder is None else read_codes(storage, folder)


def read_codes(storage: TokenStorage, folder: Path) -> Quantised:
    """Open what `build_codes` has put into a folder; files are memory-mapped.

    Raises:
        OSError: A file is missing.
        ValueError: A file is damaged, or of other vectors.
    """
    measures = read_array(folder / _MEASURES, np.float32, 2)
    codes = storage.codes if isinstance(storage, Int8Storage) else read_array(folder / _CODES, np.int8, 2)
    if codes.shape != (len(storage), storage.dimensions) or measures.shape != (3, len(storage)):
        raise ValueError("what is scanned is of other vectors")
    return Quantised(codes, measures)


def own_bytes(codes: Quantised, storage: TokenStorage) -> int:
    """Bytes that are kept for the scan alone."""
    return codes.measures.nbytes + (0 if isinstance(storage, Int8Storage) else codes.codes.nbytes)


def _blocks(storage: TokenStorage, progress: Progress) -> Iterator[tuple[int, Quantised]]:
    """Codes and measures of all vectors, in blocks: the number of the first, and they."""
    for first, block in shown(storage, progress, "scan codes"):
        if isinstance(storage, Int8Storage):
            part = slice(first, first + len(block))
            yield first, kept_codes(storage.codes[part], storage.scales[part])
        else:
            yield first, quantised(block, stage=_STAGE)
