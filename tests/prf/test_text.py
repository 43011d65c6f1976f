from dataclasses import replace

import numpy as np
import pytest

from rankloom import Document, Query, Run, ScoreKind
from rankloom.config import PipelineBuilder
from rankloom.corpus import Corpus, MemoryDocuments
from rankloom.errors import CompositionError, ConfigError, UsageError
from rankloom.eval.collections import load_collection
from rankloom.eval.costs import priceable
from rankloom.eval.explain import explain_run
from rankloom.eval.pushdown import push_tops_down, retrievers
from rankloom.eval.report.diagram import boxes
from rankloom.ledger import Note
from rankloom.pipeline import Pipeline, Top
from rankloom.prf import RM3, TextPRF
from rankloom.prf.new_queries import Passage, Recipe
from rankloom.prf.words import count_words
from rankloom.ranking import Ranking
from rankloom.retrieval import BM25
from rankloom.session import Session
from rankloom.stage import Reranker
from rankloom.testing import StageConformance
from tests.prf.fakes import FakeTerms

TEXTS = {
    "d1": "sky blue, blue light",
    "d2": "sky rayleigh rayleigh dust",
    "d3": "sea green deep",
    "twin": "sea green deep",
    "dust": "dust moon",
    "empty": "",
    "blank": " \n",
}
RETRIEVER = FakeTerms(texts=TEXTS)
DOCUMENTS = MemoryDocuments([Document(doc_id, text) for doc_id, text in TEXTS.items()])


class SharedWords(Reranker):
    """Scores the best hits by how many of their words the query has, and counts a model call for each query."""

    name = "shared_words"
    model_name = "words-1"

    def __init__(self, *, depth=100):
        self.depth = depth
        self.asked = []

    def __call__(self, run):
        self.asked.append([query.text for query in run.queries])
        before = run.hits(stage=self.name)
        lists, scored = [], []
        for number, query in enumerate(run.queries):
            ids = before.doc_ids(number)
            texts = [document.contents for document in run.texts(stage=self.name).get(ids)]
            words = set(query.text.replace(",", "").split())
            new = [float(len(words & set(text.replace(",", "").split()))) for text in texts[: self.depth]]
            below = [-100.0 - place for place in range(len(ids) - len(new))]
            lists.append(zip(ids, new + below, strict=True))
            scored.append(len(new))
        notes = [Note(self.name, "not_reranked", query.id) for query in run.queries if self.depth < 3]
        ranking = Ranking.from_lists(lists, stage=self.name)
        after = run.ranked(replace(ranking, scored=np.array(scored, dtype=np.int64)))
        return after.noted(*notes).counted(inputs=sum(scored), calls=len(run), tokens=7 * len(run))


def given(scores, text="sky", documents=DOCUMENTS, **more):
    return Run.from_dict({"q": scores}, queries=[Query("q", text, **more)], documents=documents)


def asked(run, **parameters):
    """The texts that a reranker is asked, and the run after."""
    reranker = SharedWords()
    after = TextPRF(reranker, **parameters).run(run)
    (texts,) = reranker.asked
    return texts, after


