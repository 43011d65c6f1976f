"""BM25 over fields against the formula in plain Python, and against BM25 where both are the same."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Document, Query, Run, Session
from rankloom.config import PipelineBuilder
from rankloom.corpus import Corpus
from rankloom.errors import ConfigError, DataError, UsageError
from rankloom.prf import RM3
from rankloom.retrieval import BM25, BM25Scoring, EnglishAnalyzer, ImpactIndex, ImpactIndexWriter
from rankloom.retrieval.bm25_scoring import DELTAS, VARIANTS
from rankloom.retrieval.bm25f_scoring import BM25FScoring
from rankloom.retrieval.document_length import LENGTHS, length_codes
from rankloom.retrieval.index import writer as writer_module
from rankloom.retrieval.index.fields import about_fields, field_terms
from rankloom.testing import StageConformance

NAMES = ("text", "title", "venue")
TERMS = st.sampled_from(["a", "b", "blue", "\u6f22", "\x1f", "text", ""])
DOCUMENT = st.dictionaries(st.sampled_from(NAMES), st.lists(TERMS, max_size=60), max_size=3)
DOCUMENTS = st.lists(DOCUMENT, max_size=12)
FIELDS = st.dictionaries(st.sampled_from(NAMES), st.floats(0.01, 20), min_size=1, max_size=3)
FIELD_B = st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1), max_size=3)
QUERY = st.dictionaries(TERMS, st.floats(-2, 4), max_size=5)


def index_of(documents, ids=None):
    """An index of documents by the terms of their fields."""
    ids = ids or [f"d{number:02}" for number in range(len(documents))]
    return ImpactIndex.of(ids, map(field_terms, documents), about=about_fields(NAMES))


def formula(documents, query, *, fields, field_b, k1, b, variant):
    """BM25F in plain Python; code -> score."""
    count = sum(any(document.values()) for document in documents)
    delta, scores = DELTAS.get(variant, 0.0), {}
    lengths = {name: [len(one.get(name, ())) for one in documents] for name in fields}
    averages = {name: sum(held) / max(1, sum(map(bool, held))) for name, held in lengths.items()}
    for code, document in enumerate(documents):
        for term, weight in query.items():
            tf = 0.0
            for name, field_weight in fields.items():
                rounded = int(LENGTHS[length_codes(np.array([lengths[name][code]], dtype=np.int32))[0]])
                own_b = field_b.get(name, b)
                if occurs := document.get(name, []).count(term):
                    tf += field_weight * occurs / (1 - own_b + own_b * rounded / averages[name])
            if not tf or not weight:
                continue
            df = sum(any(term in one.get(name, ()) for name in fields) for one in documents)
            idf, part = {
                "lucene": (math.log(1 + (count - df + 0.5) / (df + 0.5)), tf / (tf + k1)),
                "robertson": (max(0, math.log((count - df + 0.5) / (df + 0.5))), tf / (tf + k1)),
                "atire": (math.log(count / df), (k1 + 1) * tf / (tf + k1)),
                "bm25+": (math.log((count + 1) / df), (k1 + 1) * tf / (tf + k1) + delta),
                "bm25l": (math.log((count + 1) / (df + 0.5)), (k1 + 1) * (tf + delta) / (k1 + tf + delta)),
            }[variant]
            scores[code] = scores.get(code, 0.0) + weight * idf * part
    return scores


def test_weights_are_numbers_that_a_score_can_hold():
    index = index_of([{"title": ["a"], "text": ["b"]}, {"text": ["b"]}])
    scoring = BM25FScoring(index, {"title": 2.0, "text": 1.0}, field_b={}, k1=0.9, b=0.4)
    for find in (lambda query: scoring.search([query], 5), lambda query: scoring.explain(query, 0)):
        with pytest.raises(DataError, match=r"bm25: .*'a'"):
            find({"a": 1e39, "b": 1.0})
    assert len(scoring.search([{"a": 1e20, "b": 1.0}], 5).codes) == 2


def test_the_lengths_of_fields_are_held_once_for_all_parameters():
    index = index_of([{"title": ["a"], "text": ["b"]}, {"text": ["b"]}])
    segment = index._commit.parts[0].segment
    scorings = [BM25FScoring(index, {"title": 2.0, "text": 1.0}, field_b={}, k1=k1, b=0.4) for k1 in (0.9, 1.2)]
    first, second = (scoring._field_scoring(segment).norms for scoring in scorings)
    assert first is second
    other = BM25FScoring(index, {"title": 2.0}, field_b={}, k1=0.9, b=0.4)._field_scoring(segment).norms
    assert other.tolist() == first[[1]].tolist()


@settings(deadline=None, max_examples=200)
@given(
    DOCUMENTS,
    QUERY,
    FIELDS,
    st.fixed_dictionaries(
        {"field_b": FIELD_B, "k1": st.floats(0.01, 3), "b": st.floats(0, 1), "variant": st.sampled_from(VARIANTS)}
    ),
)
def test_scores_are_the_formula_s(documents, query, fields, told):
    told["field_b"] = {name: value for name, value in told["field_b"].items() if name in fields}
    scoring = BM25FScoring(index_of(documents), fields, **told)
    expected = formula(documents, query, fields=fields, **told)
    hits = scoring.search([query], 100)
    codes, scores = hits.codes.tolist(), hits.scores.tolist()
    assert sorted(codes) == sorted(expected)
    np.testing.assert_allclose(scores, [expected[code] for code in codes], rtol=2e-5, atol=2e-6)
    assert list(zip(codes, scores, strict=True)) == sorted(
        zip(codes, scores, strict=True), key=lambda hit: (-hit[1], hit[0])
    )
    for k in (1, 3):
        assert scoring.search([query], k).codes.tolist() == codes[:k]
    for code, score in zip(codes, scores, strict=True):
        assert scoring.explain(query, code)[0] == score


def test_a_document_by_hand():
    documents = [{"title": ["sky"], "text": ["sky", "blue"]}, {"text": ["sea", "sea", "sea", "sea"]}, {}]
    hits = BM25FScoring(index_of(documents), {"title": 2.0, "text": 1.0}, field_b={"title": 0.0}, k1=1.0, b=0.5)
    found = hits.search([{"sky": 1.0}], 5)
    tf = 2.0 * 1 / 1 + 1.0 * 1 / (0.5 + 0.5 * 2 / 3)  # the average text has 3 terms
    assert found.codes.tolist() == [0]
    assert found.scores[0] == pytest.approx(math.log(1 + (2 - 1 + 0.5) / 1.5) * tf / (1 + tf))


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_field_of_weight_1_is_bm25_to_the_last_bit(variant):
    rng = np.random.default_rng(3)
    texts = [[f"w{word}" for word in row] for row in np.minimum(rng.zipf(1.3, size=(300, 30)), 80).tolist()]
    plain = ImpactIndex.of([f"d{number:03}" for number in range(300)], map(Counter, texts))
    one = index_of([{"text": text} for text in texts], [f"d{number:03}" for number in range(300)])
    queries = [{f"w{number}": 1.0, f"w{number * 3 + 1}": 2.0, "w1": 0.5} for number in range(1, 25)]
    told = {"k1": 1.2, "b": 0.75, "variant": variant}
    expected = BM25Scoring(plain, **told).search(queries, 50)
    found = BM25FScoring(one, {"text": 1.0}, field_b={}, **told).search(queries, 50)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.tolist() == theirs.tolist()


def test_more_documents_than_are_scored_at_a_time():
    rng = np.random.default_rng(5)
    documents = [
        {"title": [f"w{word}" for word in title], "text": [f"w{word}" for word in text]}
        for title, text in zip(rng.integers(0, 50, (40_000, 2)), rng.integers(0, 50, (40_000, 5)), strict=True)
    ]
    ids = [f"{number * 7919 % 40_009:05}" for number in range(40_000)]  # neither ascending nor descending
    fields = {"title": 3.0, "text": 1.0}
    scoring = BM25FScoring(index_of(documents, ids), fields, field_b={}, k1=0.9, b=0.4)
    query = dict.fromkeys(["w1", "w2", "w3", "w4", "w5", "w6"], 1.0)
    everything = scoring.search([query], 40_000)
    for k in (1, 100, 5000):  # deep in ties
        assert scoring.search([query], k).codes.tolist() == everything.codes[:k].tolist()
    keys = list(zip((-everything.scores).tolist(), everything.codes.tolist(), strict=True))
    assert keys == sorted(keys)
    assert len(keys) > 20_000
    assert len(keys) == sum(not query.keys().isdisjoint(one["title"] + one["text"]) for one in documents)
    assert scoring.explain(query, keys[-1][1])[0] == -keys[-1][0]


STEP = st.one_of(
    st.tuples(st.just("update"), st.sampled_from([f"d{number}" for number in range(9)]), DOCUMENT),
    st.tuples(st.just("delete"), st.sampled_from([f"d{number}" for number in range(9)]), st.none()),
    st.tuples(st.sampled_from(["commit", "merge"]), st.none(), st.none()),
)


@settings(deadline=None, max_examples=50)
@given(st.lists(STEP, max_size=20), QUERY)
def test_an_index_that_was_changed_is_like_one_built_anew(tmp_path_factory, steps, query):
    folder, model = tmp_path_factory.mktemp("index"), {}
    with ImpactIndexWriter(folder, fields=NAMES) as writer:
        for kind, doc_id, document in steps:
            if kind == "update":
                writer.update(doc_id, field_terms(document))
                model[doc_id] = document
            elif kind == "delete":
                writer.delete([doc_id])
                model.pop(doc_id, None)
            else:
                getattr(writer, kind)()
    ids = sorted(model)
    both = ImpactIndex.open(folder, verify=True), index_of([model[doc_id] for doc_id in ids], ids)
    assert both[0].fields == both[1].fields == list(NAMES)
    scorings = [BM25FScoring(one, {"title": 3.0, "text": 1.0}, field_b={"title": 0.2}, k1=0.9, b=0.4) for one in both]
    for k in (1, 3, 20):
        for ours, theirs in zip(*(one.search([query, query], k) for one in scorings), strict=True):
            assert ours.tolist() == theirs.tolist()
    assert (
        scorings[0].document_frequencies(list(query)).tolist() == scorings[1].document_frequencies(list(query)).tolist()
    )


def test_threads_do_not_show():
    index = index_of([{"title": [f"w{n % 7}"], "text": [f"w{n % 5}", f"w{n % 3}"]} for n in range(90)])
    queries = [{f"w{number % 7}": 1.0, "w1": 0.5} for number in range(60)]
    found = []
    for index.threads in (1, 4):
        found.append(BM25FScoring(index, {"title": 2.0, "text": 1.0}, field_b={}, k1=0.9, b=0.4).search(queries, 9))
    for one, other in zip(*found, strict=True):
        assert one.tolist() == other.tolist()


# --- the stage -----------------------------------------------------------------------------------------------

DOCUMENTS_OF_MINE = [
    Document("d1", "It scatters blue light.", title="The sky", metadata={"venue": "Optics", "year": 1871}),
    Document("d2", "The sky is mentioned here, and the sea.", title="Tides", metadata={"venue": ["Physics", "Seas"]}),
    Document("d3", "No field but this one: \u6f22\u5b57."),
    Document("d4", "The same words.", title="Twins"),
    Document("d0", "The same words.", title="Twins"),
    Document("d5", "", title=""),
]


@pytest.fixture(scope="module")
def corpus():
    return Corpus.of(DOCUMENTS_OF_MINE)


def scores_of(stage, query):
    """Document id -> score, best first."""
    return next(iter(stage.run([query]).to_dict().values()))


def test_texts_are_analysed_field_by_field(corpus, monkeypatch):
    analyzer = EnglishAnalyzer()
    expected = index_of(
        [
            {"title": analyzer(one.title), "text": analyzer(one.text), "venue": analyzer(" ".join(venue))}
            for one in corpus
            for venue in [
                [one.metadata["venue"]] if isinstance(one.metadata.get("venue"), str) else one.metadata.get("venue", [])
            ]
        ],
        list(corpus.ids),
    )
    stage = BM25.of(corpus, fields={"title": 1.0, "text": 1.0, "venue": 1.0})
    codes = range(len(corpus))
    assert stage.index.term_vectors(codes) == expected.term_vectors(codes)
    monkeypatch.setattr(EnglishAnalyzer, "by_word", False)  # an analyzer that is asked for whole texts
    whole = BM25.of(corpus, fields={"title": 1.0, "text": 1.0, "venue": 1.0})
    assert whole.index.term_vectors(codes) == expected.term_vectors(codes)


def test_weights_decide(corpus):
    stage = BM25.of(corpus, fields={"title": 5.0, "text": 1.0})
    assert list(scores_of(stage, "sky")) == ["d1", "d2"]
    assert list(scores_of(stage.replace(fields={"title": 0.1, "text": 5.0}, b=0.0), "sky")) == ["d2", "d1"]
    assert list(scores_of(stage.replace(fields={"title": 1.0}), "sky")) == ["d1"]  # a field of the index left out
    assert list(scores_of(stage, "same words")) == ["d0", "d4"]  # ties by id
    assert stage.replace(fields={"title": 5.0, "text": 2.0}).fingerprint() != stage.fingerprint()
    reordered = stage.replace(fields={"text": 1.0, "title": 5.0})
    assert (reordered.fingerprint(), scores_of(reordered, "sky")) == (stage.fingerprint(), scores_of(stage, "sky"))


def test_metadata_is_a_field(corpus):
    stage = BM25.of(corpus, fields={"text": 1.0, "venue": 1.0, "year": 1.0})
    assert list(scores_of(stage, "seas")) == ["d2"]
    assert list(scores_of(stage, "1871 optics")) == ["d1"]


def test_a_query_brings_its_own_weights(corpus):
    stage = BM25.of(corpus, fields={"title": 5.0, "text": 1.0})
    own = Query("q", "sky", metadata={"stage_settings": {"bm25": {"fields": {"text": 1.0}}}})
    assert list(scores_of(stage, own)) == ["d2"]


def test_built_opened_and_in_memory_agree(corpus, tmp_path):
    fields = {"title": 2.0, "text": 1.0}
    stages = [BM25.build(corpus, tmp_path / "index", fields=fields), BM25.open(tmp_path / "index", fields=fields)]
    stages += [BM25.of(corpus, fields=fields), BM25.for_corpus(corpus, Session(cache=tmp_path / "c"), fields=fields)]
    stages.append(BM25.for_corpus(corpus, Session(cache=tmp_path / "c"), fields=fields, field_b={"title": 0.4}))
    found = [stage.run(["sky light", "same words", "zebra"]).to_dict() for stage in stages]
    assert found[1:] == found[:-1]
    plain = BM25.for_corpus(corpus, Session(cache=tmp_path / "c"))  # another index
    assert plain.index.fields == []


def test_yaml(corpus):
    step = {"bm25": {"fields": {"title": 2.0, "text": 1}, "field_b": {"title": 0.3}}}
    stage = PipelineBuilder({}).build([step], corpus=corpus, session=Session())
    ours = BM25.of(corpus, fields={"title": 2.0, "text": 1.0}, field_b={"title": 0.3})
    assert stage.run(["sky"]).to_dict() == ours.run(["sky"]).to_dict()
    with pytest.raises(ConfigError, match=r"no document has this field.*title"):
        PipelineBuilder({}).build([{"bm25": {"fields": {"titel": 2.0}}}], corpus=corpus, session=Session())


def test_feedback_reads_the_terms_of_all_fields(corpus):
    stage = BM25.of(corpus, fields={"title": 2.0, "text": 1.0})
    assert stage.term_vectors(["d1", "unknown"]) == [{"blue": 1, "light": 1, "scatter": 1, "sky": 1}, None]
    assert stage.document_frequencies(["sky", "sea", "zebra"]).tolist() == [2, 1, 0]
    vectors = stage.term_vectors(list(corpus.ids))
    words = ["sky", "sea", "blue", "zebra"]
    assert stage.collection_frequencies(words).tolist() == [sum(one.get(word, 0) for one in vectors) for word in words]
    assert stage.collection_length == sum(sum(one.values()) for one in vectors)
    hits = (stage >> RM3(docs=1, max_df=1.0) >> stage).run(["optics sky"])
    assert next(iter(hits.to_dict().values()))


@pytest.mark.parametrize("wrong", [{}, {"title": 0.0}, {"title": -1.0}, {"title": float("inf")}, {"title": "high"}, 7])
def test_weights_are_checked(corpus, wrong):
    with pytest.raises(UsageError, match="field"):
        BM25.of(corpus, fields={"title": 1.0}).replace(fields=wrong)
    with pytest.raises(UsageError, match="field"):
        BM25.for_corpus(corpus, Session(), fields=wrong)


def test_what_has_no_such_field(corpus, tmp_path):
    with pytest.raises(DataError, match="venue"):
        BM25.of(corpus, fields={"venu": 1.0})
    with pytest.raises(DataError, match="venue"):
        BM25.build(corpus, tmp_path / "index", fields={"text": 1.0, "venu": 1.0})
    assert not (tmp_path / "index").exists()
    stage = BM25.of(corpus, fields={"title": 1.0, "text": 1.0})
    with pytest.raises(UsageError, match=r"'venue'.*accepted: text, title"):
        stage.replace(fields={"venue": 1.0})
    with pytest.raises(UsageError, match="field_b"):
        stage.replace(field_b={"venue": 0.5})
    with pytest.raises(UsageError, match="index is one of fields"):
        stage.replace(fields=None)
    with pytest.raises(UsageError, match="build the index with fields"):
        BM25.of(corpus).replace(fields={"title": 1.0})


def test_a_field_that_is_empty_in_all_documents_is_told(tmp_path, caplog):
    held = Corpus.of([Document("d1", "The sky."), Document("d2", "The sea.")])
    stage = BM25.of(held, fields={"title": 2.0, "text": 1.0})
    assert "no document has a term in the field 'title'" in caplog.text
    assert list(scores_of(stage, "sky")) == ["d1"]
    caplog.clear()
    BM25.build(held, tmp_path / "index", fields={"text": 1.0})
    assert not caplog.text


def test_a_value_that_is_no_text():
    held = Corpus.of([Document("d1", "x", metadata={"venue": {"name": "Optics"}})])
    with pytest.raises(DataError, match="venue"):
        BM25.of(held, fields={"venue": 1.0})


def test_texts_are_added_by_field_to_an_index_of_fields(tmp_path):
    writer = ImpactIndexWriter(tmp_path / "fields", analyzer=EnglishAnalyzer(), fields=["title"])
    with pytest.raises(UsageError, match="each field"):
        writer.add_texts([("d1", "sky")])
    writer.close()


@pytest.mark.parametrize(
    ("fields", "average"), [({"title": 1.0, "text": 1.0}, 2.5), ({"title": 2.0}, 1.0), ({"text": 1.0}, 2.0)]
)
def test_the_average_length_counts_each_term_once(fields, average):
    index = index_of([{"title": ["sky"], "text": ["blue", "blue", "sky"]}, {"text": ["sea"]}, {}])
    assert index.total_terms == 2 * 5  # lengths are values as well
    assert BM25FScoring(index, fields, field_b={}, k1=0.9, b=0.4).average_length == average


def test_many_segments(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "_MOST_POSTINGS", 5)
    fields = {"title": 2.0, "text": 1.0}
    many = BM25.build(corpus, tmp_path / "index", fields=fields, term_vectors=True)
    assert (
        many.run(["sky light", "same"]).to_dict() == BM25.of(corpus, fields=fields).run(["sky light", "same"]).to_dict()
    )


class TestBM25F(StageConformance):
    tolerance = 0.0

    def make_stage(self):
        return BM25.of(Corpus.of(DOCUMENTS_OF_MINE), k=100, fields={"title": 2.0, "text": 1.0}, field_b={"title": 0.3})

    def make_run(self):
        return Run.start({"q1": "the blue sky", "q2": "same words", "q3": "tides"})
