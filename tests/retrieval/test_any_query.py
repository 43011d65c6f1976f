"""Whatever a user types is searched for: no query raises, in any retriever over terms, with any analyzer."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rankloom import Document, Query
from rankloom.corpus import Corpus
from rankloom.extras import installed
from rankloom.prf import RM3
from rankloom.retrieval import BM25, LearnedSparse, Lucene, RankBM25
from rankloom.retrieval.analyzers import analyzer_of
from rankloom.retrieval.inference_free import InferenceFreeEncoder
from rankloom.retrieval.snowball import languages
from rankloom.testing import AWKWARD_QUERIES
from tests.tiny_models import tiny_tokenizer

#: What has meant something to one query parser or another, and characters that tokenizers stumble over.
PIECES = [
    *AWKWARD_QUERIES,
    '"', "'", "(", ")", "[", "]", "{", "}", "[a TO", "AND", "OR", "NOT", "&&", "||", "!", "+", "-", "~2", "^", "^-1",
    "*", "?", ":", "title:", "\\", "\\u", "/", "/(/", "%", "%s", "$", "$1", "`", ";", "--", "#combine(", "#weight(",
    "<", "&", "\x00", "\x1f", "\x7f", "\x85", "\u00ad", "\u200b", "\u200d", "\u202e", "\u202f", "\u2028", "\ufeff",
    "\ufffe",
    "\ud800", "\udfff", "\ud83d\ude00", "\U0001f600", "\U0001f1eb", "\U000e0067", "\U0010ffff", "\u0e01", "\u6f22",
    "\u0130", "\u03a3", "\u00df", "\ufb01", "sky", "blue", "'s", "\u2019s", "12,3.4", "_", "[UNK]", "[CLS]", "##s",
]  # fmt: skip
ANY_CHARACTER = st.characters(exclude_categories=())  # halves of surrogate pairs, too
PIECE = st.one_of(st.sampled_from(PIECES), st.text(ANY_CHARACTER, max_size=20))
ANY_QUERY = st.builds(
    lambda pieces, between, times: between.join(pieces) * times,
    st.lists(PIECE, max_size=8),
    st.sampled_from(["", " ", "\n"]),
    st.sampled_from([1, 1, 1, 300]),
)
DOCUMENTS = [
    Document("d1", "The sky is blue: \U0001f600 \u6f22\u5b57.", title="Sky"),
    Document("d2", "Red sunsets; 12,3.4 \u0e01\u0e02 stra\u00dfe", title="(not) AND title:"),
    Document("d3", "..."),
]


@pytest.fixture(scope="module")
def corpus():
    return Corpus.of(DOCUMENTS)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A folder with a tokenizer and a table of weights."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer(folder, max_length=8)
    (folder / "idf.json").write_text(json.dumps({"sky": 5.0, "blue": 2.5}))
    return folder


@pytest.fixture(scope="module")
def searchers(corpus, tokenizer):
    """Everything that searches for words, by name."""
    encoder = InferenceFreeEncoder(tokenizer)
    bm25 = BM25.of(corpus)
    return {
        "bm25": bm25,
        "bm25 with rm3": bm25 >> RM3(docs=2, max_df=1.0) >> bm25,
        "bm25 of white space": BM25.of(corpus, analyzer=analyzer_of("whitespace")),
        "bm25 of subwords": BM25.of(corpus, analyzer=analyzer_of(f"wordpiece:{tokenizer}")),
        "bm25f": BM25.of(corpus, fields={"title": 2.0, "text": 1.0}),
        "rank_bm25": RankBM25(corpus),
        "inference-free": LearnedSparse.of_terms({"d1": {"sky": 1.0}, "d2": {"[UNK]": 1.0}}, queries=encoder),
    }


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(ANY_QUERY)
@example("")
@example("sky" * 100_000)
@example("\ud83d" * 1000)
@example("( " * 5000)
def test_no_query_raises(searchers, query):
    asked = Query("q", query)
    for name, stage in searchers.items():
        run = stage.run([asked])
        hits = run["q"]
        assert len(hits) or {note.kind for note in run.ledger.notes} & {"empty_query", "no_hits"}, name
        if not asked.blank:
            assert list(stage.search(query).doc_ids) == list(hits.doc_ids)[:10], name
        if len(hits) and name.startswith("bm25"):
            assert hits[0].explain().score == hits[0].score, name


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(ANY_QUERY)
@example("sky " * 50_000)
@example("\ud83d" * 1000)
def test_every_analyzer_makes_terms_that_an_index_can_be_asked_for(tokenizer, searchers, text):
    for name in ["english", "whitespace", "wordpiece", *languages()]:
        if name not in ANALYZERS:
            ANALYZERS[name] = analyzer_of(f"wordpiece:{tokenizer}" if name == "wordpiece" else name)
        terms = ANALYZERS[name](text)
        assert all(isinstance(term, str) for term in terms), name
        searchers["bm25"].run([Query("q", "", terms=dict.fromkeys(terms, 1.0))])


ANALYZERS: dict = {}


@settings(deadline=None, max_examples=100)
@given(st.lists(ANY_QUERY, min_size=1, max_size=5))
def test_every_text_can_be_indexed_and_found_by_its_own_words(texts):
    held = Corpus.of(
        [Document(f"d{number}", text.encode("utf-8", "replace").decode()) for number, text in enumerate(texts)]
    )
    stage = BM25.of(held)
    for document in held:
        found = list(stage.run([document.text])["q1"].doc_ids)
        assert (document.id in found) == bool(stage.analyze(document.text))


@pytest.mark.slow
@pytest.mark.skipif(not installed("pyserini"), reason="the extra 'lucene' is not installed")
def test_no_query_raises_in_lucene(corpus):
    lucene, ours = Lucene.of(corpus), BM25.of(corpus)

    @settings(deadline=None, max_examples=10)
    @given(st.lists(ANY_QUERY, min_size=20, max_size=20))
    def search(queries):
        found, expected = lucene.run(queries).to_dict(), ours.run(queries).to_dict()
        whole = [f"q{number}" for number, query in enumerate(queries, 1) if query.isascii()]
        assert [set(found[name]) for name in whole] == [set(expected[name]) for name in whole]

    search()
