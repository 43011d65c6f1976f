"""PromptPRF: features of documents, drawn once, and put into the query's text."""

import pytest

from rankloom import Document, Run, Session
from rankloom.corpus import MemoryDocuments
from rankloom.errors import NotFoundError, UsageError
from rankloom.prf import PromptPRF
from rankloom.prf.document_features import FEATURES, last_keywords
from rankloom.testing import StageConformance
from tests.prf.fakes import FakeVectors
from tests.prf.writers import Writer

DOCUMENTS = MemoryDocuments(
    [
        Document("d1", "air scatters blue light", title="Sky"),
        Document("d2", "bread needs yeast and time"),
        Document("twin", "bread needs yeast and time"),
        Document("empty", " "),
        Document("void", "of which nothing is said"),
        Document("d3", "the moon raises the tide"),
    ]
)
SAID = {"scatters": "blue,\n  light", "yeast": "bread", "nothing is said": " \n", "tide": "moon"}


def given(scores, text="q text"):
    return Run.from_dict({"q": scores}, queries={"q": text}, documents=DOCUMENTS)


def rewritten(run, model=None, session=None, **options):
    after = PromptPRF(model or Writer(SAID), **options).run(run, session=session)
    return after.queries[0].text, after


class TestTheQuery:
    RUN = given({"d1": 3.0, "d2": 2.0, "d3": 1.0})

    def test_features_stand_behind_their_ranks(self):
        text, _ = rewritten(self.RUN)
        assert text == "Query: q text\nRelated passages' keywords:\n1. blue, light\n2. bread\n3. moon"

    def test_without_ranks_and_fewer(self):
        text, _ = rewritten(self.RUN, ranks=False, docs=2, feature="summary")
        assert text == "Query: q text\nRelated passages' summaries:\nblue, light\nbread"

    def test_a_layout_of_ones_own(self, tmp_path):
        (tmp_path / "mine.txt").write_text("{passages} ({feature}) {query}")
        text, _ = rewritten(self.RUN, layout=str(tmp_path / "mine.txt"), docs=1, ranks=False)
        assert text == "blue, light (keywords) q text"

    def test_a_prompt_of_ones_own_counts(self, tmp_path):
        (tmp_path / "mine.txt").write_text("Shout!\n---\n{document}")
        model = Writer(SAID)
        rewritten(self.RUN, model, prompt=str(tmp_path / "mine.txt"), docs=1)
        assert [(one.system, one.text) for one in model.asked] == [("Shout!", "Sky air scatters blue light")]
        with pytest.raises(NotFoundError, match="no such prompt"):
            PromptPRF(model, prompt="nowhere.txt")

    def test_terms_and_vectors_are_dropped(self):
        fake = FakeVectors(vectors={"d1": (1.0, 0.0, 0.0)})
        _, after = rewritten(Run.from_dict({"q": {"d1": 1.0}}, queries={"q": "a"}, documents=DOCUMENTS))
        assert not after.queries[0].vectors
        assert after.ranking is None
        assert (fake >> PromptPRF(Writer()) >> fake).run("aa")["q1"].doc_ids == ["d1"]


