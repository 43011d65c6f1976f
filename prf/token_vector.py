"""ColBERT-PRF: a query of token vectors, with those of its best documents that say most added to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import between, choice, whole
from rankloom.encoders import truncation_notes
from rankloom.errors import CompositionError, DataError
from rankloom.ledger import Note
from rankloom.records import Query
from rankloom.run import Run
from rankloom.sources import TokenSource
from rankloom.stage import NO_TRAITS, Feedback, Retriever, Then

Vectors = NDArray[np.float32]
_LARGEST_WEIGHT = 1e6  # only keeps infinity and NaN out


class ColBERTPRF(Feedback):
    """Add the means of clusters of its best documents' token vectors to each query (Wang et al., ICTIR 2021).

    The token vectors of the best documents are put into `clusters` clusters. A cluster stands for the token that most
    of its vectors belong to, and weighs that token's idf, `log((N + 1) / (n + 1))`. The `vectors` heaviest clusters
    are added to the query; each adds `beta` times its weight times its largest product with a document's vectors to
    MaxSim. As weights are not negative, a mean times its weight says the same as a weighted mean, so that any search
    by MaxSim can read the new query. (In the paper, a cluster's token is that of the index's vectors nearest to its
    mean; here, of the cluster itself.) A mean of weight 0, such as that of [CLS], which all documents have, is left
    out. No model is called for documents, but their texts are tokenised; those of the whole corpus the first time, to
    count in how many documents a token is.

    A query without feedback (it is blank, nothing was found, the documents have no vectors, no token weighs anything)
    keeps its vectors and is noted as `no_feedback`; a document that the index does not hold as `unread_document`, one
    without vectors as `empty_document`.

    Args:
        docs: Feedback documents (the paper: 3).
        clusters: Clusters of their token vectors (the paper: 24); fewer where there are fewer vectors.
        vectors: How many means are added to a query (the paper: 10).
        beta: Weight of what is added (the paper: 1).
        then: What follows: `retrieve`, for which the ranking is dropped, or `rerank`, by `StoredTokenVectors`.
        retriever: Whose index is read; by default that of the retriever or reranker that follows in the pipeline.

    Raises:
        UsageError: A parameter is out of range.
        CompositionError: The retriever does not keep a vector for each token.

    Example:
        >>> ColBERTPRF().clusters
        24
    """

    name = "colbert_prf"
    provides = frozenset({"vectors"})
    accepts = frozenset({"vectors"})
    reads = TokenSource
    requires = ("torch",)

    def __init__(
        self,
        *,
        docs: int = 3,
        clusters: int = 24,
        vectors: int = 10,
        beta: float = 1.0,
        then: Then = "retrieve",
        retriever: Retriever | None = None,
    ) -> None:
        self.docs = whole(docs, least=1, stage=self.name, parameter="docs")
        self.clusters = whole(clusters, least=1, stage=self.name, parameter="clusters")
        self.vectors = whole(vectors, least=1, stage=self.name, parameter="vectors")
        self.beta = between(beta, 0, _LARGEST_WEIGHT, stage=self.name, parameter="beta")
        choice(then, get_args(Then), stage=self.name, parameter="then")
        self.then: Then = then
        self.drops = NO_TRAITS if then == "rerank" else Feedback.drops
        self.retriever = retriever

    def __call__(self, run: Run) -> Run:
        """The queries with more vectors.

        Raises:
            CompositionError: There is no ranking, or no retriever to read from.
            UsageError: Vectors of the index are means of several tokens.
        """
        source, best = self._source(), run.hits(stage=self.name).top(self.docs)
        asked = [number for number, query in enumerate(run.queries) if not query.blank]
        searched = [run.queries[number] for number in asked]
        encoded = source.encode_queries(searched, run.session)
        notes = truncation_notes(run.session, searched, encoded.truncated, stage=self.name)
        notes += [self._note(query, "the query is empty") for query in run.queries if query.blank]
        found = [best.doc_ids(number) for number in asked]
        read = _Read(source, {doc_id for doc_ids in found for doc_id in doc_ids}, run)
        queries = list(run.queries)
        for number, own, doc_ids in zip(asked, encoded.vectors, found, strict=True):
            added, remarks = self._added(run.queries[number], doc_ids, read)
            queries[number] = run.queries[number].with_vector(source.space, np.concatenate([own, added]))
            notes += remarks
        after = run.rewritten(queries, keep=self.then == "rerank").noted(*notes)
        return after.counted(inputs=len(run), calls=encoded.calls, tokens=int(encoded.tokens.sum()))

    @property
    def model_name(self) -> str:
        """The model that encodes queries."""
        return "" if self.retriever is None else self.retriever.model_name

    def _source(self) -> TokenSource:
        """The index that is read."""
        if not isinstance(self.retriever, TokenSource):
            raise CompositionError(
                "has no index to read token vectors from",
                stage=self.name,
                value=self.retriever,
                accepted="a retriever that is a TokenSource, such as MultiVector",
                fix="put one after it, or pass retriever=",
            )
        return self.retriever

    def _added(self, query: Query, doc_ids: Sequence[str], read: _Read) -> tuple[Vectors, list[Note]]:
        """The vectors that a query gets, and what is to be said of it."""
        notes = [self._unread(query, doc_id, read) for doc_id in doc_ids if not len(read.vectors[doc_id])]
        rows = np.concatenate([read.none, *(read.vectors[doc_id] for doc_id in doc_ids)])
        tokens = [token for doc_id in doc_ids for token in read.tokens[doc_id]]
        if not len(rows):
            reason = "the documents have no vectors" if doc_ids else "no document was found"
            return read.none, [*notes, self._note(query, reason)]
        means = cluster_means_of(rows, self.clusters)
        weights = np.array([self.beta * read.idf[token] for token in likely_tokens(rows, tokens, means)])
        chosen = np.argsort(-weights, kind="stable")[: self.vectors]
        chosen = chosen[weights[chosen] > 0]
        if not len(chosen):
            return read.none, [*notes, self._note(query, "no token of the documents weighs anything")]
        return (weights[chosen, None] * means[chosen]).astype(np.float32), notes

    def _unread(self, query: Query, doc_id: str, read: _Read) -> Note:
        """Why a document says nothing."""
        if doc_id in read.held:
            return Note(self.name, "empty_document", query.id, doc_id, detail="the index holds no vector of it")
        return Note(self.name, "unread_document", query.id, doc_id, detail="the index does not hold it")

    def _note(self, query: Query, reason: str) -> Note:
        """Why a query has no feedback."""
        return Note(self.name, "no_feedback", query.id, detail=reason)


class _Read:
    """What is known of the feedback documents of all queries, read at once.

    Args:
        source: The index.
        doc_ids: The documents.
        run: Whose session says how to tokenise.
    """

    def __init__(self, source: TokenSource, doc_ids: set[str], run: Run) -> None:
        ordered = sorted(doc_ids)
        vectors, held = source.document_token_vectors(ordered)
        self.none = np.zeros((0, vectors.dimensions), dtype=np.float32)
        self.held = {doc_id for doc_id, known in zip(ordered, held.tolist(), strict=True) if known}
        self.vectors: Mapping[str, Vectors] = dict(zip(ordered, vectors, strict=True))
        self.tokens = dict(zip(ordered, source.document_tokens(ordered, run.session), strict=True))
        for doc_id, own in self.tokens.items():
            if len(own) != len(self.vectors[doc_id]):
                raise DataError(
                    f"{doc_id} has {len(self.vectors[doc_id])} vectors and {len(own)} tokens",
                    stage=ColBERTPRF.name,
                    fix="build the index again from the corpus as it is now",
                )
        seen = sorted({token for own in self.tokens.values() for token in own})
        counts = source.token_document_frequencies(seen, run.session)
        weights = np.log((source.document_count + 1) / (counts + 1)).tolist()
        self.idf: Mapping[str, float] = dict(zip(seen, weights, strict=True))


def cluster_means_of(rows: Vectors, clusters: int) -> Vectors:
    """The means of the clusters of some vectors, by k-means of `rankloom.reduction`; the vectors, if few."""
    import torch

    from rankloom.reduction.kmeans import cluster_means

    count = min(clusters, len(rows))
    some, mask = torch.from_numpy(rows)[None], torch.ones((1, len(rows)), dtype=torch.bool)
    means, found = cluster_means(some, mask, torch.tensor([count]), width=count, normalize=False)
    kept: Vectors = means[found].numpy()
    return kept


def likely_tokens(rows: Vectors, tokens: Sequence[str], means: Vectors) -> list[str]:
    """For each mean, the token of most of the vectors that are nearest to it; of as frequent ones the first."""
    distances = (means.astype(np.float64) ** 2).sum(axis=1) - 2 * rows.astype(np.float64) @ means.astype(np.float64).T
    nearest = distances.argmin(axis=1)
    found = []
    for number in range(len(means)):
        members = Counter(tokens[place] for place in np.flatnonzero(nearest == number).tolist())
        closest = tokens[int(distances[:, number].argmin())]  # of a mean that is nearest to none
        found.append(min(members, key=lambda token: (-members[token], token)) if members else closest)
    return found
