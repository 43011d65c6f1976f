"""HyDE: the mean of the query's vector and those of passages that a language model makes up."""

import numpy as np
import pytest

from rankloom import Corpus, Document, Run, Session
from rankloom.errors import CompositionError, DataError, NotFoundError, UsageError
from rankloom.prf import HyDE
from rankloom.records import Query
from rankloom.retrieval import Dense
from rankloom.testing import StageConformance
from tests.prf.fakes import FakeTerms, FakeVectors
from tests.prf.writers import Writer

VECTORS = {"d1": (1.0, 0.0, 0.0), "d2": (0.0, 1.0, 0.0), "d3": (0.0, 0.0, 1.0)}
SAID = {"sea": "b b", "tea": "c c c", "void": " \n", "long": "abcabcabcabc"}


def retriever():
    return FakeVectors(vectors=VECTORS)


def rewritten(queries, model=None, session=None, **options):
    stage = HyDE(model or Writer(SAID), **{"passages": 1, "retriever": retriever(), **options})
    return stage.run(queries, session=session)


def vector(run, query_id="q"):
    held = run.queries[list(run).index(query_id)].vectors
    return held["letters"].tolist() if held else None


class TestTheVector:
    def test_is_the_mean_of_the_query_and_the_passages(self):
        # the query counts a once, its passage b twice: (1, 0, 0) and (0, 2, 0)
        assert vector(rewritten({"q": "sea"})) == [0.5, 1.0, 0.0]

    def test_each_passage_counts(self):
        class Numbered(Writer):
            def generate(self, prompts, *, max_tokens, session):
                for prompt, answer in super().generate(prompts, max_tokens=max_tokens, session=session):
                    yield prompt, type(answer)("abc"[prompt.sample] * (prompt.sample + 1), answer.read, answer.written)

        run = rewritten({"q": "aaaa"}, Numbered(), passages=3)
        # a stands in the query four times and once in the first passage, b twice in the second, c thrice in the third
        assert vector(run) == [1.25, 0.5, 0.75]

    def test_samples_are_asked_by_number_and_queries_all_at_once(self):
        model = Writer(SAID)
        rewritten({"q": "sea", "r": "tea", "twin": "sea"}, model, passages=2)
        question = "Please write a passage to answer the question.\nQuestion: {}\nPassage:"
        assert [(one.text, one.sample) for one in model.asked] == [
            (question.format("sea"), 0),
            (question.format("sea"), 1),
            (question.format("tea"), 0),
            (question.format("tea"), 1),
        ]

    def test_passages_are_encoded_as_documents_are(self, tmp_path):
        from tests.tiny_models import tiny_encoder

        prompts = {"query": "query : ", "document": "the "}
        dense = Dense.for_corpus(
            Corpus.of([Document("d", "blue sky")]),
            Session(offline=True, device="cpu"),
            model=str(tiny_encoder(tmp_path, prompts=prompts)),
        )
        session = Session(offline=True, device="cpu")
        run = HyDE(Writer({"sea": "the moon tide"}), passages=1, retriever=dense).run({"q": "sea"}, session=session)
        encoder = dense.index.encoder
        parts = [
            encoder.encode([text], role=role, session=session).vectors[0]
            for text, role in (("sea", "query"), ("the moon tide", "document"))
        ]
        np.testing.assert_allclose(run.queries[0].vectors[dense.space], np.mean(parts, axis=0), rtol=1e-6)
        assert (HyDE(Writer(SAID), passages=1) >> dense).run({"q": "sea"}, session=session)["q"].doc_ids == ["d"]

    def test_a_vector_of_feedback_takes_the_place_of_the_text(self):
        query = Query("q", "sea").with_vector("letters", np.array([3.0, 0.0, 0.0], dtype=np.float32))
        assert vector(rewritten([query])) == [1.5, 1.0, 0.0]