class TestFeatures:
    def test_the_query_is_in_no_prompt_and_equal_texts_are_asked_about_once(self):
        run = Run.from_dict(
            {"q": {"d2": 2.0, "twin": 1.0}, "r": {"d2": 2.0, "d1": 1.0}},
            queries={"q": "first", "r": "second"},
            documents=DOCUMENTS,
        )
        model = Writer(SAID)
        after = PromptPRF(model).run(run)
        assert len(model.asked) == 2
        assert not any("first" in one.text or "second" in one.text for one in model.asked)
        assert after.queries[0].text.endswith("1. bread\n2. bread")
        (cost,) = after.ledger.costs
        assert (cost.model, cost.inputs, cost.calls, cost.written) == ("writer-1", 2, 2, 3)

    def test_features_of_a_corpus_are_drawn_ahead_of_time(self, tmp_path):
        session, model = Session(cache=tmp_path), Writer(SAID)
        stage = PromptPRF(model)
        ledger = stage.prepare(DOCUMENTS.get(DOCUMENTS.doc_ids), session=session)
        assert len(model.asked) == 4
        assert [(note.kind, note.doc_id) for note in ledger.notes] == [
            ("empty_document", "empty"),
            ("empty_output", "void"),
        ]
        (cost,) = ledger.costs
        assert (cost.inputs, cost.cached, cost.calls, cost.model) == (5, 0, 4, "writer-1")
        text, after = rewritten(given({"d1": 2.0, "d3": 1.0}), model, session)
        assert text.endswith("1. blue, light\n2. moon")
        assert len(model.asked) == 4
        assert after.ledger.costs[0].calls == 0
        assert stage.prepare(DOCUMENTS.get(["d1", "twin"]), session=session).costs[0].cached == 2

    def test_another_feature_is_another_question(self, tmp_path):
        session, model = Session(cache=tmp_path), Writer(SAID)
        for feature in FEATURES:
            PromptPRF(model, feature=feature).prepare(DOCUMENTS.get(["d1"]), session=session)
        assert len(model.asked) == len(FEATURES) == 5

    def test_preparing_goes_on_where_it_failed(self, tmp_path):
        class Dies(Writer):
            def generate(self, prompts, *, max_tokens, session):
                for number, pair in enumerate(super().generate(prompts, max_tokens=max_tokens, session=session)):
                    if number == 2:
                        raise ConnectionError("the line is dead")
                    yield pair

        session = Session(cache=tmp_path)
        with pytest.raises(ConnectionError):
            PromptPRF(Dies(SAID)).prepare(DOCUMENTS.get(DOCUMENTS.doc_ids), session=session)
        model = Writer(SAID)
        PromptPRF(model).prepare(DOCUMENTS.get(DOCUMENTS.doc_ids), session=session)
        assert len(model.asked) == 2

    def test_preparing_needs_a_cache(self):
        with pytest.raises(UsageError, match="no cache, so that nothing would be kept"):
            PromptPRF(Writer()).prepare([], session=Session())

    def test_long_documents_are_cut_and_noted(self):
        model = Writer(SAID)
        _, after = rewritten(given({"d1": 1.0}), model, max_words=3)
        assert model.asked[0].text.endswith("\n\nPassage: Sky air scatters")
        assert [(note.kind, note.query_id, note.doc_id, note.amount, note.detail) for note in after.ledger.notes] == [
            ("cut_feedback", "q", "d1", 2, "words beyond 3")
        ]

    def test_keywords_after_a_chain_of_thought(self):
        thought = {"scatters": "It is about light.\nKeywords: first\n**Keywords:** blue,\nlight\n", "yeast": "hm"}
        text, after = rewritten(given({"d1": 2.0, "d2": 1.0}), Writer(thought), feature="cot_keywords")
        assert text == "Query: q text\nRelated passages' keywords:\n1. blue, light"
        assert [(note.kind, note.doc_id) for note in after.ledger.notes] == [("unparsed_output", "d2")]

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("Keywords: a, b", "a, b"),
            ("thought\n  KEYWORDS : a", "a"),
            ("- **Keywords**: a\nb", "a\nb"),
            ("The keywords: are a", None),
            ("keyword a", None),
            ("Keywords: a, b\n\nThese words tell best what it is about.", "a, b"),
            ("**Keywords:**\n\na, b\n  \nThat is all.", "a, b"),
            ("Keywords:", ""),
            ("", None),
        ],
    )
    def test_where_keywords_begin(self, text, found):
        assert last_keywords(text) == found


class TestWithoutFeedback:
    @pytest.mark.parametrize(
        ("scores", "text", "reason"),
        [
            ({}, "sky", "no document was found"),
            ({"d1": 1.0}, " ", "the query is empty"),
            ({"empty": 2.0, "void": 1.0}, "sky", "no document has a feature"),
        ],
    )
    def test_the_query_stays_and_is_noted(self, scores, text, reason):
        found, after = rewritten(given(scores, text))
        assert found == text
        assert [(note.query_id, note.detail) for note in after.ledger.of("no_feedback")] == [("q", reason)]

    def test_documents_without_a_feature_are_passed_over_and_keep_their_rank(self):
        text, after = rewritten(given({"empty": 4.0, "void": 3.0, "d3": 2.0, "d1": 1.0}))
        assert text.endswith("keywords:\n3. moon")
        assert [(note.kind, note.query_id, note.doc_id) for note in after.ledger.notes] == [
            ("empty_document", "q", "empty"),
            ("empty_output", "q", "void"),
        ]

    def test_a_blank_query_asks_nothing(self):
        model = Writer(SAID)
        rewritten(given({"d1": 1.0}, " "), model)
        assert model.asked == []

    def test_cut_features_are_noted_and_count(self):
        text, after = rewritten(given({"d1": 1.0}), Writer(SAID, cut=["scatters"]))
        assert text.endswith("1. blue, light")
        assert [(note.kind, note.doc_id) for note in after.ledger.notes] == [("cut_output", "d1")]


@pytest.mark.parametrize("wrong", [{"docs": 0}, {"feature": "poem"}, {"max_words": 0}, {"max_tokens": 0}])
def test_refuses_wrong_parameters(wrong):
    with pytest.raises(UsageError, match="prompt_prf: "):
        PromptPRF(Writer(), **wrong)


def test_limits_go_by_the_feature():
    assert [PromptPRF(Writer(), feature=one).max_tokens for one in FEATURES] == [64, 64, 128, 256, 512]
    assert PromptPRF(Writer(), feature="essay", max_tokens=9).max_tokens == 9


class TestContract(StageConformance):
    def make_stage(self):
        return PromptPRF(Writer(SAID), docs=2, max_words=4)

    def make_run(self):
        scores = {"q1": {"d1": 3.0, "d2": 1.0}, "q2": {"d3": 2.0, "twin": 1.0}, "q3": {}, "q4": {"empty": 1.0}}
        texts = {"q1": "sky", "q2": "sea", "q3": "moon", "q4": "nothing"}
        return Run.from_dict(scores, queries=texts, documents=DOCUMENTS)
