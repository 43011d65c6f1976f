"""What is built for each kind of FAISS index, and the rules for its sizes, with their sources.

A rule holds where the user names no number. What can not be built is an error, before anything is computed.

Sources: "Guidelines to choose an index" of FAISS's documentation (lists: 4 to 16 times the root of the rows; 32 links);
Johnson, Douze, Jégou: Billion-scale similarity search with GPUs, IEEE Transactions on Big Data 2021 (IVF, PQ); Malkov
and Yashunin: Efficient and robust approximate nearest neighbor search using HNSW graphs, PAMI 2020; FAISS's k-means,
which warns below 39 training points a centroid and draws no more than 256. What a search does by default was
chosen on the million vectors of `benchmarks/approximate_search.py`, for a recall@10 of .98.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rankloom.checks import whole
from rankloom.errors import UsageError

#: What an index is made of: lists are searched a few at a time (IVF), or links followed (HNSW), or neither; and a row
#: is held as float32, one byte a number (`sq8`), or a few bytes in all (`pq`).
Layout = Literal["all", "lists", "links"]
Code = Literal["float32", "sq8", "pq"]
KINDS: dict[str, tuple[Layout, Code]] = {
    "flat": ("all", "float32"),
    "sq8": ("all", "sq8"),
    "hnsw": ("links", "float32"),
    "hnsw_sq8": ("links", "sq8"),
    "ivf": ("lists", "float32"),
    "ivf_sq8": ("lists", "sq8"),
    "ivf_pq": ("lists", "pq"),
}
LINKS = 32
EF_CONSTRUCTION = 100  # candidates for links of a new row: Lucene's `beamWidth`
EF = 256
#: Four bits for each part of a row: FAISS sums up such codes in registers ("fast scan"; André, Kermarrec, Le Scouarnec:
#: Cache locality is not enough, VLDB 2015), nine times as fast as codes of eight bits, and candidates are scored anew.
PQ_CENTROIDS = 16
PQ_POINTS = 4096  # training rows for each of them
_LEAST_POINTS = 39
_POINTS = 64
_PROBES = 5
_SCANNED = 4  # lists are looked into until they hold, on average, this many rows for each that is asked for


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be built.

    Args:
        kind: A key of `KINDS`.
        lists: How many lists; 0 where there are none.
        parts: Parts that a row is cut into for product quantisation, two to a byte; 0 where it is not.
        links: Links of a row to others (twice as many on the ground level); 0 where there are none.
        training_rows: Rows that centroids and ranges are learned from; 0 where nothing is learned.
    """

    kind: str
    lists: int = 0
    parts: int = 0
    links: int = 0
    training_rows: int = 0

    @property
    def layout(self) -> Layout:
        """Whether there are lists, links, or neither."""
        return KINDS[self.kind][0]

    @property
    def code(self) -> Code:
        """How a row is held."""
        return KINDS[self.kind][1]

    @property
    def thin(self) -> bool:
        """Whether less is learned from than FAISS advises."""
        return self.training_rows < _LEAST_POINTS * self._centroids

    @property
    def _centroids(self) -> int:
        """The largest number of centroids that are learned at once; the centre of a single list decides nothing."""
        return max(self.lists if self.lists > 1 else 0, PQ_CENTROIDS if self.code == "pq" else 0)


def build_settings(kind: str) -> frozenset[str]:
    """Names of the numbers that a kind can be built with."""
    layout, code = KINDS[kind]
    names = {"lists": {"nlist"}, "links": {"links"}, "all": set[str]()}[layout]
    return frozenset(names | ({"code_bytes"} if code == "pq" else set()))


def search_settings(kind: str) -> frozenset[str]:
    """Names of the numbers that a kind can be searched with."""
    return frozenset({"lists": {"nprobe"}, "links": {"ef"}, "all": set[str]()}[KINDS[kind][0]])


