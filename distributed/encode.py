"""Encoding a corpus on a Ray cluster: workers fill the folder of shards that the ordinary build then reads.

A shard's bytes do not depend on who encodes it, so the index is the same as without a cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rankloom.corpus import Corpus
from rankloom.distributed.cluster import RayCluster
from rankloom.encoders import Encoder
from rankloom.encoders.precision import computed_with
from rankloom.errors import StageError
from rankloom.retrieval.sparse_encoder import SparseEncoder
from rankloom.retrieval.sparse_shards import encode_term_shard, term_shard_count
from rankloom.retrieval.vectors.shards import encode_shard, shard_count, shards_beside
from rankloom.session import Session


def encode_corpus(
    corpus: Corpus,
    path: str | Path,
    encoder: Encoder | SparseEncoder,
    *,
    session: Session | None = None,
    cluster: RayCluster | None = None,
    stage: str | None = None,
) -> Path:
    """Encode a corpus for an index to be: `Dense.build` or `LearnedSparse.build` of the same path finds it done.

    Shards that are there are not computed again, so a job that was killed goes on when it is started again. Workers
    read the corpus and write the shards by path: both must lie where all nodes see them. A corpus in memory is sent
    to each worker whole.

    Bytes are those of the ordinary build on processors of the same kind: neither the number of workers nor that of
    their threads changes them, other instruction sets do.

    Args:
        corpus: The documents; `Document.contents` is what is encoded.
        path: Where the index shall live; the shards lie beside it, under its name and `.shards`.
        encoder: The model, dense or sparse. Workers find it by its name.
        session: Device, dtype, whether models may be fetched, and progress.
        cluster: Where; by default this machine.
        stage: Name for progress and errors.

    Returns:
        The folder of the shards.

    Raises:
        MissingExtraError: Ray is not installed.
        StageError: The cluster does not answer, workers die again and again, or one has another model, precision or
            kind of device, so that its shards would not be taken.
        UsageError: The session is offline and the address is not this machine's.
        NotFoundError: The model, or the corpus, is not to be had where a worker runs.
        DataError: A document is longer than the model reads, and the session's policy is `error`.

    Example:
        >>> from rankloom.encoders import SentenceEncoder
        >>> corpus = Corpus.open("/shared/corpus")  # doctest: +SKIP
        >>> encode_corpus(corpus, "/shared/dense", SentenceEncoder())  # doctest: +SKIP
        PosixPath('/shared/dense.shards')
    """
    session, cluster = session or Session(), cluster or RayCluster()
    sparse = isinstance(encoder, SparseEncoder)
    folder = shards_beside(path).absolute()
    stage = stage or ("learned_sparse" if sparse else "dense")
    count = term_shard_count(corpus) if sparse else shard_count(corpus)
    job = _Job(folder, stage, _made_by(encoder, session, stage))  # finds what is missing before a cluster is asked
    arguments = (corpus, encoder, session.uncached(), job)
    with session.progress.task(f"{stage} shards", count) as advance:
        make = _term_shards if sparse else _vector_shards
        for _ in cluster.each(make, arguments, range(count), offline=session.offline):
            advance(1)
    return folder


@dataclass(frozen=True, slots=True)
class _Job:
    """What all workers of a job have in common.

    Args:
        folder: Where the shards go.
        stage: Name for errors.
        made_by: What makes vectors where the job was started; see `_made_by`.
    """

    folder: Path
    stage: str
    made_by: tuple[str, str]

    def check(self, encoder: Encoder | SparseEncoder, session: Session) -> None:
        """Refuse to make shards that the driver would leave aside and make again.

        Raises:
            StageError: The model is another one, or is computed otherwise, than where the job was started.
        """
        (model, way), here = self.made_by, _made_by(encoder, session, self.stage)
        if here[0] != model:
            raise StageError(
                "the model is another one on this worker than where the job was started",
                stage=self.stage,
                value=here[0],
                accepted=model,
                fix="install the same models on all nodes",
            )
        if here[1] != way:
            raise StageError(
                "this worker would compute otherwise than where the job was started",
                stage=self.stage,
                value=here[1],
                accepted=way,
                fix="name precision and device, or start the job on a node like the workers'",
            )


def _vector_shards(corpus: Corpus, encoder: Encoder, session: Session, job: _Job) -> Callable[[int], None]:
    """A worker's work: the vectors of one shard, into the folder."""
    job.check(encoder, session)

    def encode(number: int) -> None:
        encode_shard(corpus, number, encoder, session, folder=job.folder, stage=job.stage)

    return encode


def _term_shards(corpus: Corpus, encoder: SparseEncoder, session: Session, job: _Job) -> Callable[[int], None]:
    """A worker's work: the weighted terms of one shard, into the folder."""
    job.check(encoder, session)

    def encode(number: int) -> None:
        encode_term_shard(corpus, number, encoder, session, folder=job.folder, stage=job.stage)

    return encode


def _made_by(encoder: Encoder | SparseEncoder, session: Session, stage: str) -> tuple[str, str]:
    """The fingerprint of the weights that are found here, and what they would be computed with."""
    encoder.resolve(session)
    way = session.dtype if isinstance(encoder, SparseEncoder) else computed_with(encoder, session, stage=stage)
    return encoder.fingerprint(), way
