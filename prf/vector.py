"""Vector feedback: the query vector moved towards the vectors of the documents found first."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import between, choice, whole
from rankloom.encoders import truncation_notes
from rankloom.errors import CompositionError, UsageError
from rankloom.ledger import Note
from rankloom.records import Query
from rankloom.run import Run
from rankloom.sources import VectorSource
from rankloom.stage import Feedback, Retriever

Method = Literal["average", "rocchio"]
Vector = NDArray[np.float32]
_PUBLISHED_DOCS = {"average": 3, "rocchio": 5}
_LARGEST_WEIGHT = 1e6  # only keeps infinity and NaN out


class VectorPRF(Feedback):
    """Replace each query vector by a mixture of it and the vectors of its best documents (Li et al., TOIS 2023).

    - `average`: the mean of the query vector and the document vectors; the query counts as one of `docs + 1`.
    - `rocchio`: `alpha` times the query vector, plus `beta` times the mean of the best `docs` documents, minus
      `gamma` times the mean of the last `negatives` documents of the ranking (never any of the best).

    No model is called for the documents: their vectors are read from the index. A query without a vector is encoded
    (again, where the first stage has done so), which is counted. The result is not normalised again, as in Pyserini.
    A query without feedback (it is blank, nothing was found, the index holds none of its best documents) keeps its
    vector and is noted as `no_feedback`. A document that the index does not hold is left out of its mean and noted as
    `unread_document`.

    Args:
        docs: Feedback documents; by default 3 for `average` and 5 for `rocchio` (Pyserini's recommended settings).
        method: `average` or `rocchio`.
        alpha: For `rocchio`: weight of the query, 0.4 by default (Pyserini's recommended setting, as the next).
        beta: For `rocchio`: weight of the best documents, 0.6 by default.
        gamma: For `rocchio`: weight of the last documents.
        negatives: For `rocchio`: how many of the last documents.
        retriever: Whose index is read; by default the retriever that follows in the pipeline.

    Raises:
        UsageError: A parameter is out of range, or belongs to the other method, or one of `gamma` and `negatives` is
            given without the other.

    Example:
        >>> VectorPRF().docs, VectorPRF(method="rocchio").beta
        (3, 0.6)
    """

    name = "vector_prf"
    provides = frozenset({"vectors"})
    accepts = frozenset({"vectors"})
    reads = VectorSource

    def __init__(
        self,
        *,
        docs: int | None = None,
        method: Method = "average",
        alpha: float | None = None,
        beta: float | None = None,
        gamma: float = 0.0,
        negatives: int = 0,
        retriever: Retriever | None = None,
    ) -> None:
        choice(method, get_args(Method), stage=self.name, parameter="method")
        self.docs = whole(_PUBLISHED_DOCS[method] if docs is None else docs, least=1, stage=self.name, parameter="docs")
        self.method: Method = method
        self.alpha = self._weight("alpha", alpha, 0.4)
        self.beta = self._weight("beta", beta, 0.6)
        self.gamma = between(gamma, 0, _LARGEST_WEIGHT, stage=self.name, parameter="gamma")
        self.negatives = whole(negatives, least=0, stage=self.name, parameter="negatives")
        self.retriever = retriever
        if (gamma or negatives) and not (method == "rocchio" and gamma and negatives):
            raise UsageError(
                "gamma weighs the negatives of method rocchio",
                stage=self.name,
                value={"method": method, "gamma": gamma, "negatives": negatives},
                fix="give both gamma and negatives, with method='rocchio', or neither",
            )

    def __call__(self, run: Run) -> Run:
        """The queries with new vectors; the ranking is used up.

        Raises:
            CompositionError: There is no ranking, or no retriever over vectors to read from.
        """
        source = self._source()
        ranking = run.hits(stage=self.name)
        searched = [query for query in run.queries if not query.blank]
        encoded = source.encode_queries(searched, run.session)
        vectors = iter(encoded.vectors)
        queries: list[Query] = []
        notes = truncation_notes(run.session, searched, encoded.truncated, stage=self.name)
        for number, query in enumerate(run.queries):
            if query.blank:  # a vector would turn it into a query that finds something
                queries.append(query)
                notes.append(self._note(query, "the query is empty"))
                continue
            moved, remarks = self._moved(query, next(vectors), ranking.doc_ids(number), source)
            queries.append(query.with_vector(source.space, moved))
            notes.extend(remarks)
        after = run.rewritten(queries).noted(*notes)
        return after.counted(inputs=len(run), calls=encoded.calls, tokens=int(encoded.tokens.sum()))

    @property
    def model_name(self) -> str:
        """The model that encodes queries."""
        return "" if self.retriever is None else self.retriever.model_name

    def _source(self) -> VectorSource:
        """The index that is read."""
        if not isinstance(self.retriever, VectorSource):
            raise CompositionError(
                "has no index to read vectors from",
                stage=self.name,
                value=self.retriever,
                accepted="a retriever that is a VectorSource, such as Dense",
                fix="put a retriever over vectors after it, or pass retriever=",
            )
        return self.retriever

    def _moved(self, query: Query, vector: Vector, found: list[str], source: VectorSource) -> tuple[Vector, list[Note]]:
        """A query's new vector, and what is to be said of it."""
        if not found:
            return vector, [self._note(query, "no document was found")]
        best = found[: self.docs]
        last = found[max(self.docs, len(found) - self.negatives) :]
        stored, held = source.document_vectors(best + last)
        notes = [
            Note(self.name, "unread_document", query.id, doc_id, detail="the index does not hold it")
            for doc_id, known in zip(best + last, held.tolist(), strict=True)
            if not known
        ]
        cut = len(best)
        positive, negative = stored[:cut][held[:cut]], stored[cut:][held[cut:]]
        if not len(positive):
            return vector, [*notes, self._note(query, "the index holds none of the documents")]
        return self._mixture(vector, positive, negative), notes

    def _mixture(self, vector: Vector, positive: Vector, negative: Vector) -> Vector:
        """The formula of the method, in double precision."""
        if self.alpha is None or self.beta is None:  # the average: each of count + 1 vectors counts the same
            count = len(positive)
            alpha, beta = 1 / (count + 1), count / (count + 1)
        else:
            alpha, beta = self.alpha, self.beta
        mixture = alpha * vector.astype(np.float64) + beta * positive.mean(axis=0, dtype=np.float64)
        if len(negative):
            mixture -= self.gamma * negative.mean(axis=0, dtype=np.float64)
        return np.asarray(mixture, dtype=np.float32)

    def _weight(self, parameter: str, value: float | None, published: float) -> float | None:
        """A weight of Rocchio's formula; the average has none."""
        if self.method == "rocchio":
            return between(
                published if value is None else value, 0, _LARGEST_WEIGHT, stage=self.name, parameter=parameter
            )
        if value is not None:
            raise UsageError(
                f"{parameter} belongs to another method",
                stage=self.name,
                value=value,
                fix=f"pass method='rocchio', or {parameter}=None",
            )
        return None

    def _note(self, query: Query, reason: str) -> Note:
        """Why a query has no feedback."""
        return Note(self.name, "no_feedback", query.id, detail=reason)
