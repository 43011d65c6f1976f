"""What is built for each kind of FAISS index, and the rules for its sizes, with their sources.

A rule holds where the user names no number. What can not be built is an error, before anything is computed.

Sources: "Guidelines to choose an index" of FAISS's documentation (lists: 4 to 16 times the root of the rows; 32 links);
Johnson, Douze, Jégou: Billion-scale similarity search with GPUs, IEEE Transactions on Big Data 2021 (IVF, PQ); Malkov
and Yashunin: Efficient and robust approximate nearest neighbor search using HNSW graphs, PAMI 2020; FAISS's k-means,
which warns below 39 training points a centroid and draws no more than 256.
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
EF = 256  # of `hnsw`, seen on 200,000 MiniLM vectors: recall@10 .99
PQ_CENTROIDS = 256  # one byte for each part of a row
_LEAST_POINTS = 39
_POINTS = 64
_PROBES = 1
_SCANNED = 4  # lists are looked into until they hold, on average, this many rows for each that is asked for


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be built.

    Args:
        kind: A key of `KINDS`.
        lists: How many lists; 0 where there are none.
        code_bytes: Bytes of a row's code by product quantisation; 0 where it is none.
        links: Links of a row to others (twice as many on the ground level); 0 where there are none.
        training_rows: Rows that centroids and ranges are learned from; 0 where nothing is learned.
    """

    kind: str
    lists: int = 0
    code_bytes: int = 0
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
        """The largest number of centroids that are learned at once."""
        return max(self.lists, PQ_CENTROIDS if self.code == "pq" else 0)


def build_settings(kind: str) -> frozenset[str]:
    """Names of the numbers that a kind can be built with."""
    layout, code = KINDS[kind]
    names = {"lists": {"nlist"}, "links": {"links"}, "all": set[str]()}[layout]
    return frozenset(names | ({"code_bytes"} if code == "pq" else set()))


def search_settings(kind: str) -> frozenset[str]:
    """Names of the numbers that a kind can be searched with."""
    return frozenset({"lists": {"nprobe"}, "links": {"ef"}, "all": set[str]()}[KINDS[kind][0]])


def plan(kind: str, rows: int, dimensions: int, settings: Mapping[str, Any] | None = None, *, stage: str) -> Plan:
    """What to build of so many rows.

    Args:
        kind: A key of `KINDS`.
        rows: How many there are.
        dimensions: Numbers in each.
        settings: `nlist`, `code_bytes` and `links`, as far as the user named them. The rules for the others: four
            lists for each root of the rows, but 39 rows for each list; the least divisor of the dimensions that gives
            a byte to every four of them; 32 links.
        stage: Who builds, for errors.

    Raises:
        UsageError: A number is out of range, does not divide the dimensions, or asks for more centroids than rows.

    Example:
        >>> plan("ivf_pq", 1_000_000, 384, stage="dense")
        Plan(kind='ivf_pq', lists=4000, code_bytes=96, links=0, training_rows=256000)
    """
    asked = {name: value for name, value in (settings or {}).items() if value is not None}
    layout, code = KINDS[kind]
    lists = _lists(rows, asked.get("nlist"), stage) if layout == "lists" else 0
    links = whole(asked.get("links", LINKS), least=2, stage=stage, parameter="links") if layout == "links" else 0
    code_bytes = _code_bytes(rows, dimensions, asked.get("code_bytes"), stage) if code == "pq" else 0
    learned = min(rows, max(_POINTS * lists, 256 * PQ_CENTROIDS)) if lists or code != "float32" else 0
    return Plan(kind, lists, code_bytes, links, learned)


def nprobe(lists: int, rows: int, depth: int) -> int:
    """How many lists a search looks into, where the user names no number.

    The root of the number of lists (CompactDS: 256 of 65,536), and more for a deep ranking or a small collection, so
    that four rows are seen for each that is asked for.
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


def _code_bytes(rows: int, dimensions: int, asked: int | None, stage: str) -> int:
    """How many bytes a row's code has."""
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
        return next(number for number in divisors if 4 * number >= dimensions)
    if whole(asked, least=1, stage=stage, parameter="code_bytes") not in divisors:
        raise UsageError(
            f"code_bytes must divide the {dimensions} dimensions of the vectors",
            stage=stage,
            value=asked,
            accepted=", ".join(map(str, divisors)),
        )
    return asked
