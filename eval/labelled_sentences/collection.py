"""Labelled sentences as what collections are made of: queries, judgements, documents and offsets of sentences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rankloom.errors import DataError
from rankloom.eval.labelled_sentences.articles import answering_sentences, read_articles
from rankloom.eval.labelled_sentences.files import LabelledFile, read_labelled_noted
from rankloom.eval.labelled_sentences.text import STAGE, LabelledText
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
