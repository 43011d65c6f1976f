"""Milvus beside FAISS Flat on a collection: nDCG@10, seconds to load, queries a second.

    python benchmarks/milvus.py scifact --cache CACHE

Documents are encoded once, by `Dense`; the same vectors go into Milvus Lite in this process and into a
`milvus-lite server` on loopback, with an index of each kind. Queries are encoded beforehand and asked in batches of 64.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rankloom import Corpus, Query, Session, Stage
from rankloom.encoders import Encoded, Role, SentenceEncoder
from rankloom.errors import StageError
from rankloom.eval.collections import Collection, load_collection
from rankloom.retrieval import Dense
from rankloom.retrieval.milvus import IndexSettings, Milvus
from rankloom.retrieval.milvus.connection import Connection

ROUNDS = 3
BARE = Session(offline=True, device="cpu")


class Stored(SentenceEncoder):
    """The encoder of an index, which reads documents' vectors from it."""

    def __init__(self, dense: Dense, corpus: Corpus) -> None:
        super().__init__(dense.model_name)
        ids = list(corpus.ids)
        vectors = dense.document_vectors(ids)[0]
        self.stored = {document.contents: vector for document, vector in zip(corpus, vectors, strict=True)}

    def encode(self, texts: list[str], *, role: Role, session: Session) -> Encoded:
        """Stored vectors of documents; everything else by the model."""
        if role == "query" or any(text not in self.stored for text in texts):
            return super().encode(texts, role=role, session=session)
        nothing = np.zeros(len(texts), dtype=np.int64)
        return Encoded(np.stack([self.stored[text] for text in texts]), nothing, nothing, 0)


def serve(folder: Path) -> tuple[subprocess.Popen[bytes], str, str]:
    """A server on loopback that answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(folder), "--host", "127.0.0.1"]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL)
    uri = f"http://127.0.0.1:{port}"
    while True:
        try:
            return process, uri, Connection(uri, timeout=5).engine
        except StageError:
            time.sleep(0.1)


def measured(label: str, stage: Stage, queries: Sequence[Query], collection: Collection, loading: float = 0.0) -> None:
    """A line of the table."""
    rates = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for start in range(0, len(queries), 64):
            stage.run(queries[start : start + 64], session=BARE)
        rates.append(len(queries) / (time.perf_counter() - started))
    score = collection.evaluate(stage.run(queries, session=BARE), ["nDCG@10"]).means["nDCG@10"]
    print(f"| {label} | {score:.4f} | {loading:.1f} | {statistics.median(rates):.0f} |", flush=True)


def main() -> None:
    """Measure and print a table."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("collection")
    arguments.add_argument("--cache", required=True)
    given = arguments.parse_args()
    session = Session(offline=True, device="cpu", cache=given.cache)
    collection = load_collection(given.collection)
    corpus, dense = collection.corpus, Dense.for_corpus(collection.corpus, session, kind="flat")
    vectors = dense.query_vectors(collection.queries, BARE)
    queries = [query.with_vector(dense.space, one) for query, one in zip(collection.queries, vectors, strict=True)]
    encoder = Stored(dense, corpus)
    print("| engine, k | nDCG@10 | seconds to load | queries/s |\n| --- | --- | --- | --- |")
    for k in (10, 1000):
        measured(f"FAISS Flat, {k}", dense.replace(k=k), queries, collection)
    with tempfile.TemporaryDirectory() as folder:
        process, uri, engine = serve(Path(folder) / "server")
        for label, place in (("Milvus Lite, embedded", str(Path(folder) / "lite.db")), ("milvus-lite server", uri)):
            for index in ("flat", "hnsw", "ivf_flat"):
                settings = IndexSettings(index, nlist=64 if index == "ivf_flat" else None)
                started = time.perf_counter()
                stage = Milvus.build(corpus, place, collection=index, encoder=encoder, settings=settings, session=BARE)
                took = time.perf_counter() - started
                if index == "ivf_flat":
                    stage = stage.replace(nprobe=16)
                for k in (10, 1000) if index == "flat" else (10,):
                    measured(f"{label}, {index}, {k}", stage.replace(k=k), queries, collection, took)
        print(f"\n{len(corpus):,} documents of {stage.index.contents.dimensions} numbers; {engine}")
        held = sum(file.stat().st_size for file in (Path(folder) / "lite.db").rglob("*") if file.is_file())
        print(f"three collections on disk: {held / 1e6:.1f} MB")
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