class TestWithoutFeedback:
    @pytest.mark.parametrize(("text", "reason"), [(" ", "the query is empty"), ("void", "the model said nothing")])
    def test_the_query_stays_and_is_noted(self, text, reason):
        run = rewritten({"q": text, "r": "sea"})
        assert (vector(run), vector(run, "r")) == (None, [0.5, 1.0, 0.0])
        notes = [(note.query_id, note.detail) for note in run.ledger.of("no_feedback")]
        assert notes == [("q", reason)]

    def test_a_blank_query_is_not_asked(self):
        model = Writer(SAID)
        rewritten({"q": " "}, model)
        assert model.asked == []

    def test_empty_passages_do_not_count(self):
        class Half(Writer):
            def generate(self, prompts, *, max_tokens, session):
                for prompt, answer in super().generate(prompts, max_tokens=max_tokens, session=session):
                    yield prompt, type(answer)("" if prompt.sample else "bb", 1, 1)

        run = rewritten({"q": "a"}, Half(), passages=3)
        assert vector(run) == [0.5, 1.0, 0.0]
        assert run.ledger.counts() == {"empty_output": 2}

    def test_cut_passages_are_noted_and_count(self):
        run = rewritten({"q": "sea"}, Writer(SAID, cut=["sea"]))
        assert [(note.kind, note.query_id, note.amount) for note in run.ledger.notes] == [("cut_output", "q", 2)]
        assert vector(run) == [0.5, 1.0, 0.0]

    def test_what_the_encoder_cuts_is_noted_or_refused(self):
        run = rewritten({"q": "long"})
        assert [(note.kind, note.query_id, note.amount) for note in run.ledger.notes] == [("truncated", "q", 2)]
        with pytest.raises(DataError, match="hyde"):
            rewritten({"q": "long"}, session=Session(on_truncate="error"))


class TestCosts:
    def test_the_language_model_and_the_encoder_stand_apart(self):
        run = rewritten({"q": "sea", "r": "tea", "blank": ""})
        encoder, writer = run.ledger.costs
        assert (writer.model, writer.inputs, writer.calls, writer.written) == ("writer-1", 3, 2, 2 + 3)
        assert writer.tokens == writer.written + 2 * 11
        assert (encoder.model, encoder.stage, encoder.inputs, encoder.calls) == ("letters-10", "hyde", 0, 2)
        assert encoder.tokens == (3 + 3) + (3 + 5)
        assert run.ledger.by_stage()["hyde"].calls == 4

    def test_a_second_session_pays_nothing(self, tmp_path):
        rewritten({"q": "sea"}, session=Session(cache=tmp_path))
        model = Writer(SAID)
        again = rewritten({"q": "sea", "r": "tea"}, model, session=Session(cache=tmp_path))
        assert len(model.asked) == 1
        assert vector(again) == [0.5, 1.0, 0.0]


class TestComposition:
    def test_it_begins_a_pipeline_or_follows_a_retriever(self):
        fake = retriever()
        alone = (HyDE(Writer(SAID), passages=1) >> fake).run({"q": "sea"})
        assert alone["q"].doc_ids == ["d2", "d1", "d3"]
        behind = (FakeTerms(texts={"d": "sea"}) >> HyDE(Writer(SAID), passages=1) >> fake).run({"q": "sea"})
        assert behind["q"].doc_ids == ["d2", "d1", "d3"]

    def test_it_needs_a_retriever_over_vectors(self):
        with pytest.raises(CompositionError, match="can not read"):
            HyDE(Writer(SAID), passages=1) >> FakeTerms(texts={"d": "sea"})
        with pytest.raises(CompositionError, match="hyde: has no encoder"):
            HyDE(Writer(SAID), passages=1).run({"q": "sea"})

    def test_several_passages_of_a_greedy_model_would_be_one(self):
        with pytest.raises(UsageError, match=r"hyde: the model would write the same passage 8 times.*temperature"):
            HyDE(Writer(greedy=True))
        assert HyDE(Writer(greedy=True), passages=1).passages == 1

    def test_prompts_are_chosen_and_count(self, tmp_path):
        model = Writer(SAID)
        (tmp_path / "own.txt").write_text("Ahoy: {query}")
        own = HyDE(model, prompt=str(tmp_path / "own.txt"))
        before = own.fingerprint()
        (tmp_path / "own.txt").write_text("Ahoy there: {query}")
        assert HyDE(model, prompt=str(tmp_path / "own.txt")).fingerprint() != before
        assert HyDE(model, prompt="scifact").templates[0].text.startswith("Please write a scientific paper passage")
        with pytest.raises(NotFoundError, match="did you mean 'scifact'"):
            HyDE(model, prompt="scifcat")

    @pytest.mark.parametrize("wrong", [{"passages": 0}, {"max_tokens": 0}])
    def test_refuses_wrong_parameters(self, wrong):
        with pytest.raises(UsageError, match="hyde: "):
            HyDE(Writer(), **wrong)
        with pytest.raises(UsageError, match="hyde: model is not a language model"):
            HyDE("gpt")

    def test_models_are_loaded_and_freed(self):
        model = Writer()
        stage = HyDE(model)
        stage.warm_up()
        assert model.loaded
        stage.close()
        assert not model.loaded


class TestContract(StageConformance):
    def make_stage(self):
        return HyDE(Writer(SAID), passages=2, retriever=retriever())

    def make_run(self):
        return Run.start({"q1": "sea", "q2": "tea", "q3": "abc"})
