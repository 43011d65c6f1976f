"""A flat index: one vector for each document, searched exactly by inner product with FAISS.

On disk it is a folder with a FAISS file (which other tools can read as well), the document ids, and how much of each
document the model could not read. Row number, FAISS id and code in `ids` are one number.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import same_corpus
from rankloom.corpus import Corpus, corpus_beside
from rankloom.encoders import SentenceEncoder, truncation_note
from rankloom.errors import DamagedIndexError, NotFoundError, UsageError
from rankloom.extras import require
from rankloom.files import Manifest, atomic_path
from rankloom.fingerprint import digest
from rankloom.ids import DocIds
from rankloom.ledger import Ledger, Note
from rankloom.order import Codes, Scores, top_order
from rankloom.retrieval.vectors.shards import encode_corpus, shards_beside
from rankloom.session import Session

FORMAT, VERSION = "rankloom-vector-index", 2
_FAISS, _IDS, _TRUNCATED = "vectors.faiss", "ids.arrow", "truncated.npy"
_STAGE = "dense"
# How many hits more than asked for FAISS is asked for, so that ties at the cut can be settled by document id.
_MARGIN = 64
_GATHERED = 64  # vectors compared at once in exact scoring, to bound the memory of float64 copies
_HALF_STEP = 2.0**-24  # half the distance from 1 to the next float32


class VectorIndex:
    """Vectors of a corpus, with the encoder they were made by. Use `build`, `open` or `of`, not the constructor.

    Args:
        faiss_index: A flat FAISS index over inner products.
        ids: Document ids; a row's number is its document's code.
        truncated: Tokens of each document that the model did not read, int64 of shape (documents,).
        encoder: Encodes queries.
        fields: What the manifest says.
        documents: The corpus, when it is at hand.
    """

    def __init__(
        self,
        faiss_index: Any,
        ids: DocIds,
        truncated: NDArray[np.int64],
        *,
        encoder: SentenceEncoder,
        fields: Mapping[str, Any],
        documents: Corpus | None = None,
    ) -> None:
        self._index, self.ids, self._truncated = faiss_index, ids, truncated
        self.encoder, self.fields, self.documents = encoder, dict(fields), documents

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def of(
        cls, corpus: Corpus, *, encoder: SentenceEncoder, session: Session | None = None, shards: Path | None = None
    ) -> Self:
        """Encode a corpus and keep the index in memory.

        Args:
            corpus: The documents; `Document.contents` is what is encoded.
            encoder: The model.
            session: How to carry it out.
            shards: Folder for finished parts, so that a killed build goes on; None keeps none.

        Raises:
            DataError: A document is longer than the model reads, and the session's policy is `error`.
        """
        session = session or Session()
        encoder.resolve(session)
        faiss = require("faiss", extra="dense", stage=_STAGE)
        index: Any = None
        tokens, longest = 0, 0.0
        truncated = np.zeros(len(corpus), dtype=np.int64)
        for shard in encode_corpus(corpus, encoder, session, folder=shards, stage=_STAGE):
            if index is None:
                index = faiss.IndexFlatIP(shard.vectors.shape[1])
            truncated[index.ntotal : index.ntotal + len(shard.vectors)] = shard.truncated
            index.add(np.ascontiguousarray(shard.vectors))
            tokens += int(shard.tokens.sum())
            longest = max(longest, float(np.linalg.norm(shard.vectors.astype(np.float64), axis=1).max()))
        fields = {
            "model": encoder.model,
            "encoder": encoder.fingerprint(),
            "corpus": corpus.fingerprint(),
            "dtype": session.dtype,
            "documents": len(corpus),
            "dimensions": index.d,
            "longest_vector": longest,
            "tokens": tokens,
            "truncated_documents": int(np.count_nonzero(truncated)),
            "truncated_tokens": int(truncated.sum()),
        }
        return cls(index, corpus.ids, truncated, encoder=encoder, fields=fields, documents=corpus)

    @classmethod
    def build(
        cls, corpus: Corpus, path: str | Path, *, encoder: SentenceEncoder, session: Session | None = None
    ) -> Self:
        """Encode a corpus, write the index to a folder and open it.

        The folder appears whole or not at all; an existing one is replaced. A build that was killed goes on from the
        last finished part when it is started again (the parts lie beside the folder, under its name and `.shards`).

        Args:
            corpus: The documents; `Document.contents` is what is encoded.
            path: Where the index shall live.
            encoder: The model.
            session: How to carry it out.

        Raises:
            DataError: A document is longer than the model reads, and the session's policy is `error`.
        """
        target = Path(path)
        shards = shards_beside(target)
        built = cls.of(corpus, encoder=encoder, session=session, shards=shards)
        with atomic_path(target) as temporary:
            temporary.mkdir()
            built.write(temporary)
        shutil.rmtree(shards, ignore_errors=True)
        return cls.open(target, corpus=corpus, encoder=encoder)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        corpus: Corpus | None = None,
        encoder: SentenceEncoder | None = None,
        verify: bool = False,
    ) -> Self:
        """Open an index that `build` has written; vectors are memory-mapped.

        Args:
            path: Where the index lives.
            corpus: The corpus it was made from, so that hits have texts; by default the one beside the index (see
                `rankloom.corpus.corpus_beside`), and without one, hits have ids and scores only.
            encoder: The model for queries; by default the one the index was made with, under the same name.
            verify: Compare the checksum of every file, also of those above 16 MiB; reads them all.

        Raises:
            NotFoundError: There is no such folder.
            DamagedIndexError: It is no index, is of another version, or a file is missing or damaged.
            UsageError: The index was made with another model or from another corpus.
        """
        folder = Path(path)
        manifest = Manifest.read(folder, format=FORMAT, version=VERSION, verify=verify)
        try:
            fields = manifest.fields
            index = _read_faiss(folder / _FAISS, fields)
            truncated = np.load(folder / _TRUNCATED, allow_pickle=False)
            corpus = corpus_beside(folder, fields["corpus"]) if corpus is None else corpus
            ids = corpus.ids if corpus is not None else _read_ids(folder / _IDS)
            encoder = encoder or SentenceEncoder(fields["model"], stage=_STAGE)
            opened = cls(index, ids, truncated, encoder=encoder, fields=fields, documents=corpus)
            whole = len(truncated) == fields["documents"] == index.ntotal
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise _damaged(folder, str(error)) from error
        if not whole:
            raise _damaged(folder, "the number of documents is not the one in the manifest")
        same_corpus(corpus, fields["corpus"], stage=_STAGE)
        opened.check_encoder()
        return opened

    # --- what it holds ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self.ids)

    def __repr__(self) -> str:
        """Its size and model."""
        return f"<VectorIndex of {len(self)} documents by {self.fields['model']}>"

    @property
    def dimensions(self) -> int:
        """Numbers in each vector."""
        return int(self.fields["dimensions"])

    @property
    def nbytes(self) -> int:
        """Bytes of its vectors, ids and truncation counts."""
        return int(self._matrix.nbytes + self.ids.array.nbytes + self._truncated.nbytes)

    @property
    def space(self) -> str:
        """The fingerprint of the encoder: vectors of one space can be compared."""
        return str(self.fields["encoder"])

    @cached_property
    def ledger(self) -> Ledger:
        """A note for each document that is longer than the model reads."""
        cut = np.flatnonzero(self._truncated)
        ids = self.ids.take(cut.astype(np.int32))
        amounts = self._truncated[cut].tolist()
        return Ledger(
            tuple(Note(_STAGE, "truncated", doc_id=i, amount=amount) for i, amount in zip(ids, amounts, strict=True))
        )

    def fingerprint(self) -> str:
        """A digest of encoder, corpus and dtype."""
        return digest("vector index", VERSION, *(self.fields[name] for name in ("encoder", "corpus", "dtype")))

    def check_encoder(self) -> None:
        """Refuse to search with another model than the index was made with.

        A model that is not on this machine passes: it is checked when it has been fetched.

        Raises:
            UsageError: The encoder's fingerprint is not the one in the manifest.
        """
        if self.encoder.fingerprint() == self.space:
            return
        try:
            self.encoder.resolve(Session(offline=True))
        except NotFoundError:
            return
        raise UsageError(
            "the index was made with another model, or with other weights under the same name",
            stage=_STAGE,
            value=self.encoder.model,
            accepted=f"the model it was made with, {self.fields['model']} ({self.space})",
            fix="open it with that model, or build it again",
        )

    def check_truncation(self, session: Session) -> None:
        """Refuse an index of documents that were cut, where that is an error.

        Raises:
            DataError: A document is longer than the model reads, and the session's policy is `error`.
        """
        for note in self.ledger.notes[:1]:
            truncation_note(session, stage=_STAGE, tokens=note.amount, doc_id=note.doc_id)

    def vectors(self, codes: Codes) -> NDArray[np.float32]:
        """Copies of the vectors of some documents, float32 of shape (codes, dimensions)."""
        rows: NDArray[np.float32] = self._matrix[codes]
        return rows

    # --- searching -------------------------------------------------------------------------------------------

    def search(self, queries: NDArray[np.float32], k: int) -> list[tuple[Codes, Scores]]:
        """The best k documents of each query: codes and scores, by score descending and document id ascending.

        FAISS finds candidates, somewhat more than asked for. They are scored again in float64 and rounded once, so
        that a score depends on nothing but the two vectors; and unless the score at the cut is above everything that
        FAISS can have left out, by a bound on its rounding errors, the query is searched deeper.

        Args:
            queries: float32 of shape (queries, dimensions).
            k: How many documents for each query, at least 1; fewer come back when the index holds fewer.
        """
        results: dict[int, tuple[Codes, Scores]] = {}
        pending, depth = list(range(len(queries))), min(len(self), k + _MARGIN)
        while pending:
            part = np.ascontiguousarray(queries[pending], dtype=np.float32)
            found_scores, found = self._index.search(part, depth)
            unsettled = []
            for row, number in enumerate(pending):
                codes = found[row].astype(np.int32)
                scores = _exact_scores(self._matrix, codes, part[row])
                order = top_order(codes, scores, k)
                slack = self._slack(part[row])
                if depth == len(self) or scores[order[-1]] > found_scores[row, -1] + slack:
                    results[number] = codes[order], scores[order]
                else:
                    unsettled.append(number)
            pending, depth = unsettled, min(len(self), 4 * depth)
        return [results[number] for number in range(len(queries))]

    def _slack(self, query: NDArray[np.float32]) -> float:
        """More than FAISS's float32 inner product with a query can be off: twice d * u * |q| * |x| (Higham, 3.1)."""
        length = float(np.linalg.norm(query.astype(np.float64)))
        return 2 * self.dimensions * _HALF_STEP * length * float(self.fields["longest_vector"])

    @cached_property
    def _matrix(self) -> NDArray[np.float32]:
        """All vectors as FAISS holds them, without a copy."""
        faiss = require("faiss", extra="dense", stage=_STAGE)
        flat = faiss.rev_swig_ptr(self._index.get_xb(), self._index.ntotal * self._index.d)
        matrix: NDArray[np.float32] = flat.reshape(self._index.ntotal, self._index.d)
        matrix.flags.writeable = False
        return matrix

    def write(self, folder: Path) -> None:
        """All files of the index, the manifest last."""
        import pyarrow as pa

        faiss = require("faiss", extra="dense", stage=_STAGE)
        faiss.write_index(self._index, str(folder / _FAISS))
        batch = pa.record_batch([self.ids.array], names=["id"])
        with pa.ipc.new_file(folder / _IDS, batch.schema) as file:
            file.write_batch(batch)
        np.save(folder / _TRUNCATED, self._truncated)
        Manifest.write(folder, format=FORMAT, version=VERSION, fields=self.fields)


