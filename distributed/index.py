"""Building indexes with a Ray cluster: workers do the long part in pieces, the ordinary build puts these together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rankloom.corpus import Corpus
from rankloom.distributed.cluster import RayCluster
from rankloom.distributed.encode import encode_corpus
from rankloom.encoders import Encoder
from rankloom.retrieval.analysis import Analyzer, EnglishAnalyzer
from rankloom.retrieval.bm25 import BM25
from rankloom.retrieval.bm25_fields import field_names
from rankloom.retrieval.bm25_parts import BM25Parts
from rankloom.retrieval.learned_sparse import LearnedSparse
from rankloom.retrieval.sparse_encoder import SparseEncoder
from rankloom.retrieval.vectors.index import VectorIndex
from rankloom.session import Session


def build_bm25(
    corpus: Corpus,
    directory: str | Path,
    *,
    analyzer: Analyzer | None = None,
    term_vectors: bool = False,
    session: Session | None = None,
    cluster: RayCluster | None = None,
    **parameters: Any,
) -> BM25:
    """`BM25.build` with workers that index parts of the corpus, which are then merged here.

    The index is the same, file for file, but for the random name of its segment. Parts that are there are not made
    again.

    Args:
        corpus: The documents; on disk, where all nodes see it.
        directory: Where the index shall live; the parts lie beside it, under its name and `.parts`, and go at the end.
        analyzer: As for `BM25.build`.
        term_vectors: As for `BM25.build`.
        session: Shows progress.
        cluster: Where; by default this machine.
        parameters: As for `BM25.build`.

    Raises:
        MissingExtraError: Ray is not installed.
        StageError: The cluster does not answer, or workers die again and again.
        DataError: No document has one of the fields.
    """
    fields = field_names(parameters.get("fields"), stage=BM25.name)
    settings: dict[str, Any] = {"analyzer": analyzer, "term_vectors": term_vectors, "session": session}
    index_parts(corpus, directory, fields=fields, cluster=cluster, **settings)
    return BM25.build(corpus, directory, **settings, **parameters)


def index_parts(
    corpus: Corpus,
    directory: str | Path,
    *,
    analyzer: Analyzer | None = None,
    fields: Sequence[str] = (),
    term_vectors: bool = False,
    session: Session | None = None,
    cluster: RayCluster | None = None,
) -> None:
    """The workers' half of `build_bm25`: `BM25.build` of the same directory then takes the parts over.

    Args:
        corpus: As for `build_bm25`.
        directory: As for `build_bm25`.
        analyzer: As for `BM25.build`.
        fields: Names of fields, in order.
        term_vectors: As for `BM25.build`.
        session: Shows progress.
        cluster: Where; by default this machine.
    """
    session, cluster, analyzer = session or Session(), cluster or RayCluster(), analyzer or EnglishAnalyzer()
    corpus.check_fields(fields)
    parts = BM25Parts.beside(Path(directory).absolute(), corpus, analyzer, fields=fields, term_vectors=term_vectors)
    with session.progress.task("bm25 parts", len(parts)) as advance:
        for _ in cluster.each(_part_indexer, (parts,), range(len(parts)), offline=session.offline):
            advance(1)


def build_vectors(
    corpus: Corpus,
    path: str | Path,
    *,
    encoder: Encoder,
    session: Session | None = None,
    cluster: RayCluster | None = None,
    **settings: Any,
) -> VectorIndex:
    """`VectorIndex.build` with workers that encode; the index is the same, byte for byte. See `encode_corpus`.

    Args:
        corpus: The documents; on disk, where all nodes see it.
        path: Where the index shall live.
        encoder: The model.
        session: How to carry it out.
        cluster: Where; by default this machine.
        settings: As for `VectorIndex.build`.
    """
    encode_corpus(corpus, path, encoder, session=session, cluster=cluster)
    return VectorIndex.build(corpus, path, encoder=encoder, session=session, **settings)


def build_learned_sparse(
    corpus: Corpus,
    path: str | Path,
    *,
    encoder: SparseEncoder,
    session: Session | None = None,
    cluster: RayCluster | None = None,
    **parameters: Any,
) -> LearnedSparse:
    """`LearnedSparse.build` with workers that encode; the same but for the name of its segment. See `encode_corpus`.

    Args:
        corpus: The documents; on disk, where all nodes see it.
        path: Where the index shall live.
        encoder: The model.
        session: How to carry it out.
        cluster: Where; by default this machine.
        parameters: As for `LearnedSparse.build`.
    """
    encode_corpus(corpus, path, encoder, session=session, cluster=cluster)
    return LearnedSparse.build(corpus, path, encoder, session=session, **parameters)


def _part_indexer(parts: BM25Parts) -> Callable[[int], None]:
    """A worker's work: one part into its folder."""
    return parts.index
