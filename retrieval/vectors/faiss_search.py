"""Rows found by an index of FAISS: all of them looked at, or those of a few lists, or by following links.

Files are FAISS's own, and mapped (`IO_FLAG_MMAP_IFC`): what is searched comes into memory as it is met. Only the packed
codes of `ivf_pq` are read at once, as FAISS 1.15 would copy them out of the map. Settings of a search are handed over
with it, the index is never changed by one, so threads may search at the same time with different ones.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import StageError, UsageError
from rankloom.extras import require
from rankloom.retrieval.vectors import faiss_kinds
from rankloom.retrieval.vectors.faiss_kinds import KINDS, Plan
from rankloom.retrieval.vectors.row_search import Found, RowKind
from rankloom.retrieval.vectors.vector_parts import VectorParts

SEED = 1234  # of samples and k-means: FAISS's own, and CompactDS's
_FILE = "rows.faiss"
_STAGE = "dense"
_BLOCK = 65_536  # rows added at a time; fewer are learned from and added on one thread
#: Beyond twice as many rows as hits are asked for; see `RowKind.rescore`.
_RESCORED = {"float32": 0, "sq8": 20, "pq": 180}
_log = logging.getLogger("rankloom")


class FaissSearch:
    """A FAISS index over inner products whose numbers are row numbers. Use `build` or `read`, not the constructor.

    A search of lists or links is approximate: rows among the best can be missing, and fewer than asked for can come
    back though there are more. Scores are FAISS's float32 sums, of quantised vectors where the kind quantises.

    Args:
        index: The FAISS index.
        kind: A key of `faiss_kinds.KINDS`.
        training_rows: How many rows it learned from.
        file: Where it is mapped from; None where it is in memory.
    """

    exact = False

    def __init__(self, index: Any, kind: str, *, training_rows: int = 0, file: Path | None = None) -> None:
        self.index, self.kind, self.training_rows = index, kind, training_rows
        self._layout, self._code = KINDS[kind]
        self._file = file
        self._faiss = require("faiss", extra="dense", stage=_STAGE)

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def build(
        cls, kind: str, vectors: VectorParts, settings: Mapping[str, Any] | None = None, *, stage: str = _STAGE
    ) -> Self:
        """An index of all rows; the same bytes whenever it is built from the same rows on the same machine.

        Args:
            kind: A key of `faiss_kinds.KINDS`.
            vectors: The rows.
            settings: See `faiss_kinds.plan`.
            stage: Who builds, for errors.

        Raises:
            UsageError: It can not be built; see `faiss_kinds.plan`.
            StageError: FAISS failed.
        """
        what = faiss_kinds.plan(kind, len(vectors), vectors.dimensions, settings, stage=stage)
        if what.thin:
            _log.warning(
                "%s: %s learns from %d vectors, fewer than FAISS advises; results may miss more than usual",
                stage, kind, what.training_rows,
            )  # fmt: skip
        try:
            index = _empty(what, vectors.dimensions)
            if what.training_rows:
                with one_thread(what.training_rows < _BLOCK):
                    index.train(vectors.take(sample(len(vectors), what.training_rows)))
        except RuntimeError as error:
            raise StageError(f"FAISS can not build the index: {error}", stage=stage, value=kind) from error
        built = cls(index, kind, training_rows=what.training_rows)
        built.fill(vectors)
        return built

    @classmethod
    def read(cls, kind: str, folder: Path, settings: Mapping[str, Any]) -> Self:
        """What `write` has written, mapped into memory; `ivf_pq` is read into it.

        Raises:
            OSError: There is no such file.
            ValueError: FAISS can not read it, or it holds another kind of index.
        """
        faiss = require("faiss", extra="dense", stage=_STAGE)
        file = folder / _FILE
        if not file.is_file():
            raise FileNotFoundError(f"{_FILE} is missing")
        with file.open("rb"):  # says what keeps us from reading it, which FAISS tells as a text only
            pass
        mapped = KINDS[kind][1] != "pq"
        try:
            index = faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
        except RuntimeError as error:
            raise ValueError(f"FAISS can not read {_FILE}: {error}") from error
        if index.metric_type != faiss.METRIC_INNER_PRODUCT or not isinstance(index, _class_of(kind)):
            raise ValueError(f"{_FILE} holds another kind of index than {kind}")
        return cls(index, kind, training_rows=int(settings["training_rows"]), file=file if mapped else None)

    def __copy__(self) -> Self:
        """One that can be added to by itself. A mapped index is shared: adding to it makes a copy in memory."""
        index = self.index if self._file is not None else self._faiss.clone_index(self.index)
        return type(self)(index, self.kind, training_rows=self.training_rows, file=self._file)

    # --- what it holds ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many rows there are."""
        return int(self.index.ntotal)

    @property
    def nbytes(self) -> int:
        """Bytes of codes, row numbers, centroids and links, mapped or in memory."""
        rows, dimensions = len(self), int(self.index.d)
        if self._layout == "lists":
            # each row's code and its number, and the centres of the lists
            return self._listed * int(self.index.code_size) + 8 * rows + 4 * dimensions * self._lists + self._learned
        codes = rows * (4 * dimensions if self._code == "float32" else dimensions) + self._learned
        if self._layout == "all":
            return codes
        graph = self.index.hnsw
        return codes + 4 * int(graph.neighbors.size()) + 8 * int(graph.offsets.size()) + 4 * int(graph.levels.size())

    @property
    def _lists(self) -> int:
        """How many lists there are."""
        return int(self.index.nlist)

    @property
    def _listed(self) -> int:
        """How many codes the lists have room for; those of `ivf_pq` are packed by thirty-two."""
        sizes = np.array([self.index.get_list_size(number) for number in range(self._lists)], dtype=np.int64)
        return int((-(-sizes // 32) * 32 if self._code == "pq" else sizes).sum())

    @property
    def _learned(self) -> int:
        """Bytes of what its codes are read with: centroids of parts of rows, or ranges of numbers."""
        dimensions = int(self.index.d)
        return {"float32": 0, "sq8": 8 * dimensions, "pq": 4 * faiss_kinds.PQ_CENTROIDS * dimensions}[self._code]

    def settings(self) -> dict[str, Any]:
        """What it was built with."""
        found: dict[str, Any] = {"training_rows": self.training_rows}
        if self._layout == "lists":
            found["nlist"] = self._lists
        if self._layout == "links":
            found["links"] = int(self.index.hnsw.nb_neighbors(1))
        if self._code == "pq":
            found["code_bytes"] = int(self.index.code_size)
        return found

    # --- searching -------------------------------------------------------------------------------------------

    def search(
        self,
        queries: NDArray[np.float32],
        depth: int,
        *,
        live: NDArray[np.bool_] | None = None,
        effort: Mapping[str, int] | None = None,
    ) -> Found:
        """The best rows of each query as far as they are found; see `RowSearch.search`.

        Args:
            queries: float32 of shape (queries, dimensions), contiguous.
            depth: How many rows for each, at least 1.
            live: Which rows may be found.
            effort: `nprobe`, how many lists are looked into (see `faiss_kinds.nprobe`); `ef`, how many rows are kept
                in view while links are followed, 256 and no less than `depth`.
        """
        chosen = None
        if live is not None:
            bits = np.packbits(live, bitorder="little")
            chosen = self._faiss.IDSelectorBitmap(len(live), self._faiss.swig_ptr(bits))
        scores, rows = self.index.search(queries, depth, params=self.parameters(depth, effort, chosen))
        if len(rows) and rows[:, -1].min() < 0:
            scores[rows < 0] = -np.inf
        return scores, rows

    def parameters(self, depth: int, effort: Mapping[str, int] | None = None, chosen: Any = None) -> Any:
        """FAISS's own parameters of a search; None where there is nothing to say.

        Args:
            depth: How many rows are asked for.
            effort: As for `search`.
            chosen: FAISS's selector of rows.
        """
        named = effort or {}
        if self._layout == "lists":
            lists = named.get("nprobe") or faiss_kinds.nprobe(self._lists, len(self), depth)
            return self._faiss.SearchParametersIVF(nprobe=lists, sel=chosen)
        if self._layout == "links":
            return self._faiss.SearchParametersHNSW(efSearch=max(depth, named.get("ef") or faiss_kinds.EF), sel=chosen)
        return None if chosen is None else self._faiss.SearchParameters(sel=chosen)

    # --- changing and keeping --------------------------------------------------------------------------------

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Take in further rows, numbered on. What was learned at first is kept, so it should still fit them.

        A mapped index is read into memory first. Nothing may be searched meanwhile.

        Raises:
            UsageError: Nothing was learned, since the index was made of no rows.
            StageError: FAISS failed.
        """
        if not len(vectors):
            return
        if not self.index.is_trained:
            raise UsageError(
                "the index was made of no vectors, so that it has learned nothing, and can not be added to",
                stage=_STAGE,
                value=f"{self.kind}, {len(vectors)} vectors",
                accepted=f"at least {faiss_kinds.least_rows(self.kind, {})} vectors at once, to learn from",
                fix="add more at once, or build an index of kind auto",
            )
        try:
            if self._file is not None:
                self.index, self._file = self._in_memory(), None
            # on several threads, links would depend on which was first
            with one_thread(self._layout == "links" or len(vectors) < _BLOCK):
                self.index.add(np.ascontiguousarray(vectors, dtype=np.float32))
        except RuntimeError as error:
            raise StageError(f"FAISS can not add to the index: {error}", stage=_STAGE, value=self.kind) from error

    def refilled(self, vectors: VectorParts) -> Self:
        """A search of other rows by the centroids and ranges that this one has learned."""
        index = self._in_memory() if self._file is not None else self._faiss.clone_index(self.index)
        index.reset()
        other = type(self)(index, self.kind, training_rows=self.training_rows)
        other.fill(vectors)
        return other

    def _in_memory(self) -> Any:
        """A mapped index, read: FAISS ends the process when it is told to change one that is mapped."""
        return self._faiss.read_index(str(self._file))

    def fill(self, vectors: VectorParts) -> None:
        """Take in all rows, in blocks on a fixed grid wherever the parts end: links depend on which come together."""
        for start in range(0, len(vectors), _BLOCK):
            self.add(vectors.take(np.arange(start, min(start + _BLOCK, len(vectors)))))

    def write(self, folder: Path) -> None:
        """Write FAISS's file into a folder."""
        self._faiss.write_index(self.index, str(folder / _FILE))


def sample(rows: int, count: int) -> NDArray[np.int64]:
    """Numbers of rows to learn from, ascending: one of each of `count` stretches of equal length, by a fixed seed."""
    edges = np.linspace(0, rows, count + 1).astype(np.int64)
    return np.random.default_rng(SEED).integers(edges[:-1], edges[1:])


def row_kind(kind: str) -> RowKind:
    """The entry of the table of kinds."""
    return RowKind(
        build=lambda vectors, settings: FaissSearch.build(kind, vectors, settings),
        read=lambda folder, _, settings: FaissSearch.read(kind, folder, settings),
        build_settings=faiss_kinds.build_settings(kind),
        search_settings=faiss_kinds.search_settings(kind),
        rescore=_RESCORED[KINDS[kind][1]],
        extra="dense",
        least_rows=lambda settings: faiss_kinds.least_rows(kind, settings),
    )


def _empty(what: Plan, dimensions: int) -> Any:
    """An index without rows, ready to be trained."""
    faiss = require("faiss", extra="dense", stage=_STAGE)
    product = faiss.METRIC_INNER_PRODUCT
    byte = faiss.ScalarQuantizer.QT_8bit
    if what.layout == "all":
        index = faiss.IndexFlatIP(dimensions) if what.code == "float32" else None
        return index or faiss.IndexScalarQuantizer(dimensions, byte, product)
    if what.layout == "links":
        if what.code == "float32":
            index = faiss.IndexHNSWFlat(dimensions, what.links, product)
        else:
            index = faiss.IndexHNSWSQ(dimensions, byte, what.links, product)
        index.hnsw.efConstruction = faiss_kinds.EF_CONSTRUCTION
        return index
    centres = faiss.IndexFlatIP(dimensions)
    if what.code == "float32":
        index = faiss.IndexIVFFlat(centres, dimensions, what.lists, product)
    elif what.code == "sq8":
        index = faiss.IndexIVFScalarQuantizer(centres, dimensions, what.lists, byte, product)
    else:
        index = faiss.IndexIVFPQFastScan(centres, dimensions, what.lists, what.parts, 4, product)
        index.pq.cp.seed, index.pq.cp.min_points_per_centroid = SEED, 1
        index.pq.cp.max_points_per_centroid = faiss_kinds.PQ_POINTS
    centres.this.disown()
    index.own_fields = True
    # from the whole sample it is given; how many points are few is said by `build`, not on stderr
    index.cp.seed, index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = SEED, 1, 2**31 - 1
    return index


def _class_of(kind: str) -> Any:
    """FAISS's class of a kind."""
    faiss = require("faiss", extra="dense", stage=_STAGE)
    return {
        "flat": faiss.IndexFlat,
        "sq8": faiss.IndexScalarQuantizer,
        "hnsw": faiss.IndexHNSWFlat,
        "hnsw_sq8": faiss.IndexHNSWSQ,
        "ivf": faiss.IndexIVFFlat,
        "ivf_sq8": faiss.IndexIVFScalarQuantizer,
        "ivf_pq": faiss.IndexIVFPQFastScan,
    }[kind]


@contextmanager
def one_thread(wanted: bool) -> Iterator[None]:
    """Let FAISS work on this thread alone. Its threads wait for each other by spinning: slower where work is small.

    OpenMP keeps the number for each calling thread: others that build or search meanwhile keep theirs.
    """
    faiss = require("faiss", extra="dense", stage=_STAGE)
    before = faiss.omp_get_max_threads()
    if wanted:
        faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
