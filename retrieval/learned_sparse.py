"""Learned sparse retrieval: documents as terms with learned weights, searched in the impact index.

Formal et al.: SPLADE v2, 2021 (arXiv:2109.10086). Lin and Ma: A Few Brief Notes on DeepImpact, COIL, and a Conceptual
Framework for Information Retrieval Techniques, 2021 (arXiv:2106.14807), for quantised impacts.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.cached_index import opened_or_built
from rankloom.checks import between, same_corpus, whole
from rankloom.corpus import Corpus, corpus_beside
from rankloom.encoders import truncation_note, truncation_notes
from rankloom.errors import UsageError
from rankloom.fingerprint import digest
from rankloom.ledger import Ledger, Note
from rankloom.parameter_kinds import ModelName, NamesPath
from rankloom.ranking import Ranking
from rankloom.records import Documents, Query
from rankloom.retrieval.index import impact_segment
from rankloom.retrieval.index.batches import Hits
from rankloom.retrieval.index.commit import FORMAT, VERSION
from rankloom.retrieval.index.impact_batch import ImpactBatch
from rankloom.retrieval.index.impact_index import ImpactIndex
from rankloom.retrieval.index.queries import in_order
from rankloom.retrieval.inference_free import InferenceFreeEncoder
from rankloom.retrieval.sparse_encoder import Activation, SparseEncoder, TermEncoder
from rankloom.retrieval.sparse_shards import SparseShard, encode_terms
from rankloom.retrieval.sparse_vectors import SparseVectors, batches_of, impacts_of, vectors_of
from rankloom.retrieval.two_phase import TwoPhases, search_in_two_phases
from rankloom.retrieval.vectors.shards import shards_beside
from rankloom.run import Run
from rankloom.score_parts import ScoreExplainer, ScoreParts, TermPart, missing_terms, parts_in_order
from rankloom.session import Session
from rankloom.sources import TermSource
from rankloom.stage import Retriever
from rankloom.weighted_terms import SparseEncoded, Terms

#: What a weight is multiplied by before it is rounded to a whole impact. SPLADE's weights stay below 4, so that nearly
#: all impacts fit one byte; a weight of 1 is kept to within 1 in 128.
SCALE = 64
#: What two phases score by all terms: 5 times the default depth.
CANDIDATES = 5000


class LearnedSparse(Retriever, TermSource, ScoreExplainer):
    """Rank documents by the sum over terms of query weight times document weight.

    Document weights are rounded to `weight * scale`, at least 1; scores are in the model's own unit. Results are exact
    for the rounded weights unless `reach` is below 1 or `two_phase` is set. A query's weighted terms (`Query.terms`, of
    `StoredTerms` or of feedback) take its text's place.

    Args:
        index: Impacts of a corpus; see `for_corpus`, `build` and `of_terms`.
        queries: What makes terms of query texts; None where every query brings its terms.
        corpus: The documents of the index, for stages that read texts. None: hits have ids and scores only.
        k: How many hits a query gets at most; 1,000 as in TREC.
        reach: What the bound on what was not added up is multiplied by. 1 is exact; less is faster and may miss hits,
            which notes in the ledger say. How many is for you to measure; on vectors drawn to resemble SPLADE's, 0.15
            finds 99% of the best ten (`docs/results.md`).
        two_phase: Search in two phases: terms that weigh at least this share of the query's heaviest choose the
            candidates, which are then scored by all terms. OpenSearch's default is 0.4. Documents that hold few heavy
            terms and many light ones are lost, and a note says so; None loses nothing.
        candidates: For `two_phase`: how many documents are scored by all terms, at least k. OpenSearch scores 5 times
            as many as it returns, 10,000 at most.

    Raises:
        UsageError: A parameter is out of range, or the index holds no impacts, or was made from another corpus or with
            another model.

    Example:
        >>> index = LearnedSparse.of_terms({"d1": {"sky": 1.5, "blue": 0.5}, "d2": {"sea": 1.0, "blue": 1.0}})
        >>> hits = index.run([Query("q1", "", terms={"blue": 2.0})])["q1"]
        >>> [(hit.doc_id, hit.score) for hit in hits]
        [('d2', 2.0), ('d1', 1.0)]
    """

    name = "learned_sparse"
    requires = ("sentence_transformers",)
    accepts = frozenset({"terms"})

    def __init__(
        self,
        index: ImpactIndex,
        *,
        queries: TermEncoder | None = None,
        corpus: Documents | None = None,
        k: int = 1000,
        reach: float = 1.0,
        two_phase: float | None = None,
        candidates: int = CANDIDATES,
    ) -> None:
        self.index = index
        self.queries = queries
        self.corpus = corpus
        self.k = whole(k, least=1, stage=self.name, parameter="k")
        self.reach = between(reach, 0.01, 1.0, stage=self.name, parameter="reach")
        share = None if two_phase is None else between(two_phase, 0.0, 1.0, stage=self.name, parameter="two_phase")
        self.two_phase = share
        self.candidates = whole(candidates, least=1, stage=self.name, parameter="candidates")
        self._check_candidates()
        if not index.linear or "scale" not in index.about:
            raise UsageError(
                "the index holds no impacts", stage=self.name, value=index, fix="build one with this class"
            )
        made_with = index.about.get("model", "")
        if isinstance(queries, SparseEncoder) and made_with not in ("", queries.space):
            raise UsageError(
                "the index was made with another model",
                stage=self.name,
                value=queries.model,
                fix="pass the model that the index was built with, or build it again",
            )
        same_corpus(corpus, index.about.get("corpus", ""), stage=self.name)

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def of_terms(
        cls, documents: Mapping[str, Terms] | Iterable[tuple[str, Terms]], *, scale: int = SCALE, **params: Any
    ) -> Self:
        """Index documents whose terms are known, such as those of `read_term_documents`, in memory.

        Args:
            documents: Id and weighted terms of each.
            scale: See `SCALE`; 1 for weights that are whole numbers already, as Anserini publishes them.
            params: Parameters of the stage.

        Raises:
            DataError: An id stands twice, or a weight is not a positive number.
        """
        whole(scale, least=1, stage=cls.name, parameter="scale")
        return cls.of_vectors(
            batches_of(documents.items() if isinstance(documents, Mapping) else documents), scale=scale, **params
        )

    @classmethod
    def of_vectors(cls, batches: Iterable[SparseVectors], *, scale: int = SCALE, **params: Any) -> Self:
        """Index documents whose terms and weights stand in columns, in memory; as `of_terms` for the rest."""
        whole(scale, least=1, stage=cls.name, parameter="scale")
        impacts = (impacts_of(batch, scale) for batch in batches)
        return cls(ImpactIndex.of_impacts(impacts, about={"scale": str(scale)}), **params)

    @classmethod
    def build_vectors(
        cls, path: str | Path, batches: Iterable[SparseVectors], *, scale: int = SCALE, **params: Any
    ) -> Self:
        """Write an index of documents whose terms and weights stand in columns to a folder, and search it.

        Batches are streamed, never held. The folder appears whole or not at all; an existing one is replaced.
        `ImpactIndexWriter` changes it afterwards.

        Args:
            path: Where the index shall live.
            batches: The documents.
            scale: See `SCALE`.
            params: Parameters of the stage.

        Raises:
            DataError: An id stands twice, a term stands twice in a document, or a weight is not a positive number.
        """
        whole(scale, least=1, stage=cls.name, parameter="scale")
        impacts = (impacts_of(batch, scale) for batch in batches)
        return cls(ImpactIndex.build_impacts(path, impacts, about={"scale": str(scale)}), **params)

    @classmethod
    def of(cls, corpus: Corpus, encoder: TermEncoder, *, session: Session | None = None, **params: Any) -> Self:
        """Encode a corpus into an index in memory, and search it by the same encoder.

        Args:
            corpus: The documents; `Document.contents` is what is encoded.
            encoder: What makes terms of texts.
            session: How to carry it out.
            params: Parameters of the stage; `queries` names another encoder for queries.

        Raises:
            DataError: A document is longer than the model reads, and the session's policy is `error`.
        """
        shards = list(encode_terms(corpus, encoder, session or Session(), stage=cls.name))
        about = _about(corpus, encoder, shards)
        index = ImpactIndex.of_impacts(_all_impacts(corpus, shards), about=about)
        return cls(index, **{"queries": encoder, "corpus": corpus, **params})

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        path: str | Path,
        encoder: TermEncoder,
        *,
        session: Session | None = None,
        **params: Any,
    ) -> Self:
        """Encode a corpus, write the index to a folder, and search it; as `of` for the rest.

        The folder appears whole or not at all; an existing one is replaced. A build that was killed goes on from the
        last finished part when it is started again (the parts lie beside the folder, under its name and `.shards`).
        """
        target, session = Path(path), session or Session()
        folder = shards_beside(target)

        def shards() -> Iterator[SparseShard]:
            return encode_terms(corpus, encoder, session, folder=folder, stage=cls.name)

        about = _about(corpus, encoder, shards())  # the second pass reads what the first has written
        index = ImpactIndex.build_impacts(target, _all_impacts(corpus, shards()), about=about)
        shutil.rmtree(folder, ignore_errors=True)
        return cls(index, **{"queries": encoder, "corpus": corpus, **params})

    @classmethod
    def open(cls, path: str | Path, *, queries: TermEncoder | None = None, **params: Any) -> Self:
        """Search an index that `build` has written.

        Args:
            path: Where the index lives.
            queries: What makes terms of query texts. Without, queries must bring their terms.
            params: Parameters of the stage. Without `corpus`, the one in the folder `corpus` beside the index is taken,
                if the index was made from it.

        Raises:
            NotFoundError: There is no such folder.
            DamagedIndexError: It holds no index, one of another version, or a damaged one.
        """
        index = ImpactIndex.open(path)
        if params.get("corpus") is None:
            params["corpus"] = corpus_beside(path, index.about.get("corpus"))
        return cls(index, queries=queries, **params)

    @classmethod
    def for_corpus(
        cls,
        corpus: Corpus,
        session: Session,
        *,
        model: ModelName,
        queries: Annotated[str | None, NamesPath(or_name=True)] = None,
        activation: Activation = "model",
        prune_ratio: float = 0.0,
        top_terms: int | None = None,
        k: int = 1000,
        reach: float = 1.0,
        two_phase: float | None = None,
        candidates: int = CANDIDATES,
    ) -> Self:
        """A retriever over a corpus, by an index that the session's cache holds or is given now (without: in memory).

        Args:
            corpus: The documents.
            session: Its cache keeps the index.
            model: A sparse encoder; see `SparseEncoder`, also for `activation`, `prune_ratio` and `top_terms`.
            queries: Folder of `tokenizer.json` and `idf.json`, or an adapter, for inference-free queries; by default
                the model itself encodes queries.
            activation: What is done to logits.
            prune_ratio: Weights of documents up to this share of the largest are dropped.
            top_terms: Terms of a document that are kept.
            k: As for the constructor.
            reach: As for the constructor.
            two_phase: As for the constructor.
            candidates: As for the constructor.

        Raises:
            NotFoundError: The model, or a file of `queries`, is not to be had.
            DataError: A document is longer than the model reads, and the session's policy is `error`.
        """
        limits: dict[str, Any] = {"prune_ratio": prune_ratio, "top_terms": top_terms}
        encoder = SparseEncoder(model, activation=activation, stage=cls.name, **limits)
        encoder.resolve(session)
        asking: TermEncoder = encoder if queries is None else InferenceFreeEncoder(queries)
        params: dict[str, Any] = {"queries": asking, "k": k, "reach": reach}
        params.update(two_phase=two_phase, candidates=candidates)
        if session.cache is None:
            return cls.of(corpus, encoder, session=session, **params)
        path = session.cache.index_directory(
            cls.name, digest(FORMAT, VERSION, impact_segment.VERSION, SCALE, encoder, corpus, session.dtype)
        )
        stage = opened_or_built(
            path,
            lambda there: cls.open(there, corpus=corpus, **params),
            lambda there: cls.build(corpus, there, encoder, session=session, **params),
        )
        for (
            note
        ) in stage.index_ledger.notes:  # an index that was built under another policy; raises if this one says so
            truncation_note(session, stage=cls.name, tokens=note.amount, doc_id=note.detail)
        return stage

    # --- a stage ---------------------------------------------------------------------------------------------

    @property
    def documents(self) -> Documents | None:
        """The corpus."""
        return self.corpus

    @property
    def model_name(self) -> str:
        """The model that encodes queries; empty for inference-free ones."""
        return self.queries.model if isinstance(self.queries, SparseEncoder) else ""

    @property
    def index_bytes(self) -> int:
        """Bytes of the index."""
        return self.index.nbytes

    @property
    def index_ledger(self) -> Ledger:
        """What happened when the corpus was encoded: how many documents were longer than the model reads."""
        cut, tokens = (int(self.index.about.get(name, "0")) for name in ("truncated_documents", "truncated_tokens"))
        note = Note(self.name, "truncated", amount=tokens, detail=f"the ends of {cut} documents were not read")
        return Ledger((note,) if cut else ())

    def warm_up(self, session: Session | None = None) -> None:
        """Load the model of queries and the compiled kernels."""
        if self.queries is not None:
            self.queries.encode(["warm up"], role="query", session=session or Session())
        self.index.search_impacts([{"": 1.0}], 1)

    def close(self) -> None:
        """Free the model."""
        if isinstance(self.queries, SparseEncoder):
            self.queries.close()

    def __call__(self, run: Run) -> Run:
        """The best k documents of every query; a query that finds none is noted in the ledger."""
        encoded = self.query_terms(run.queries, run.session)
        notes = truncation_notes(run.session, run.queries, encoded.truncated, stage=self.name)
        unit = float(self.index.about["scale"])
        weights = [{term: weight / unit for term, weight in terms.items()} for terms in encoded.terms]
        hits, lossy = self._search(weights)
        counts = np.diff(hits.offsets).tolist()
        for query, asked, count, approximate in zip(run.queries, weights, counts, lossy, strict=True):
            if not asked:
                notes.append(Note(self.name, "empty_query", query.id, detail="nothing is left after encoding"))
            elif not count:
                notes.append(Note(self.name, "no_hits", query.id, detail="no document holds a term of it"))
            if approximate:
                notes.append(Note(self.name, "approximate", query.id, detail="light terms have chosen no document"))
            if self.reach < 1.0 and asked:
                notes.append(Note(self.name, "approximate", query.id, detail=f"reach is {self.reach:g}, below 1"))
        typed = replace(run, queries=tuple(query.as_typed() for query in run.queries))
        found = typed.ranked(Ranking(self.index.ids, *hits)).noted(*notes)
        if not encoded.calls:  # no model has run
            return found
        return found.counted(inputs=len(run), calls=encoded.calls, tokens=int(encoded.tokens.sum()))

    def _search(self, weights: Sequence[Terms]) -> tuple[Hits, list[bool]]:
        """The hits, and for each query whether some may have been left out."""
        if self.two_phase is None:
            return self.index.search_impacts(weights, self.k, reach=self.reach), [False] * len(weights)
        phases = TwoPhases(self.two_phase, self.candidates)
        return search_in_two_phases(self.index, weights, self.k, phases, reach=self.reach)

    def _check_candidates(self) -> None:
        """Refuse candidates that two phases could not do with, or that nothing reads."""
        if self.two_phase is None and self.candidates != CANDIDATES:
            raise UsageError(
                "candidates has no effect without two_phase", stage=self.name, value=self.candidates, fix="leave it out"
            )
        if self.two_phase is not None and self.candidates < self.k:
            raise UsageError(
                "candidates is out of range", stage=self.name, value=self.candidates, accepted=f"at least k, {self.k}"
            )

    def score_parts(self, query: Query, doc_id: str, session: Session) -> ScoreParts | None:
        """What each term adds to the score of a document; see `ScoreExplainer`."""
        code = self.index.ids.find(doc_id)
        if code is None:
            return None
        asked, values = self.query_terms([query], session).terms[0], self.index.term_vector(code)
        unit = float(self.index.about["scale"])
        weights = {term: (np.float32(weight / unit), np.float32(0)) for term, weight in asked.items()}
        parts: list[TermPart] = []
        total = 0.0
        for term, (weight, _) in in_order(weights):
            if term in values and weight:
                part = float(weight * np.float32(values[term]))  # as the kernels compute it
                total += part
                parts.append(TermPart(term, asked[term], values[term] / unit, None, part))
        terms = parts_in_order(parts)
        return ScoreParts(self.name, doc_id, float(np.float32(total)), terms, missing_terms(asked, terms))

    # --- what feedback reads -----------------------------------------------------------------------------------

    @property
    def document_count(self) -> int:
        """How many documents the index holds."""
        return len(self.index)

    def query_terms(self, queries: Sequence[Query], session: Session) -> SparseEncoded:
        """Weighted terms of each query; the encoder sees only texts of queries without terms."""
        terms: list[Terms] = [query.terms or {} for query in queries]
        tokens, truncated = np.zeros(len(queries), dtype=np.int64), np.zeros(len(queries), dtype=np.int64)
        texts = [place for place, query in enumerate(queries) if query.terms is None and query.text.strip()]
        calls = 0
        if texts:
            if self.queries is None:
                raise UsageError(
                    "nothing makes terms of query texts",
                    stage=self.name,
                    value=queries[texts[0]].id,
                    fix="pass queries=, or put StoredTerms before it, and once more before feedback",
                )
            some = self.queries.encode([queries[place].text for place in texts], role="query", session=session)
            for place, found in zip(texts, some.terms, strict=True):
                terms[place] = found
            tokens[texts], truncated[texts], calls = some.tokens, some.truncated, some.calls
        return SparseEncoded(terms, tokens, truncated, calls)

    def term_vectors(self, doc_ids: Sequence[str]) -> list[Terms | None]:
        """Terms and weights of each document, in the model's own unit; None for one that the index does not hold."""
        codes = self.index.ids.codes(doc_ids)
        vectors, unit = iter(self.index.term_vectors(codes[codes >= 0])), float(self.index.about["scale"])
        return [
            None if code < 0 else {term: value / unit for term, value in next(vectors).items()}
            for code in codes.tolist()
        ]

    def document_frequencies(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """In how many documents each term has a weight, int64 of shape (terms,)."""
        return self.index.document_frequencies(terms)


def _about(corpus: Corpus, encoder: TermEncoder, shards: Iterable[SparseShard]) -> dict[str, str]:
    """What an index is made of; goes through all shards."""
    cut, tokens = 0, 0
    for shard in shards:
        cut += int(np.count_nonzero(shard.truncated))
        tokens += int(shard.truncated.sum())
    return {
        "corpus": corpus.fingerprint(),
        "encoder": encoder.fingerprint(),
        "model": encoder.space if isinstance(encoder, SparseEncoder) else "",
        "scale": str(SCALE),
        "truncated_documents": str(cut),
        "truncated_tokens": str(tokens),
    }


def _all_impacts(corpus: Corpus, shards: Iterable[SparseShard]) -> Iterator[ImpactBatch]:
    """The impacts of every document, shards in the order of the corpus."""
    start = 0
    for shard in shards:
        codes = range(start, start + len(shard.terms))
        yield impacts_of(vectors_of([corpus.ids[code] for code in codes], shard.terms), SCALE)
        start = codes.stop