class TestNewQueries:
    def test_truncate_is_one_query_of_all_documents(self):
        texts, _ = asked(given({"d1": 2.0, "d2": 1.0, "d3": 0.5}), method="truncate", docs=2)
        assert texts == ["sky sky blue, blue light sky rayleigh rayleigh dust"]

    def test_aggregate_is_a_query_for_each_document(self):
        texts, _ = asked(given({"d1": 2.0, "d2": 1.0, "d3": 0.5}), docs=2)
        assert texts == ["sky sky blue, blue light", "sky sky rayleigh rayleigh dust"]

    def test_windows_slide_over_all_documents_and_stop_at_the_end(self):
        texts, _ = asked(given({"d1": 2.0, "d3": 1.0}), method="window", window=4, stride=2)
        # the words: sky blue , blue light sea green deep; the third window reaches the end
        assert texts == ["sky sky blue, blue", "sky , blue light sea", "sky light sea green deep"]

    def test_the_stride_is_half_the_window(self):
        stage = TextPRF(RETRIEVER, method="window")
        assert (stage.window, stage.stride) == (65, 32)
        assert [TextPRF(RETRIEVER, method="window", window=size).stride for size in (69, 75, 134, 1)] == [34, 37, 67, 1]

    def test_the_title_is_part_of_the_text(self):
        documents = MemoryDocuments([Document("d", "of light", title="Colours")])
        texts, _ = asked(given({"d": 1.0}, documents=documents))
        assert texts == ["sky Colours of light"]

    @pytest.mark.parametrize("method", ["truncate", "aggregate", "window"])
    def test_no_new_query_has_more_words_than_the_budget(self, method):
        passages = [Passage("d1", "a b, c d e f g"), Passage("d2", "h")]
        new = Recipe(method, 5, 6, 3).new_queries("two words", passages)
        assert all(count_words(one.text) <= 5 and one.text.startswith("two words ") for one in new)
        full = Recipe(method, 999, 6, 3).new_queries("two words", passages)
        assert [count_words(one.text) - one.cut for one in full] == [
            count_words(one.text) + one.cut for one in new
        ]  # every word that is not there was counted

    def test_words_beyond_the_budget_are_noted(self):
        _, after = asked(given({"d1": 2.0, "d3": 1.0}), max_words=4)
        assert [(note.kind, note.query_id, note.doc_id, note.amount, note.detail) for note in after.ledger.notes] == [
            ("cut_feedback", "q", "d1", 2, "words beyond 4")
        ]


class TestWithoutFeedback:
    @pytest.mark.parametrize(
        ("scores", "text", "reason"),
        [
            ({}, "sky", "no document was found"),
            ({"d1": 1.0}, " ", "the query is empty"),
            ({"empty": 1.0, "blank": 0.5}, "sky", "no document has words"),
            ({"d1": 1.0}, "sky " * 9, "the query leaves no room for it"),
        ],
    )
    def test_the_query_is_asked_as_it_is_and_noted(self, scores, text, reason):
        texts, after = asked(given(scores, text), max_words=9)
        assert texts == [text]
        notes = [(note.stage, note.query_id, note.detail) for note in after.ledger.of("no_feedback")]
        assert notes == [("text_prf", "q", reason)]
        alone = TextPRF(method="truncate", max_words=9).run(given(scores, text))
        assert alone.queries[0].text == text
        assert alone.ledger.of("no_feedback") == after.ledger.of("no_feedback")

    def test_documents_without_words_are_passed_over_and_noted(self):
        texts, after = asked(given({"empty": 3.0, "d1": 2.0, "blank": 1.0, "d3": 0.5}), docs=3)
        assert texts == ["sky sky blue, blue light"]
        assert [(note.kind, note.doc_id) for note in after.ledger.notes] == [
            ("empty_document", "empty"),
            ("empty_document", "blank"),
        ]

    def test_fewer_documents_than_asked_for(self):
        texts, after = asked(given({"d1": 2.0}), docs=20)
        assert texts == ["sky sky blue, blue light"]
        assert not after.ledger.notes

    def test_documents_with_equal_texts_count_each(self):
        texts, _ = asked(given({"d3": 2.0, "twin": 1.0}))
        assert texts == ["sky sea green deep"] * 2