def _exact_scores(matrix: NDArray[np.float32], codes: Codes, query: NDArray[np.float32]) -> Scores:
    """Inner products in float64, rounded once to float32; the same whatever else is computed beside."""
    wide = query.astype(np.float64)
    parts = [
        np.einsum("ij,j->i", matrix[codes[start : start + _GATHERED]].astype(np.float64), wide)
        for start in range(0, len(codes), _GATHERED)
    ]
    return np.concatenate(parts).astype(np.float32)


def _read_faiss(path: Path, fields: Mapping[str, Any]) -> Any:
    """A flat FAISS index, memory-mapped, held against the manifest."""
    faiss = require("faiss", extra="dense", stage=_STAGE)
    expected = 4 * fields["documents"] * fields["dimensions"]
    if path.stat().st_size < expected:
        raise ValueError(f"{path.name} is too short")
    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    if index.d != fields["dimensions"] or index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise ValueError(f"{path.name} is of another kind than the manifest says")
    return index


def _read_ids(path: Path) -> DocIds:
    """Document ids, memory-mapped."""
    import pyarrow as pa

    return DocIds(pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0).column("id"))


def _damaged(folder: Path, reason: str) -> DamagedIndexError:
    """The error for a folder that is not what its manifest says."""
    return DamagedIndexError(
        f"the index can not be read ({reason})",
        stage=_STAGE,
        value=str(folder),
        fix="delete the folder and build it again",
    )
