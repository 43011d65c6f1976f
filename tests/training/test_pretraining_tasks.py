"""ICT, BFS and WLP: where query and document come from, that pairs repeat themselves for a seed and never otherwise."""

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Corpus, Document
from rankloom.errors import DataError, UsageError
from rankloom.rerank.pruning import split_sentences
from rankloom.training.pages import Pages
from rankloom.training.pretraining_config import PageKeys
from rankloom.training.pretraining_tasks import body_first, inverse_cloze, link_prediction
from tests.training.pages import linked_pages

SENTENCES = [f"The {thing} is {how} in the {place}." for thing in ("sky", "sea", "moon") for how in ("blue", "calm")
             for place in ("north", "south")]  # fmt: skip
passages = st.lists(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=6), min_size=1, max_size=8)


def corpus_of(texts):
    return Corpus.of([Document(f"d{number}", " ".join(text), title="Of things") for number, text in enumerate(texts)])


def sentences(text):
    return [text[start:end] for start, end in split_sentences(text)]


@given(passages, st.booleans(), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_cloze_takes_a_sentence_out_of_its_passage_or_leaves_it(texts, kept, seed):
    corpus = corpus_of(texts)
    counts = Counter()
    pairs = list(inverse_cloze(corpus, keep=float(kept), seed=seed, skipped=counts))
    for pair in pairs:
        (passage,) = corpus.get([pair.query_from])
        assert pair.document_from == pair.query_from
        assert pair.query in sentences(passage.text)
        assert (pair.query in pair.document) == kept
        words = Counter(passage.contents.split())
        assert Counter(pair.document.split()) == (words if kept else words - Counter(pair.query.split()))
    assert len({(pair.query, pair.document) for pair in pairs}) == len(pairs)
    assert len(pairs) + sum(counts.values()) == len(corpus)  # each passage has a pair or a reason
    single = sum(len(text) == 1 for text in texts)
    assert counts["passages of one sentence"] == single
    assert pairs == list(inverse_cloze(corpus, keep=float(kept), seed=seed))


def test_cloze_keeps_the_sentence_as_often_as_asked():
    corpus = corpus_of(
        [[f"Number {n} is the first.", f"Then comes {n} again.", f"And {n} ends it."] for n in range(900)]
    )
    pairs = list(inverse_cloze(corpus, keep=0.1))
    assert len(pairs) == 900
    assert 0.06 < sum(pair.query in pair.document for pair in pairs) / 900 < 0.14
    places = Counter(pair.query.split()[0] for pair in pairs)
    assert min(places[word] for word in ("Number", "Then", "And")) > 240  # any of its sentences
    other = list(inverse_cloze(corpus, keep=0.1, seed=8))
    assert {pair.query for pair in other} != {pair.query for pair in pairs}


def test_a_passage_s_pair_does_not_depend_on_the_others():
    texts = [[f"Number {n} is the first.", f"Then comes {n} again.", f"And {n} ends it."] for n in range(40)]
    whole = {pair.query_from: pair for pair in inverse_cloze(corpus_of(texts))}
    part = {pair.query_from: pair for pair in inverse_cloze(corpus_of(texts[:7]))}
    assert part == {doc_id: whole[doc_id] for doc_id in part}
    several = list(inverse_cloze(corpus_of(texts), each=2))
    assert Counter(pair.query_from for pair in several) == Counter(dict.fromkeys(whole, 2))
    assert len({pair.query for pair in several}) == 80


def test_pairs_are_read_as_they_are_asked_for(monkeypatch):
    corpus = corpus_of([[f"Number {n} is the first.", f"Then comes {n} again."] for n in range(2000)])
    read = []
    at = Corpus.at
    monkeypatch.setattr(Corpus, "at", lambda self, codes: read.extend(codes) or at(self, codes))
    assert len(list(islice(inverse_cloze(corpus), 10))) == 10
    assert len(read) < 500


def test_pairs_that_read_alike_are_given_once():
    corpus = corpus_of([["The sky is blue in the north.", "Short."]] * 3)
    counts = Counter()
    assert len(list(inverse_cloze(corpus, skipped=counts, keep=1.0))) == 1
    assert counts["pairs that were there already"] == 2


def test_a_sentence_that_stands_there_twice_is_not_asked():
    counts = Counter()
    corpus = corpus_of([["The sky is blue in the north."] * 2])
    assert list(inverse_cloze(corpus, skipped=counts)) == []
    assert counts == {"passages without a sentence to ask": 1}


@given(st.integers(2, 9), st.integers(1, 3), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_body_first_stays_on_the_page_and_asks_its_first_section(count, each, seed):
    corpus = Corpus.of(linked_pages(count))
    pages = Pages(corpus, linked=False)
    counts = Counter()
    pairs = list(body_first(corpus, pages, each=each, seed=seed, skipped=counts))
    for pair in pairs:
        holder, document = corpus.get([pair.query_from, pair.document_from])
        page = [one for one in corpus if one.metadata["page"] == holder.metadata["page"]]
        assert holder.metadata["section"] == min(one.metadata["section"] for one in page)
        assert pair.query in sentences(holder.text)
        assert document.metadata["page"] == holder.metadata["page"] == pair.group
        assert document.id != holder.id
        assert pair.document == document.contents
        assert pair.query not in pair.document
    assert len({(pair.query, pair.document) for pair in pairs}) == len(pairs)
    assert {pair.group for pair in pairs} == {one.metadata["page"] for one in corpus} - {"p0"}
    assert counts["pages of one passage"] == 1
    assert pairs == list(body_first(corpus, pages, each=each, seed=seed))


@given(st.integers(3, 9), st.integers(1, 3), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_links_lead_from_the_document_s_page_to_the_query_s(count, each, seed):
    corpus = Corpus.of(linked_pages(count))
    pages = Pages(corpus, linked=True)
    counts = Counter()
    pairs = list(link_prediction(corpus, pages, each=each, seed=seed, skipped=counts))
    links = {
        (one.metadata["page"], target) for one in corpus for target in one.metadata["links"]
    }  # from, to  # every page links to the one before it, and p0 to none
    for pair in pairs:
        holder, document = corpus.get([pair.query_from, pair.document_from])
        assert holder.metadata["section"] == 0
        assert pair.query in sentences(holder.text)
        assert (document.metadata["page"], holder.metadata["page"]) in links
        assert (holder.metadata["page"], document.metadata["page"]) not in links
        assert pair.relevant == {holder.metadata["page"], document.metadata["page"]}
    assert len({(pair.query, pair.document) for pair in pairs}) == len(pairs)
    assert counts["pages that no page links to"] == 1
    assert {pair.group for pair in pairs} == {f"p{number}" for number in range(count - 1)}
    assert pairs == list(link_prediction(corpus, pages, each=each, seed=seed))


def test_links_to_itself_and_to_nowhere_do_not_count():
    text = "The sky is blue in the north. The sea is calm."
    corpus = Corpus.of(
        [
            Document("a", text, metadata={"page": "A", "section": 0, "links": ["A", "B", "Z"]}),
            Document("b", text, metadata={"page": "B", "section": 2, "links": []}),
            Document("b2", text, metadata={"page": "B", "section": 1}),
            Document("c", text),
        ]
    )
    pages = Pages(corpus, linked=True)
    assert pages.linked_from == {"B": ["A"]}
    assert {page: corpus.at(codes)[0].id for page, codes in pages.first.items()} == {"A": "a", "B": "b2"}
    assert pages.skipped == {"passages without a page": 1, "links to unknown pages": 1}


@pytest.mark.parametrize(
    ("metadata", "keys", "match"),
    [
        ({}, PageKeys(), "wlp needs the pages of a corpus.*'page'"),
        ({"page": "A"}, PageKeys(), "'section'"),
        ({"page": "A", "section": 0}, PageKeys(), "'links'"),
        ({"page": "A", "section": 0, "links": ["A"]}, PageKeys(page="article"), "'article'"),
        ({"page": 3, "section": 0}, PageKeys(), "'page' of a passage is of another type.*accepted: a string"),
        ({"page": "A", "section": "0"}, PageKeys(), "'section'.*a whole number"),
        ({"page": "A", "section": 0, "links": "B"}, PageKeys(), "'links'.*a list of page ids"),
    ],
)
def test_what_a_corpus_lacks_is_an_error(metadata, keys, match):
    corpus = Corpus.of([Document("a", "The sky is blue.", metadata=metadata)])
    with pytest.raises(DataError, match=match):
        Pages(corpus, linked=True, keys=keys, task="wlp")


def test_parameters_are_checked():
    with pytest.raises(UsageError, match="keep"):
        inverse_cloze(corpus_of([["One."]]), keep=1.5)
    with pytest.raises(UsageError, match="each"):
        inverse_cloze(corpus_of([["One."]]), each=0)
