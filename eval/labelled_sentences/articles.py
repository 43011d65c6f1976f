"""Articles in SQuAD's format (see `rankloom.eval.squad`): the sentences that hold an answer are relevant.

The format has no sentences; they are those of the default splitter. An answer that runs over the end of a sentence
makes both relevant. An article is one long text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from rankloom.eval.labelled_sentences.text import STAGE, LabelledTexts
from rankloom.eval.sources import Judged
from rankloom.eval.squad import read_squad
from rankloom.ledger import Note
from rankloom.records import Document


def read_articles(path: Path, split: str) -> LabelledTexts:
    """The questions about the articles of a split, each with whole articles.

    Raises:
        DataError: See `read_squad`.
    """
    judged, articles = read_squad(path, split)
    found = answering_sentences(judged, articles)
    found.notes[:0] = judged.notes
    return found


def answering_sentences(judged: Judged, articles: Sequence[Document]) -> LabelledTexts:
    """The sentences of articles that hold answers to questions about them.

    An article in which no answer to a question can be found is left out for that question, and noted.

    Args:
        judged: The questions, as `read_squad` gives them.
        articles: The articles.
    """
    from rankloom.rerank.pruning.splitting import SPLITTERS  # here, for stages take long to import

    bounds = {article.id: SPLITTERS["syntok"](article.text) for article in articles}
    sentences = {article.id: _with_spaces(article.text, bounds[article.id]) for article in articles}
    titles = {article.id: article.title for article in articles}
    found = LabelledTexts()
    for query in judged.queries:
        starts, ends = query.metadata["answer_starts"], query.metadata["answer_ends"]
        for doc_id in judged.qrels[query.id]:
            answers = list(zip(starts[doc_id], ends[doc_id], strict=True))
            relevant = [
                place
                for place, (start, end) in enumerate(bounds[doc_id])
                if any(first < end and start < last for first, last in answers)
            ]
            if relevant:
                found.add(
                    query_id=query.id,
                    question=query.text,
                    doc_id=doc_id,
                    title=titles[doc_id],
                    sentences=sentences[doc_id],
                    relevant=relevant,
                    as_they_are=True,
                )
            else:
                detail = "no answer can be found in the article"
                found.notes.append(Note(STAGE, "skipped_record", query.id, doc_id, detail=detail))
    return found


def _with_spaces(text: str, offsets: Sequence[tuple[int, int]]) -> list[str]:
    """Sentences with the spaces after them, the first also with those before."""
    starts = [0, *(start for start, _ in offsets[1:]), len(text)]
    return [text[start:end] for start, end in pairwise(starts)] if offsets else []
