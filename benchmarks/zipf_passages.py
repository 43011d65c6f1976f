"""A large collection that reads like real ones: passages put together from sentences of the real collections.

`python benchmarks/zipf_passages.py FOLDER` writes `passages.jsonl` and `queries.jsonl` (BEIR layout). Sentences of all
collections under RANKLOOM_DATA are put in a random order and drawn by Zipf's law over that order; a passage is as many
as reach a length drawn around 46 words; a tenth of its words are replaced by words drawn by their frequency in the
collections, so that no two passages are alike. A query is 3 to 7 different words of one sentence. The same seed and
data give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SEED = 7
EXPONENT = 0.6  # of the sentences' law; 1 would make most passages share their sentences
WORDS = (46, 15)  # mean and deviation of the length at which a passage is full
REPLACED = 0.1
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_BLOCK = 10_000  # passages drawn at a time


def sentences(data: Path) -> list[str]:
    """Every different sentence of 5 to 60 words in the collections, in the order of their files."""
    found: dict[str, None] = {}
    for path in sorted((data / "collections").glob("*/corpus.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                for sentence in _SENTENCE_END.split(json.loads(line)["text"]):
                    if 5 <= len(sentence.split()) <= 60:
                        found[sentence.strip()] = None
    return list(found)


def passages(pool: list[str], count: int, seed: int = SEED) -> Iterator[str]:
    """Passages from a pool of sentences."""
    rng = np.random.default_rng(seed)
    words = [sentence.split() for sentence in pool]
    order = rng.permutation(len(pool))
    law = np.cumsum(1.0 / np.arange(1, len(pool) + 1) ** EXPONENT)
    frequencies = Counter(word for sentence in words for word in sentence)
    vocabulary, weights = list(frequencies), np.cumsum(np.array(list(frequencies.values()), dtype=np.float64))
    for start in range(0, count, _BLOCK):
        here = min(_BLOCK, count - start)
        targets = np.maximum(10, rng.normal(*WORDS, here)).astype(int).tolist()
        for target in targets:
            passage: list[str] = []
            for draw in rng.random(12):
                passage += words[order[np.searchsorted(law, draw * law[-1])]]
                if len(passage) >= target:
                    break
            replaced = np.flatnonzero(rng.random(len(passage)) < REPLACED).tolist()
            for place, draw in zip(replaced, rng.random(len(replaced)).tolist(), strict=True):
                passage[place] = vocabulary[int(np.searchsorted(weights, draw * weights[-1]))]
            yield " ".join(passage)


def queries(pool: list[str], count: int, seed: int = SEED + 1) -> list[str]:
    """Queries of 3 to 7 different words of one sentence each."""
    rng = np.random.default_rng(seed)
    chosen = []
    while len(chosen) < count:
        words = list(dict.fromkeys(re.findall(r"[A-Za-z]{4,}", pool[int(rng.integers(len(pool)))].lower())))
        size = int(rng.integers(3, 8))
        if len(words) >= size:
            chosen.append(" ".join(words[place] for place in rng.permutation(len(words))[:size]))
    return chosen


def write(folder: Path, data: Path, count: int, query_count: int) -> None:
    """Write the collection."""
    pool = sentences(data)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "passages.jsonl").open("w", encoding="utf-8") as file:
        for number, text in enumerate(passages(pool, count)):
            file.write(json.dumps({"_id": f"p{number:07}", "text": text}, ensure_ascii=False) + "\n")
    with (folder / "queries.jsonl").open("w", encoding="utf-8") as file:
        for number, text in enumerate(queries(pool, query_count)):
            file.write(json.dumps({"_id": f"q{number:04}", "text": text}) + "\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=300)
    given = parser.parse_args()
    data = Path(os.environ.get("RANKLOOM_DATA", "../shared/data"))
    write(given.folder, data, given.passages, given.queries)


if __name__ == "__main__":
    main()