class TestReranking:
    RUN = given({"d1": 3.0, "d2": 2.0, "dust": 1.0})

    def test_the_same_candidates_are_scored_for_each_new_query(self):
        # the query with d1 shares with d1: sky blue light; with d2: sky; with dust: nothing
        # the query with d2 shares with d1: sky; with d2: sky rayleigh dust; with dust: dust
        hits = {"average": {"d1": 2.0, "d2": 2.0, "dust": 0.5}, "max": {"d1": 3.0, "d2": 3.0, "dust": 1.0}}
        unsaid = TextPRF(SharedWords(), docs=2).run(self.RUN)
        assert unsaid.to_dict()["q"] == hits["average"]
        assert unsaid.ranking.kind is ScoreKind.SIMILARITY
        for aggregation, expected in hits.items():
            after = TextPRF(SharedWords(), docs=2, aggregation=aggregation).run(self.RUN)
            assert after.to_dict()["q"] == expected
            assert after.queries == self.RUN.queries

    def test_borda(self):
        # d1 3/3 + 2/3 (it ties with dust, and its id is first); d2 2/3 + 3/3; dust 1/3 + 1/3
        after = TextPRF(SharedWords(), docs=2, aggregation="borda").run(self.RUN)
        assert after.to_dict()["q"] == pytest.approx({"d1": 5 / 3, "d2": 5 / 3, "dust": 2 / 3})
        assert after.ranking.kind is ScoreKind.RANK

    def test_scores_that_stand_for_ranks_are_voted_on_unless_it_is_said_otherwise(self):
        class Ranks(SharedWords):
            def __call__(self, run):
                after = super().__call__(run)
                return after.ranked(replace(after.ranking, kind=ScoreKind.RANK))

        after = TextPRF(Ranks(), docs=2).run(self.RUN)
        assert after.to_dict() == TextPRF(SharedWords(), docs=2, aggregation="borda").run(self.RUN).to_dict()
        assert after.ranking.kind is ScoreKind.RANK
        with pytest.raises(UsageError, match=r"stand for ranks.*borda"):
            TextPRF(Ranks(), docs=2, aggregation="average").run(self.RUN)

    def test_one_new_query_keeps_its_scores(self):
        after = TextPRF(SharedWords(), method="truncate").run(self.RUN)
        assert after.to_dict()["q"] == {"d1": 3.0, "d2": 3.0, "dust": 2.0}

    def test_hits_below_the_depth_stay_there(self):
        after = TextPRF(SharedWords(depth=2), docs=2).run(self.RUN)
        assert after["q"].doc_ids == ["d1", "d2", "dust"]
        assert after["q"].scored == 2
        assert [hit.reranked for hit in after["q"]] == [True, True, False]

    def test_all_new_queries_go_in_one_batch_and_model_calls_are_counted(self):
        run = Run.from_dict(
            {"q": {"d1": 2.0, "d2": 1.0}, "q/1": {"d3": 1.0}, "none": {}},
            queries={"q": "sky", "q/1": "sea", "none": "moon"},
            documents=DOCUMENTS,
        )
        reranker = SharedWords()
        after = TextPRF(reranker).run(run)
        assert [len(batch) for batch in reranker.asked] == [4]
        costs = after.ledger.by_stage()
        assert (costs["shared_words"].inputs, costs["shared_words"].calls, costs["shared_words"].tokens) == (5, 4, 28)
        assert (costs["text_prf"].calls, costs["text_prf"].tokens) == (0, 0)
        assert [cost.model for cost in after.ledger.costs] == ["words-1", ""]

    def test_notes_of_the_reranker_name_the_query(self):
        after = TextPRF(SharedWords(depth=1)).run(self.RUN)
        assert [(note.stage, note.query_id) for note in after.ledger.of("not_reranked")] == [("shared_words", "q")] * 3

    def test_pipelines_share_what_new_queries_have_found(self):
        session = self.RUN.session.remembering()
        reranker = SharedWords()
        for aggregation in ("borda", "average"):
            TextPRF(reranker, aggregation=aggregation).run(self.RUN, session=session)
        assert len(reranker.asked) == 1


