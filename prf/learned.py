"""Learned feedback: a query encoder that reads the query and its best documents, for documents encoded before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, get_args

from rankloom.checks import choice
from rankloom.encoders import Pooling, SentenceEncoder, truncation_notes
from rankloom.errors import CompositionError, UsageError
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.parameter_kinds import ModelName
from rankloom.prf.feedback_encoder import (
    DEFAULT_FEEDBACK_MODEL,
    FeedbackEncoded,
    FeedbackEncoder,
    FeedbackPrecision,
)
from rankloom.prf.feedback_layout import Form
from rankloom.records import Document, Query
from rankloom.run import Run
from rankloom.session import Session
from rankloom.sources import VectorSource
from rankloom.stage import NO_TRAITS, Feedback, Retriever, Then


class LearnedPRF(Feedback):
    """Encode each query anew, with its best documents in the same sequence (ANCE-PRF: Yu et al., CIKM 2021).

    A query encoder was trained to read `q [SEP] d1 [SEP] d2 [SEP] d3` and to give a vector for an index whose document
    vectors stay as they are. It reads the documents' texts, so it calls a model for each query, unlike `VectorPRF`.
    What has no room in the sequence is cut from its end; each document that is not read whole is noted as
    `cut_feedback`, with its tokens. A model's own prompts are not put in.

    A query without feedback (it has no text, nothing was found, the documents are empty) keeps the vector that the
    retriever's own encoder gives it, whose calls stand apart in the ledger, and is noted as `no_feedback`. An empty
    document is left out and noted as `empty_document`; where fewer documents are left than the model was trained with,
    `less_feedback` says how many.
    Documents of equal text count each.

    Args:
        model: An adapter or model of `rankloom train` (recipe kind `prf`), or any other query encoder that was trained
            so: a folder of sentence-transformers or transformers, or ANCE-PRF's checkpoint saved as safetensors.
            `mini/prf`, the default, is for documents encoded by all-MiniLM-L6-v2.
        docs: Feedback documents. A model reads as many as it was trained with (Li et al., ECIR 2022); those of
            `rankloom train` say how many, of others it must be said here.
        form: `separated` for models like BERT and RoBERTa, `tct` for TCT-ColBERT; see `FeedbackLayout`. Default: the
            model's; `separated` for one that says nothing.
        max_tokens: Length of the sequence. Default: the model's; 512 for one that says nothing, as published.
        pooling: How token vectors become one, for a model that does not say: `cls`, `mean`, ... Default: the model's.
        normalize: Whether vectors are brought to length 1, for a model that does not say. Default: where it compares by
            cosine.
        precision: What vectors are computed with: `float32`, `bfloat16`, `auto`. Default: the session's dtype.
        then: What follows: `retrieve`, for which the ranking is dropped, or `rerank`.
        retriever: Whose index the vectors are for; by default the retriever or reranker that follows in the pipeline.

    Raises:
        UsageError: A parameter is out of range; when it runs, also if the model was trained with another number of
            documents, or for the documents of another encoder than the index has.

    Example:
        >>> from rankloom import Corpus, Session
        >>> from rankloom.retrieval import Dense
        >>> corpus = Corpus.of([Document("d1", "Tides follow the moon."), Document("d2", "Bread needs yeast.")])
        >>> session = Session(offline=True)
        >>> dense = Dense.for_corpus(corpus, session)
        >>> (dense >> LearnedPRF() >> dense).search("why does the sea rise", 1, session=session)[0].doc_id
        'd1'
    """

    name = "learned_prf"
    needs = frozenset({"ranking", "text"})
    provides = frozenset({"vectors"})
    accepts = frozenset({"vectors"})
    reads = VectorSource
    requires = ("sentence_transformers",)

    def __init__(
        self,
        model: ModelName = DEFAULT_FEEDBACK_MODEL,
        *,
        docs: int | None = None,
        form: Form | None = None,
        max_tokens: int | None = None,
        pooling: Pooling | None = None,
        normalize: bool | None = None,
        precision: FeedbackPrecision | None = None,
        then: Then = "retrieve",
        retriever: Retriever | None = None,
    ) -> None:
        self.model, self.docs, self.form, self.max_tokens = model, docs, form, max_tokens
        self.pooling, self.normalize, self.precision = pooling, normalize, precision
        choice(then, get_args(Then), stage=self.name, parameter="then")
        self.then: Then = then
        self.drops = NO_TRAITS if then == "rerank" else Feedback.drops
        self.retriever = retriever
        self._encoder = FeedbackEncoder(
            model,
            docs=docs,
            form=form,
            max_tokens=max_tokens,
            pooling=pooling,
            normalize=normalize,
            precision=precision,
            stage=self.name,
        )

    def __call__(self, run: Run) -> Run:
        """The queries with new vectors.

        Raises:
            CompositionError: There is no ranking, nobody knows the texts, or there is no retriever over vectors.
            NotFoundError: The model is not to be had.
            UsageError: The model was trained for something else.
        """
        source = self._source()
        self._check_space(source, run.session)
        docs = self._encoder.layout(run.session).docs
        asked, notes = self._asked(run, docs)
        fed = [one for one in asked if one.documents]
        encoded = self._encoder.encode(
            [one.query.text for one in fed],
            [[document.contents for document in one.documents] for one in fed],
            run.session,
        )
        plain = [one for one in asked if not one.documents]
        own = source.encode_queries([one.query for one in plain], run.session)
        notes += truncation_notes(run.session, [one.query for one in fed], encoded.truncated, stage=self.name)
        notes += truncation_notes(run.session, [one.query for one in plain], own.truncated, stage=self.name)
        notes += self._feedback_notes(fed, encoded, docs)
        queries = list(run.queries)
        for some, vectors in ((fed, encoded.vectors), (plain, own.vectors)):
            for one, vector in zip(some, vectors, strict=True):
                queries[one.number] = one.query.with_vector(source.space, vector)
        after = run.rewritten(queries, keep=self.then == "rerank").noted(*notes)
        after = after.counted(inputs=len(run), calls=encoded.calls, tokens=int(encoded.tokens.sum()))
        if not own.calls:
            return after
        model = "" if self.retriever is None else self.retriever.model_name
        return after.counted(calls=own.calls, tokens=int(own.tokens.sum()), model=model)

    def fingerprint(self) -> str:
        """As for any stage, and of the model's files."""
        return digest(super().fingerprint(), self._encoder.fingerprint())

    def warm_up(self, session: Session | None = None) -> None:
        """Load the model."""
        self._encoder.load(session or Session())

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._encoder.close()

    def _source(self) -> VectorSource:
        """The index that the vectors are for."""
        if not isinstance(self.retriever, VectorSource):
            raise CompositionError(
                "has no index to write vectors for",
                stage=self.name,
                value=self.retriever,
                accepted="a retriever that is a VectorSource, such as Dense",
                fix="put a retriever over vectors after it, or pass retriever=",
            )
        return self.retriever

    def _check_space(self, source: VectorSource, session: Session) -> None:
        """Refuse an index whose documents another encoder has encoded than the model was trained for."""
        said = self._encoder.said(session)
        if said is not None and SentenceEncoder(said.documents, stage=self.name).fingerprint() != source.space:
            named = "" if self.retriever is None else self.retriever.model_name
            raise UsageError(
                f"{self.model} was trained for documents encoded by {said.documents}, as that model does by itself",
                stage=self.name,
                value=f"an index by {named or source.space}",
                accepted=f"an index by {said.documents}",
                fix=f"put dense with model {said.documents} after it, and no prompts or dimensions of your own",
            )

    def _asked(self, run: Run, docs: int) -> tuple[list[_Asked], list[Note]]:
        """The queries that get a vector, with documents that are not empty; and what is to be said of the others."""
        best = run.hits(stage=self.name).top(docs)
        doc_ids = list(dict.fromkeys(doc_id for number in range(len(run)) for doc_id in best.doc_ids(number)))
        documents = dict(zip(doc_ids, run.texts(stage=self.name).get(doc_ids), strict=True))
        asked: list[_Asked] = []
        notes: list[Note] = []
        for number, query in enumerate(run.queries):
            found = [documents[doc_id] for doc_id in best.doc_ids(number)]
            read = [one for one in found if one.contents.strip()]
            notes += [
                Note(self.name, "empty_document", query.id, one.id, detail="it gives no feedback")
                for one in found
                if not one.contents.strip()
            ]
            reason = self._obstacle(query, found, read)
            if reason:
                notes.append(Note(self.name, "no_feedback", query.id, detail=reason))
            if not query.blank:
                asked.append(_Asked(number, query, [] if reason else read))
        return asked, notes

    def _obstacle(self, query: Query, found: Sequence[Document], read: Sequence[Document]) -> str:
        """Why a query has no feedback; empty if it has."""
        if query.blank:
            return "the query is empty"
        if not query.text.strip():
            return "the query has no text"
        if not found:
            return "no document was found"
        return "" if read else "the documents are empty"

    def _feedback_notes(self, fed: Sequence[_Asked], encoded: FeedbackEncoded, docs: int) -> list[Note]:
        """What is to be said of documents that were cut, and of those that the model has missed."""
        notes = []
        for one, cut in zip(fed, encoded.cut, strict=True):
            if len(one.documents) < docs:
                missed = docs - len(one.documents)
                notes.append(Note(self.name, "less_feedback", one.query.id, amount=missed))
            notes += [
                Note(self.name, "cut_feedback", one.query.id, document.id, amount=amount, detail="tokens without room")
                for document, amount in zip(one.documents, cut, strict=True)
                if amount
            ]
        return notes


class _Asked(NamedTuple):
    """A query that gets a vector.

    Args:
        number: Its place in the run.
        query: The query.
        documents: Its feedback documents; none if it has no feedback.
    """

    number: int
    query: Query
    documents: list[Document]