def least_rows(kind: str, settings: Mapping[str, Any]) -> int:
    """How many rows a kind learns from at least; 0 where nothing is learned."""
    layout, code = KINDS[kind]
    learns = layout == "lists" or code != "float32"
    return max(int(learns), PQ_CENTROIDS if code == "pq" else 0, settings.get("nlist") or 0)


def plan(kind: str, rows: int, dimensions: int, settings: Mapping[str, Any] | None = None, *, stage: str) -> Plan:
    """What to build of so many rows.

    Args:
        kind: A key of `KINDS`.
        rows: How many there are.
        dimensions: Numbers in each.
        settings: `nlist`, `code_bytes` and `links`, as far as the user named them. The rules for the others: four
            lists for each root of the rows, but 39 rows for each list; a byte for every four dimensions, or what comes
            next if that does not divide them; 32 links.
        stage: Who builds, for errors.

    Raises:
        UsageError: A number is out of range, does not divide the dimensions, or asks for more centroids than rows.

    Example:
        >>> plan("ivf_pq", 1_000_000, 384, stage="dense")
        Plan(kind='ivf_pq', lists=4000, parts=192, links=0, training_rows=256000)
    """
    asked = {name: value for name, value in (settings or {}).items() if value is not None}
    layout, code = KINDS[kind]
    lists = _lists(rows, asked.get("nlist"), stage) if layout == "lists" else 0
    links = whole(asked.get("links", LINKS), least=2, stage=stage, parameter="links") if layout == "links" else 0
    parts = _parts(rows, dimensions, asked.get("code_bytes"), stage) if code == "pq" else 0
    learned = min(rows, max(_POINTS * lists, PQ_POINTS * PQ_CENTROIDS)) if lists or code != "float32" else 0
    return Plan(kind, lists, parts, links, learned)


def nprobe(lists: int, rows: int, depth: int) -> int:
    """How many lists a search looks into, where the user names no number.

    Five times the root of the number of lists (CompactDS: once, 256 of 65,536), and more for a deep ranking of a small
    collection, so that four rows are seen for each that is asked for.
    """
    enough = math.ceil(_SCANNED * depth * lists / max(1, rows))
    return min(lists, max(math.ceil(_PROBES * math.sqrt(lists)), enough))


def _lists(rows: int, asked: int | None, stage: str) -> int:
    """How many lists."""
    if asked is None:
        return max(1, min(round(4 * math.sqrt(rows)), rows // _LEAST_POINTS))
    lists = whole(asked, least=1, stage=stage, parameter="nlist")
    if lists > rows:
        raise UsageError(
            f"{rows} vectors are too few to find the centres of that many lists",
            stage=stage,
            value=f"nlist {lists}",
            accepted=f"at most {rows}; {max(1, rows // _LEAST_POINTS)} or fewer to learn them well",
            fix="leave nlist out",
        )
    return lists


def _parts(rows: int, dimensions: int, asked: int | None, stage: str) -> int:
    """How many parts of equal length a row is cut into."""
    if rows < PQ_CENTROIDS:
        raise UsageError(
            "too few vectors to learn a product quantiser from",
            stage=stage,
            value=f"{rows} vectors",
            accepted=f"at least {PQ_CENTROIDS}",
            fix="use `kind: auto`, which is exact, and faster for so few",
        )
    divisors = [number for number in range(1, dimensions + 1) if dimensions % number == 0]
    if asked is None:
        return next(number for number in divisors if 2 * number >= dimensions)
    by_bytes = {(number + 1) // 2: number for number in divisors}  # two to a byte
    if whole(asked, least=1, stage=stage, parameter="code_bytes") not in by_bytes:
        raise UsageError(
            f"the {dimensions} dimensions of the vectors can not be divided evenly into two parts a byte",
            stage=stage,
            value=f"code_bytes {asked}",
            accepted=", ".join(map(str, by_bytes)),
        )
    return by_bytes[asked]