class TestRetrieval:
    def test_new_queries_are_searched_for(self):
        after = (RETRIEVER >> TextPRF(RETRIEVER, docs=1, aggregation="max")).run("blue")
        # "blue sky blue, blue light": d1 has blue (twice asked for), sky, "blue," and light; d2 has sky
        assert after.to_dict()["q1"] == {"d1": 5.0, "d2": 1.0}
        assert after.queries[0].text == "blue"

    def test_without_through_the_query_itself_changes(self):
        pipeline = RETRIEVER >> TextPRF(method="truncate", docs=1) >> RETRIEVER
        run = pipeline.run("blue")
        assert run.queries[0].text == "blue sky blue, blue light"
        through = RETRIEVER >> TextPRF(RETRIEVER, method="truncate", docs=1)
        assert through.run("blue").to_dict() == run.to_dict()

    def test_terms_of_the_query_were_for_the_search_before(self):
        after = TextPRF(method="truncate").run(given({"d1": 1.0}, terms={"sea": 1.0}))
        assert after.queries[0].terms is None
        after = TextPRF(RETRIEVER, method="truncate", docs=1).run(given({"d1": 1.0}, terms={"sea": 1.0}))
        assert "d3" not in after["q"].doc_ids
        assert after.queries[0].terms == {"sea": 1.0}

    def test_feedback_upon_feedback(self):
        inner = RM3(docs=1, max_df=1.0) >> RETRIEVER
        run = (RETRIEVER >> TextPRF(inner, docs=1)).run("moon")
        assert run["q1"].doc_ids[0] == "dust"
        assert [step.stage for step in run.steps[-1].branches[0]] == ["rm3", "fake_terms"]

    def test_histories_are_those_of_the_queries(self):
        run = (RETRIEVER >> TextPRF(RETRIEVER)).run({"a": "sky", "b": "moon"})
        first, second = run.steps[-1].branches  # a has two documents, b one
        assert [query.text for query in first[0].queries] == ["sky sky blue, blue light", "moon dust moon"]
        assert [query.id for query in second[0].queries] == ["a", "b"]
        assert second[0].ranking.counts().tolist() == [3, 0]
        assert [entry.stage for entry in run["a"][0].trace] == ["fake_terms"] * 3 + ["text_prf"]


class TestEvaluation:
    PIPELINE = RETRIEVER >> TextPRF(RETRIEVER >> Top(5), docs=2)

    def test_explain_shows_the_new_queries(self):
        run = (RETRIEVER >> TextPRF(RETRIEVER, docs=2)).run({"q": "sky", "other": "moon"})
        views = explain_run(run, "q", parts=False).stages
        assert [(view.stage, view.depth, view.text) for view in views] == [
            ("fake_terms", 0, None),
            ("fake_terms", 1, "sky sky blue, blue light"),
            ("fake_terms", 1, "sky sky rayleigh rayleigh dust"),
            ("text_prf", 0, None),
        ]
        assert [view.text for view in explain_run(run, "other", parts=False).stages] == [
            None,
            "moon dust moon",
            None,
            None,
        ]

    def test_explain_shows_a_rewritten_query_once(self):
        run = (RETRIEVER >> TextPRF(method="truncate", docs=1) >> RETRIEVER).run({"q": "moon"})
        assert [view.text for view in explain_run(run, "q", parts=False).stages] == [None, "moon dust moon", None]

    def test_inner_stages_are_known_to_prices_indexes_and_manifests(self):
        assert list(priceable(RETRIEVER >> TextPRF(SharedWords()))) == [
            "fake_terms",
            "text_prf",
            "shared_words",
            "words-1",
        ]
        assert len(list(retrievers(self.PIPELINE))) == 2
        (pushed,) = push_tops_down({"one": self.PIPELINE}).values()
        assert pushed.stages[1].through.stages[0].k == 5
        assert pushed.run("sky").to_dict() == self.PIPELINE.run("sky").to_dict()
        flow = boxes(self.PIPELINE)
        assert [box.name for box in flow[1].branches[0]] == ["fake_terms", "top"]
        assert flow[1].branches[0][0].key != flow[0].key


