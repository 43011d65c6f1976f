"""Held-out queries and the documents they are measured among."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankloom.training.pairs import SourceTexts

_CUT = 10
NAME = "held_out"
_PROMPTS = {"query": ("query",), "document": ("document", "passage", "corpus")}  # as rankloom.encoders reads them


class Pool:
    """Held-out queries, relevant documents, and others; all documents make one pool.

    Attributes:
        queries: Texts by id.
        documents: Texts by id.
        relevant: The relevant documents of each query that are in the pool.
        candidates: What the first stage has found for each query, the best first.
        known: All documents that are known to be relevant to each query: other queries may bring some into the pool.
    """

    def __init__(self) -> None:
        self.queries: dict[str, Any] = {}  # texts; the library takes more
        self.documents: dict[str, Any] = {}
        self.relevant: dict[str, set[str]] = {}
        self.candidates: dict[str, list[str]] = {}
        self.known: dict[str, set[str]] = {}

    def __len__(self) -> int:
        """How many queries there are."""
        return len(self.queries)

    def add(self, source: SourceTexts, query_id: str, doc_ids: Iterable[str]) -> None:
        """Add a held-out query of a source, with its best relevant documents.

        Args:
            source: Its texts and judgements.
            query_id: The query.
            doc_ids: Documents that it is measured among besides.
        """
        name = source.source.name
        text = next(query.text for query in source.held_out if query.id == query_id)
        grades = source.relevant_to(query_id)
        best = sorted(grades, key=lambda doc_id: (-grades[doc_id], doc_id))[:_CUT]
        found = list(doc_ids)
        among = list(dict.fromkeys([*best, *found]))
        self.put(name, query_id, text, [doc_id for doc_id in among if doc_id in grades])
        self.known[f"{name}\t{query_id}"] = {f"{name}\t{doc_id}" for doc_id in grades}
        self.candidates[f"{name}\t{query_id}"] = [f"{name}\t{doc_id}" for doc_id in found]
        for document in source.corpus.get(among):
            self.documents[f"{name}\t{document.id}"] = document.contents

    def put(self, source: str, query_id: str, text: str, relevant: Iterable[str]) -> None:
        """Add a query whose documents come into the pool otherwise."""
        self.queries[f"{source}\t{query_id}"] = text
        self.relevant[f"{source}\t{query_id}"] = {f"{source}\t{doc_id}" for doc_id in relevant}
        self.known[f"{source}\t{query_id}"] = self.relevant[f"{source}\t{query_id}"]

    def relevant_among_all(self) -> dict[str, set[str]]:
        """Relevant documents of each query among all of the pool, whichever query has brought them."""
        return {query: {one for one in known if one in self.documents} for query, known in self.known.items()}


def prompts_of(encoder: Any) -> dict[str, str]:
    """What an encoder wants before a `query` and a `document`; a role that wants nothing is left out."""
    found = {
        role: next((encoder.prompts[name] for name in names if encoder.prompts.get(name)), "")
        for role, names in _PROMPTS.items()
    }
    return {role: prompt for role, prompt in found.items() if prompt}


def evaluator(encoder: Any, pool: Pool) -> Any:
    """The evaluator of sentence-transformers for a pool.

    Args:
        encoder: A `SentenceTransformer` or `MultiVectorEncoder`.
        pool: Queries and documents.
    """
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.evaluation import MultiVectorInformationRetrievalEvaluator
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    prompts, late = prompts_of(encoder), isinstance(encoder, MultiVectorEncoder)
    kind = MultiVectorInformationRetrievalEvaluator if late else InformationRetrievalEvaluator
    return kind(
        queries=pool.queries,
        corpus=pool.documents,
        relevant_docs=pool.relevant_among_all(),
        ndcg_at_k=[_CUT],
        accuracy_at_k=[1],
        precision_recall_at_k=[_CUT],
        mrr_at_k=[_CUT],
        map_at_k=[_CUT],
        query_prompt=prompts.get("query"),
        corpus_prompt=prompts.get("document"),
        name=NAME,
        write_csv=False,
        show_progress_bar=False,
    )


def metric(encoder: Any) -> str:
    """The name of the measure that the best checkpoint is chosen by."""
    return f"{NAME}_{encoder.similarity_fn_name}_ndcg@{_CUT}"


def measured(encoder: Any, pool: Pool) -> dict[str, float]:
    """`nDCG@10`, `MRR@10` and `R@10` of an encoder; nothing if no query was held out."""
    if not len(pool):
        return {}
    training = encoder.training
    encoder.eval()
    found = evaluator(encoder, pool)(encoder)
    encoder.train(training)
    names = {"nDCG@10": f"ndcg@{_CUT}", "MRR@10": f"mrr@{_CUT}", "R@10": f"recall@{_CUT}"}
    return {name: round(found[f"{NAME}_{encoder.similarity_fn_name}_{measure}"], 4) for name, measure in names.items()}
