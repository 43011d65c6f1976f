"""Queries and documents from a corpus that has neither judgements nor queries: ICT, BFS and WLP.

Lee et al.: Latent Retrieval for Weakly Supervised Open Domain Question Answering, ACL 2019 (arXiv:1906.00300), for ICT;
Chang et al.: Pre-training Tasks for Embedding-based Large-scale Retrieval, ICLR 2020 (arXiv:2002.03932), for all three.
A pair depends on the seed and its own passage or page alone; no pair is given twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from zlib import crc32

import numpy as np

from rankloom.checks import between, whole
from rankloom.corpus import Corpus
from rankloom.records import Document
from rankloom.rerank.pruning import split_sentences
from rankloom.training.pages import Pages

_STAGE = "pretraining_tasks"
_AT_ONCE = 256  # passages that are read at once
_TRIES = 20  # draws for one pair, before a page gives up


@dataclass(frozen=True, slots=True)
class PseudoPair:
    """A query and a document that stands for a relevant one.

    Args:
        query: A sentence.
        document: Title and text of a passage, or of what is left of it.
        query_from: Id of the passage of the sentence.
        document_from: Id of the passage of the document.
        group: The passage (ICT) or page (BFS, WLP) that the pair belongs to.
        shown: What stands for the document among `relevant`.
        relevant: What else the query would be answered by: its passage or page, and pages that link to it.
    """

    query: str
    document: str
    query_from: str
    document_from: str
    group: str
    shown: str
    relevant: frozenset[Hashable]


def inverse_cloze(
    corpus: Corpus,
    *,
    keep: float = 0.1,
    each: int = 1,
    shortest: int = 15,
    seed: int = 7,
    skipped: Counter[str] | None = None,
) -> Iterator[PseudoPair]:
    """ICT: the query is a random sentence of a passage, the document is the rest of the passage.

    Args:
        corpus: The passages; read in a random order.
        keep: How often the sentence stays in the passage; 0.1 as in Lee et al., 0 as in Chang et al.
        each: Pairs of each passage, at most, with different sentences.
        shortest: Characters of a sentence that can be a query, and of a rest that can be a document.
        seed: Of every draw.
        skipped: Counts what gave no pair, and why.

    Raises:
        UsageError: A parameter is out of its range.

    Example:
        >>> corpus = Corpus.of([Document("d1", "The moon pulls the sea. The sea rises.", title="Tides")])
        >>> [(pair.query, pair.document) for pair in inverse_cloze(corpus, keep=0.0)]
        [('The moon pulls the sea.', 'Tides The sea rises.')]
    """
    between(keep, 0, 1, stage=_STAGE, parameter="keep")
    whole(each, least=1, stage=_STAGE, parameter="each")
    counts = Counter[str]() if skipped is None else skipped
    return _each_once(_cloze(corpus, keep=keep, each=each, shortest=shortest, seed=seed, counts=counts), counts)


def body_first(
    corpus: Corpus,
    pages: Pages,
    *,
    each: int = 1,
    shortest: int = 15,
    seed: int = 7,
    skipped: Counter[str] | None = None,
) -> Iterator[PseudoPair]:
    """BFS: the query is a random sentence of a page's first section, the document another passage of the page.

    A passage that holds the sentence is never its document.

    Args:
        corpus: The passages; pages are read in a random order.
        pages: The pages of the corpus.
        each: Pairs of each page, at most.
        shortest: Characters of a sentence that can be a query.
        seed: Of every draw.
        skipped: Counts what gave no pair, and why.

    Raises:
        UsageError: A parameter is out of its range.
    """
    counts = Counter[str]() if skipped is None else skipped

    def sources(page: str) -> list[str]:
        if len(pages.passages[page]) > 1:
            return [page]
        counts["pages of one passage"] += 1
        return []

    return _each_once(_of_pages(corpus, pages, sources, each=each, shortest=shortest, seed=seed, counts=counts), counts)


def link_prediction(
    corpus: Corpus,
    pages: Pages,
    *,
    each: int = 1,
    shortest: int = 15,
    seed: int = 7,
    skipped: Counter[str] | None = None,
) -> Iterator[PseudoPair]:
    """WLP: the query is a random sentence of a page's first section, the document a passage of a page that links to it.

    The link goes from the document's page to the query's: in Chang et al., the document is from another page "where
    there is a hyperlink link to the page of" the query. Any passage of the linking page may be the document, but one
    that holds the sentence.

    Args:
        corpus: The passages; pages are read in a random order.
        pages: The pages of the corpus, with links.
        each: Pairs of each page, at most.
        shortest: Characters of a sentence that can be a query.
        seed: Of every draw.
        skipped: Counts what gave no pair, and why.

    Raises:
        UsageError: A parameter is out of its range.
    """
    counts = Counter[str]() if skipped is None else skipped

    def sources(page: str) -> list[str]:
        linking = pages.linked_from.get(page, [])
        counts["pages that no page links to"] += not linking
        return linking

    return _each_once(_of_pages(corpus, pages, sources, each=each, shortest=shortest, seed=seed, counts=counts), counts)


def _cloze(
    corpus: Corpus, *, keep: float, each: int, shortest: int, seed: int, counts: Counter[str]
) -> Iterator[PseudoPair]:
    """Pairs of all passages."""
    order = np.random.default_rng(seed).permutation(len(corpus)).tolist()
    for start in range(0, len(order), _AT_ONCE):
        for passage in corpus.at(order[start : start + _AT_ONCE]):
            draws = np.random.default_rng([seed, crc32(passage.id.encode())])
            spans = split_sentences(passage.text)
            if len(spans) < 2:
                counts["passages of one sentence"] += 1
                continue
            made = 0
            for place in draws.permutation(len(spans)).tolist():
                sentence, document = _taken_out(passage, spans[place], kept=draws.random() < keep)
                if len(sentence) < shortest or len(document) < shortest:
                    continue
                if sentence in _taken_out(passage, spans[place], kept=False)[1]:
                    continue  # it stands there twice
                about = frozenset([passage.id])
                yield PseudoPair(sentence, document, passage.id, passage.id, passage.id, passage.id, about)
                made += 1
                if made == each:
                    break
            counts["passages without a sentence to ask"] += not made


def _taken_out(passage: Document, span: tuple[int, int], *, kept: bool) -> tuple[str, str]:
    """A sentence of a passage, and the passage with or without it, under its title."""
    start, end = span
    before, after = passage.text[:start].rstrip(), passage.text[end:].lstrip()
    rest = passage.text if kept else f"{before} {after}".strip()
    return passage.text[start:end], f"{passage.title} {rest}" if passage.title else rest


def _of_pages(
    corpus: Corpus,
    pages: Pages,
    sources: Callable[[str], Sequence[str]],
    *,
    each: int,
    shortest: int,
    seed: int,
    counts: Counter[str],
) -> Iterator[PseudoPair]:
    """Pairs of a sentence of each page's first section and a passage of one of the pages that `sources` names."""
    whole(each, least=1, stage=_STAGE, parameter="each")
    names = list(pages.first)
    for number in np.random.default_rng(seed).permutation(len(names)).tolist():
        page = names[number]
        others = sources(page)
        if not others:
            continue
        draws = np.random.default_rng([seed, crc32(page.encode())])
        sentences = _sentences(corpus.at(pages.first[page]), shortest)
        relevant = frozenset([page, *others])
        made: set[tuple[str, int]] = set()
        for _ in range(_TRIES * each if sentences else 0):
            holder, sentence = sentences[int(draws.integers(len(sentences)))]
            other = others[int(draws.integers(len(others)))]
            code = pages.passages[other][int(draws.integers(len(pages.passages[other])))]
            (document,) = corpus.at([code])
            if document.id == holder or sentence in document.contents or (sentence, code) in made:
                continue
            made.add((sentence, code))
            yield PseudoPair(sentence, document.contents, holder, document.id, page, other, relevant)
            if len(made) == each:
                break
        counts["pages without a sentence to ask"] += not made


def _sentences(passages: Iterable[Document], shortest: int) -> list[tuple[str, str]]:
    """Passage ids and sentences that are long enough."""
    return [
        (passage.id, passage.text[start:end])
        for passage in passages
        for start, end in split_sentences(passage.text)
        if end - start >= shortest
    ]


def _each_once(pairs: Iterable[PseudoPair], counts: Counter[str]) -> Iterator[PseudoPair]:
    """Pairs without those that read as one before them does."""
    seen: set[bytes] = set()
    for pair in pairs:
        key = blake2b(f"{pair.query}\n\n{pair.document}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key in seen:
            counts["pairs that were there already"] += 1
            continue
        seen.add(key)
        yield pair
