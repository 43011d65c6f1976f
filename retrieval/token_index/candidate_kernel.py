"""Kernels of candidate search: which documents are worth scoring by their vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.compiled import compiled, nested
from rankloom.retrieval.index.top_k_kernel import NO_KEY, keep_best, key_of, offer, score_of

_LOWEST = np.float32(-np.inf)


@nested
def _probed(table: Any, vectors: Any, nprobe: Any, threshold: Any, worth: Any) -> Any:
    """The centroids nearest to the first `vectors` query vectors; marks them, and all that reach a threshold.

    Returns them without repetition.
    """
    keys = np.full((vectors, max(4 * nprobe, 16)), NO_KEY, dtype=np.int64)
    sizes, worst = np.zeros(vectors, dtype=np.int64), np.full(vectors, NO_KEY, dtype=np.int64)
    bounds = np.full(vectors, _LOWEST, dtype=np.float32)
    for centroid in range(len(table)):
        line, reach, best = table[centroid], np.int32(0), _LOWEST
        for place in range(vectors):
            reach += np.int32(line[place] > bounds[place])
        for place in range(vectors):
            best = max(best, line[place])
        worth[centroid] = best >= threshold
        if reach:
            for place in range(vectors):
                if line[place] > bounds[place]:
                    sizes[place], worst[place] = offer(
                        line[place], centroid, keys[place], sizes[place], nprobe, worst[place]
                    )
                    if worst[place] != NO_KEY:
                        bounds[place] = score_of(worst[place])
    probed = np.empty(vectors * nprobe, dtype=np.int64)
    marked, count = np.zeros(len(table), dtype=np.bool_), 0
    for place in range(vectors):
        size = min(sizes[place], nprobe)
        keep_best(keys[place], sizes[place], size)
        for one in range(size):
            centroid = np.int64(0xFFFFFFFF) - (keys[place, one] & np.int64(0xFFFFFFFF))
            if not marked[centroid]:
                marked[centroid] = worth[centroid] = True
                probed[count] = centroid
                count += 1
    return probed[:count]


@nested
def _met(probed: Any, list_offsets: Any, listed: Any, documents: Any) -> Any:
    """The documents in the lists of some centroids, each once."""
    total = 0
    for centroid in probed:
        total += list_offsets[centroid + 1] - list_offsets[centroid]
    met = np.empty(min(total, documents), dtype=np.int32)
    seen, count = np.zeros(documents, dtype=np.bool_), 0
    for centroid in probed:
        for place in range(list_offsets[centroid], list_offsets[centroid + 1]):
            document = listed[place]
            if not seen[document]:
                seen[document] = True
                met[count] = document
                count += 1
    return met[:count]


@nested
def _best_by_centroids(met: Any, table: Any, worth: Any, codes: Any, documents: Any, keep: Any) -> Any:
    """Of some documents, the best by MaxSim over the centroids that are worth looking at, in place of their vectors."""
    if len(met) <= keep:
        return met
    keys = np.empty(len(met), dtype=np.int64)
    width = table.shape[1]
    best = np.empty(width, dtype=np.float32)
    for number in range(len(met)):
        document = met[number]
        best[:] = _LOWEST
        for row in range(documents[document], documents[document + 1]):
            code = codes[row]
            if worth[code]:
                line = table[code]
                for place in range(width):
                    best[place] = max(best[place], line[place])
        total = np.float32(0)
        for place in range(width):
            total += best[place]
        keys[number] = key_of(total, document)
    keep_best(keys, len(keys), keep)
    kept = np.empty(keep, dtype=np.int32)
    for place in range(keep):
        kept[place] = np.int64(0xFFFFFFFF) - (keys[place] & np.int64(0xFFFFFFFF))
    return kept


@compiled
def candidates_of(
    table: Any,  # float32 (centroids, width): products with the query's vectors, and zeros beyond them
    vectors: Any,  # how many the query has
    nprobe: Any,
    threshold: Any,
    codes: Any,  # the centroid of each row
    documents: Any,  # int64 (documents + 1): where their rows start
    list_offsets: Any,
    listed: Any,
    rough: Any,  # how many documents pass the round that looks at few centroids
    keep: Any,  # how many are kept
) -> Any:
    """Documents worth scoring, ascending, int32; no more than `keep`."""
    worth = np.zeros(len(table), dtype=np.bool_)
    probed = _probed(table, vectors, nprobe, threshold, worth)
    met = _met(probed, list_offsets, listed, len(documents) - 1)
    some = _best_by_centroids(met, table, worth, codes, documents, rough)
    worth[:] = True
    some = _best_by_centroids(some, table, worth, codes, documents, keep)
    return np.sort(some)
