"""Labelled sentences as what collections are made of: queries, judgements, documents and offsets of sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rankloom.corpus import Corpus
from rankloom.errors import DataError
from rankloom.eval.labelled_sentences.articles import answering_sentences, read_articles
from rankloom.eval.labelled_sentences.files import LabelledFile, read_labelled_noted
from rankloom.eval.labelled_sentences.text import STAGE, LabelledText
from rankloom.eval.queries import same_words
from rankloom.eval.sentence_labels import Offsets, Sentences
from rankloom.eval.sources import Judged
from rankloom.eval.squad import read_squad
from rankloom.ledger import Note
from rankloom.qrels import Qrels
from rankloom.records import Document, Query


class LabelledCollection(NamedTuple):
    """What a collection is made of.

    Args:
        judged: The queries; a text with a relevant sentence has grade 1, another text of the query grade 0.
        documents: The texts, each once.
        sentences: Query id -> document id -> start and end of its relevant sentences.
    """

    judged: Judged
    documents: list[Document]
    sentences: Sentences


def read_labelled_collection(found: LabelledFile) -> LabelledCollection:
    """The queries, texts and labels of a file.

    Questions about articles in SQuAD's format keep their answers, and those whose answers can not be found in an
    article are queries, too, without a relevant sentence there.

    Raises:
        DataError: A malformed record, or two texts of one id.
    """
    if found.format.read is not read_articles:
        return _of_texts(*read_labelled_noted(found))
    judged, articles = read_squad(found.path, found.split)
    labelled = answering_sentences(judged, articles)
    judged = Judged(judged.queries, judged.qrels, (*judged.notes, *labelled.notes))
    return LabelledCollection(judged, articles, _offsets(labelled.texts))


class LaidLabels(NamedTuple):
    """Labels of a file for questions and texts that another collection holds.

    Args:
        sentences: Query id -> document id -> start and end of its relevant sentences.
        documents: The texts that the labels are of.
        unlabelled: Queries of the collection that the file does not know.
        notes: What was passed over when the file was read, and questions that the collection does not ask.
    """

    sentences: Sentences
    documents: list[Document]
    unlabelled: list[str]
    notes: tuple[Note, ...]

    def checked(self, corpus: Corpus) -> Corpus:
        """The corpus, if it holds all labelled texts, each as the file has it.

        Raises:
            DataError: It lacks one, or has another text under its id.
        """
        held = corpus.get([document.id for document in self.documents])
        for ours, theirs in zip(self.documents, held, strict=True):
            if ours.text != theirs.text:
                problem = "a labelled text reads otherwise in the corpus, so that labels would mark other sentences"
                raise DataError(problem, stage=STAGE, value=ours.id)
        return corpus


def lay_labels(found: LabelledFile, queries: Sequence[Query]) -> LaidLabels:
    """The labels of a file, for the queries of a collection that has the same ids.

    Raises:
        DataError: A malformed record; a query that asks something else than the file's of its id; or no query of the
            file is among them.
    """
    read = read_labelled_collection(found)
    asked, theirs = {query.id: query for query in queries}, {query.id: query for query in read.judged.queries}
    shared = [query_id for query_id in asked if query_id in theirs]
    if not shared:
        problem = f"no query of {found.name} is one of the collection"
        raise DataError(problem, stage=STAGE, value=next(iter(theirs), ""), accepted="a file with the collection's ids")
    for query_id in shared:
        if same_words(asked[query_id].text) != same_words(theirs[query_id].text):
            problem = f"a query of {found.name} asks something else in the collection"
            raise DataError(problem, stage=STAGE, value=query_id)
    sentences = {query_id: read.sentences[query_id] for query_id in shared if query_id in read.sentences}
    labelled = {doc_id for texts in sentences.values() for doc_id in texts}
    notes = [
        Note(STAGE, "skipped_record", query_id, detail="the collection does not ask this")
        for query_id in theirs
        if query_id not in asked
    ]
    return LaidLabels(
        sentences,
        [document for document in read.documents if document.id in labelled],
        [query_id for query_id in asked if query_id not in theirs],
        (*read.judged.notes, *notes),
    )


def _of_texts(texts: list[LabelledText], notes: tuple[Note, ...]) -> LabelledCollection:
    """Queries, judgements and documents of labelled texts."""
    queries: dict[str, Query] = {}
    documents: dict[str, Document] = {}
    qrels: Qrels = {}
    for text in texts:
        query, document = Query(text.query_id, text.question), Document(text.doc_id, text.text, text.title)
        if queries.setdefault(query.id, query).text != query.text:
            raise DataError("two questions have the same id", stage=STAGE, value=query.id)
        if documents.setdefault(document.id, document) != document:
            raise DataError("two texts have the same id", stage=STAGE, value=document.id)
        qrels.setdefault(query.id, {})[document.id] = int(bool(text.relevant))
    return LabelledCollection(Judged(tuple(queries.values()), qrels, notes), list(documents.values()), _offsets(texts))


def _offsets(texts: Iterable[LabelledText]) -> dict[str, dict[str, Offsets]]:
    """Query id -> document id -> offsets, of texts with a relevant sentence."""
    found: dict[str, dict[str, Offsets]] = {}
    for text in texts:
        if text.relevant:
            found.setdefault(text.query_id, {})[text.doc_id] = text.offsets()
    return found
