"""SelQA (Jurczyk et al., ICTAI 2016): questions about sections of Wikipedia, and the sentences that answer them.

A JSON array: `article`, `section`, `question`, `candidates` (the sentences), `answers` (places). A section is a text,
its title that of the article. Questions of the same words are one. Splits are by article; see
`rankloom.eval.article_splits`.
"""

from __future__ import annotations

from pathlib import Path

from rankloom.eval.article_splits import articles_of
from rankloom.eval.labelled_sentences.records import reading, records
from rankloom.eval.labelled_sentences.text import LabelledTexts, page_id
from rankloom.eval.queries import same_words

_ACCEPTED = "article, section, question, candidates, and answers, places of candidates from 0"


def read_selqa(path: Path, split: str) -> LabelledTexts:
    """The questions about the articles of a split; their ids count the questions of the whole file, from 1.

    Raises:
        DataError: A malformed record; names file and record.
    """
    everything = list(records(path))
    articles = []
    for where, record in everything:
        with reading(where, _ACCEPTED):
            articles.append(str(record["article"]))
    own = set(articles_of(articles, split))
    found = LabelledTexts()
    first: dict[str, tuple[str, str]] = {}  # words -> id and wording of the first question of these words
    for number, ((where, record), article) in enumerate(zip(everything, articles, strict=True), start=1):
        with reading(where, _ACCEPTED):
            words = same_words(record["question"])
            query_id, question = first.setdefault(words, (str(number), record["question"]))
            if article in own:
                found.add(
                    query_id=query_id,
                    question=question,
                    doc_id=page_id(f"{article}#{record['section']}"),
                    title=article,
                    sentences=record["candidates"],
                    relevant=record["answers"],
                )
    return found
