"""A first stage that knows the judgements: each query gets the documents that were judged for it.

What comes after it can then be measured by itself. A pruner of sentences, for example, reads just the texts whose
sentences are labelled, whatever a retriever would have found.
"""

from __future__ import annotations

from collections.abc import Mapping

from rankloom.checks import whole
from rankloom.corpus import Corpus
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.ranking import Ranking
from rankloom.records import Documents
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Retriever


class JudgedDocuments(Retriever):
    """Give each query the documents that were judged for it, in the order of their ids, all with the score 0.

    It is no retriever to compare others with: it has seen what they are measured by. Fused with one, as
    `{rrf: {inputs: [judged, {bm25: {k: 5}}]}}`, it gives the judged documents among others. In YAML the judgements are
    those of the experiment's collection.

    Args:
        corpus: Where the documents are.
        qrels: Query id -> document id -> grade, such as `Collection.qrels`.
        least: Least grade of a document; 0 for all that were judged, relevant or not.
        k: How many documents a query gets at most.

    Raises:
        UsageError: A parameter is out of range.

    Example:
        >>> from rankloom import Document, Query
        >>> sea = Corpus.of([Document("d1", "The sea."), Document("d2", "The sky.")])
        >>> JudgedDocuments(sea, {"q1": {"d2": 1}}).run(Query("q1", "colour"))["q1"].doc_ids
        ['d2']
    """

    name = "judged"
    grain = "none"  # a lookup by query id, while the cache knows queries by their content

    def __init__(
        self, corpus: Corpus, qrels: Mapping[str, Mapping[str, int]], *, least: int = 0, k: int = 1000
    ) -> None:
        self.corpus, self.qrels = corpus, qrels
        self.least = whole(least, least=0, stage=self.name, parameter="least")
        self.k = whole(k, least=1, stage=self.name, parameter="k")

    @classmethod
    def for_corpus(
        cls,
        corpus: Corpus,
        session: Session | None = None,  # noqa: ARG003  # other retrievers build an index with it
        *,
        qrels: Mapping[str, Mapping[str, int]],
        least: int = 0,
        k: int = 1000,
    ) -> JudgedDocuments:
        """As the constructor."""
        return cls(corpus, qrels, least=least, k=k)

    @property
    def documents(self) -> Documents:
        """The corpus."""
        return self.corpus

    @property
    def index_bytes(self) -> int:
        """There is no index."""
        return 0

    def fingerprint(self) -> str:
        """A digest of judgements, corpus and parameters."""
        return digest(self.name, self.version, self.corpus.fingerprint(), self.qrels, self.least, self.k)

    def __call__(self, run: Run) -> Run:
        """The judged documents of each query; judged ones that the corpus lacks are left out and noted."""
        lists: list[list[tuple[str, float]]] = []
        notes = []
        for query in run.queries:
            if query.blank:
                lists.append([])
                notes.append(Note(self.name, "empty_query", query.id))
                continue
            judged = sorted(doc_id for doc_id, grade in self.qrels.get(query.id, {}).items() if grade >= self.least)
            codes = self.corpus.ids.codes(judged).tolist()
            held = [doc_id for doc_id, code in zip(judged, codes, strict=True) if code >= 0]
            lists.append([(doc_id, 0.0) for doc_id in held[: self.k]])
            if absent := len(judged) - len(held):
                notes.append(Note(self.name, "skipped_record", query.id, amount=absent, detail="not in the corpus"))
            if not held:
                notes.append(Note(self.name, "no_hits", query.id, detail="no document was judged for it"))
        return run.ranked(Ranking.from_lists(lists, stage=self.name)).noted(*notes)