class TestComposition:
    def test_several_new_queries_need_something_to_answer_them(self):
        for method in ("aggregate", "window"):
            with pytest.raises(CompositionError, match=r"text_prf.*pass through="):
                TextPRF(method=method)
        with pytest.raises(CompositionError, match="not a stage"):
            TextPRF("bm25")

    def test_what_answers_must_end_with_a_ranking(self):
        with pytest.raises(CompositionError, match=r"text_prf: .* ends without a ranking"):
            Pipeline([RETRIEVER, TextPRF(RM3(retriever=RETRIEVER))])

    def test_a_retriever_does_not_follow_a_ranking(self):
        with pytest.raises(CompositionError, match="throw away the ranking that text_prf leaves"):
            RETRIEVER >> TextPRF(RETRIEVER) >> RETRIEVER

    def test_rewritten_texts_need_a_retriever_after_them(self):
        with pytest.raises(CompositionError, match="needs ranking"):
            RETRIEVER >> TextPRF(method="truncate") >> SharedWords()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"docs": 0},
            {"max_words": 0},
            {"method": "cut"},
            {"aggregation": "mean"},
            {"missing": "drop"},
            {"window": 5},
            {"stride": 5},
            {"method": "window", "window": 0},
            {"method": "window", "window": 4, "stride": 5},
            {"method": "truncate", "aggregation": "max"},
        ],
    )
    def test_refuses_wrong_parameters(self, wrong):
        with pytest.raises(UsageError, match="text_prf: "):
            TextPRF(RETRIEVER, **wrong)


class _Contract(StageConformance):
    def make_run(self):
        scores = {"q1": {"d1": 3.0, "d2": 1.0}, "q2": {"d3": 2.0, "twin": 1.0}, "q3": {}, "q4": {"empty": 1.0}}
        texts = {"q1": "sky", "q2": "sea", "q3": "moon", "q4": "nothing"}
        return Run.from_dict(scores, queries=texts, documents=DOCUMENTS)


class TestContractOfRetrieval(_Contract):
    def make_stage(self):
        return TextPRF(RETRIEVER, docs=2)


class TestContractOfReranking(_Contract):
    own_process = False

    def make_stage(self):
        return TextPRF(SharedWords(depth=1), docs=2, method="window", window=3, stride=2, aggregation="average")


class TestContractOfRewriting(_Contract):
    def make_stage(self):
        return TextPRF(method="truncate", docs=2, max_words=6)


class TestWithBM25:
    def test_a_single_new_query_by_each_method_is_the_same(self):
        bm25 = BM25.of(Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()]))
        runs = [
            (bm25 >> TextPRF(bm25, docs=1, **method)).run("blue")["q1"]
            for method in (
                {"method": "truncate"},
                {"aggregation": "average"},
                {"aggregation": "max"},
                {"method": "window", "aggregation": "max"},
            )
        ]
        assert all((run.doc_ids, run.scores) == (runs[0].doc_ids, runs[0].scores) for run in runs)

    def test_mini_collection(self):
        mini = load_collection("mini")
        bm25 = BM25.of(mini.corpus)
        run = (bm25 >> TextPRF(bm25)).run(mini.queries)
        assert mini.evaluate(run, ["nDCG@10"]).means["nDCG@10"] > 0.5
        assert run.ledger.by_stage()["bm25"].inputs == 50 + 150


class TestYAML:
    def built(self, spec):
        mini = load_collection("mini")
        builder = PipelineBuilder({"deep": [{"bm25": {"k": 50}}, {"top": 20}]})
        builder.check(spec, at=())
        return builder.build(spec, corpus=mini.corpus, session=Session())

    def test_what_answers_is_written_as_steps(self):
        pipeline = self.built(["bm25", {"text_prf": {"through": "bm25", "docs": 2}}])
        bm25, feedback = pipeline.stages
        assert feedback.docs == 2
        assert feedback.through is bm25
        assert self.built(["bm25", {"text_prf": "deep"}]).stages[1].through.stages[1].k == 20

    def test_errors_tell_the_place(self):
        for spec, problem in [
            (["bm25", {"text_prf": {"through": "bm52"}}], "did you mean 'bm25'"),
            (["bm25", {"text_prf": {"through": {"bm25": {"kk": 5}}}}], "no parameter 'kk'"),
            (["bm25", "text_prf"], "pass through="),
            (["bm25", {"text_prf": {"through": "bm25", "docs": 0}}], "docs is out of range"),
            (["bm25", {"text_prf": {"through": ["bm25", "rm3"]}}], "ends without a ranking"),
            (["bm25", {"text_prf": {"method": "truncate"}}], "ends without a ranking"),
        ]:
            with pytest.raises(ConfigError, match=problem):
                self.built(spec)
