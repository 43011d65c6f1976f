"""Learned feedback with tiny models: vectors as computed by hand, what a model refuses, and what is said."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from rankloom import Corpus, Document, Query, Run, Session
from rankloom.adapter import trainable
from rankloom.config import PipelineBuilder
from rankloom.corpus import MemoryDocuments
from rankloom.errors import CompositionError, DataError, UsageError
from rankloom.prf import LearnedPRF
from rankloom.prf.feedback_adapter import FeedbackAdapterSettings, adapted, read_settings, save_adapter
from rankloom.prf.feedback_encoder import positions
from rankloom.prf.feedback_layout import FeedbackLayout
from rankloom.rerank import StoredVectors
from rankloom.retrieval import Dense
from rankloom.testing import StageConformance
from tests.prf.fakes import FakeVectors
from tests.tiny_models import tiny_config, tiny_encoder, tiny_tokenizer

SESSION = Session(offline=True, device="cpu")
TEXTS = {
    "d1": "the sky is blue for light is blue",
    "d2": "the sea is blue",
    "d3": "bread needs yeast",
    "d4": "tide and moon",
}
CORPUS = Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()])
QUERY = "why is the sky blue"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A sentence encoder, whose documents are searched."""
    return str(tiny_encoder(tmp_path_factory.mktemp("base"), max_length=64))


def adapter_of(base, folder, **layout):
    """An adapter with arbitrary changes of a base."""
    from sentence_transformers import SentenceTransformer

    read = FeedbackLayout(**{"docs": 2, "max_tokens": 40, **layout})
    settings = FeedbackAdapterSettings(base, base, read, rank=2, alpha=4)
    torch.manual_seed(3)
    encoder = adapted(SentenceTransformer(base, device="cpu"), settings)
    for parameter in trainable({"transformer": encoder[0].model}).values():
        torch.nn.init.normal_(parameter, std=0.2)
    save_adapter(encoder, folder, settings, card="", manifest={})
    return str(folder)


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory):
    return adapter_of(base, tmp_path_factory.mktemp("adapter") / "prf")


@pytest.fixture(scope="module")
def dense(base):
    return Dense.of(CORPUS, model=base, session=SESSION)


def ranked(scores, *, queries=None, documents=CORPUS):
    return Run.from_dict(scores, queries=queries or dict.fromkeys(scores, QUERY), documents=documents, session=SESSION)


BEST = {"d1": 3.0, "d2": 2.0, "d3": 1.0}


class TestVectors:
    def by_hand(self, base, text, change=None):
        """The mean of the token vectors of a text with its separators written out, of length 1."""
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(base, device="cpu")
        if change is not None:
            model = change(model)
        ids = model[0].tokenizer(text, add_special_tokens=False, return_tensors="pt")
        with torch.no_grad():
            states = model[0].model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"])
        vector = states.last_hidden_state[0].mean(0)
        return (vector / vector.norm()).numpy()

    def test_a_sentence_encoder_reads_query_and_documents_as_one(self, base, dense):
        stage = LearnedPRF(base, docs=2, max_tokens=64, retriever=dense)
        vector = stage.run(ranked({"q": BEST})).queries[0].vectors[dense.space]
        text = f"[CLS] {QUERY} [SEP] {TEXTS['d1']} [SEP] {TEXTS['d2']} [SEP]"
        assert vector == pytest.approx(self.by_hand(base, text), abs=1e-5)

    def test_an_adapter_changes_it(self, base, adapter, dense):
        from rankloom.prf.feedback_adapter import load_adapter

        vector = LearnedPRF(adapter, retriever=dense).run(ranked({"q": BEST})).queries[0].vectors[dense.space]
        text = f"[CLS] {QUERY} [SEP] {TEXTS['d1']} [SEP] {TEXTS['d2']} [SEP]"
        changed = self.by_hand(base, text, lambda model: load_adapter(adapter, model))
        assert vector == pytest.approx(changed, abs=1e-5)
        assert np.abs(vector - self.by_hand(base, text)).max() > 1e-2

    def test_pooled_over_the_query(self, base, dense, tmp_path):
        from sentence_transformers import SentenceTransformer

        from rankloom.prf.feedback_adapter import load_adapter

        folder = adapter_of(base, tmp_path / "prf", pooled="query")
        vector = LearnedPRF(folder, retriever=dense).run(ranked({"q": BEST})).queries[0].vectors[dense.space]
        model = load_adapter(folder, SentenceTransformer(base, device="cpu"))
        ids = model[0].tokenizer(
            f"[CLS] {QUERY} [SEP] {TEXTS['d1']} [SEP] {TEXTS['d2']} [SEP]",
            add_special_tokens=False,
            return_tensors="pt",
        )
        with torch.no_grad():
            states = model[0].model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"])
        mean = states.last_hidden_state[0, :7].mean(0)  # [CLS], five words, [SEP]
        assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)

    def test_ance_takes_the_first_token_through_its_head(self, tmp_path):
        from safetensors.torch import save_file
        from transformers import RobertaConfig, RobertaModel

        torch.manual_seed(5)
        values = {**tiny_config().to_dict(), "model_type": "roberta", "architectures": ["RobertaDot_NLL_LN"]}
        config = RobertaConfig(**values)
        roberta = RobertaModel(config).eval()
        head, norm = torch.nn.Linear(32, 24), torch.nn.LayerNorm(24)
        torch.nn.init.normal_(norm.weight)
        parts = {"roberta": roberta, "embeddingHead": head, "norm": norm}
        weights = {f"{part}.{name}": one.contiguous() for part, module in parts.items()
                   for name, one in module.state_dict().items()}  # fmt: skip
        save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
        config.save_pretrained(tmp_path)
        tiny_tokenizer(tmp_path, max_length=64)
        retriever = FakeVectors(vectors=dict.fromkeys(TEXTS, (1.0, 0.0, 0.0)))
        stage = LearnedPRF(str(tmp_path), docs=1, max_tokens=50, retriever=retriever)
        vector = stage.run(ranked({"q": BEST})).queries[0].vectors["letters"]
        from transformers import AutoTokenizer

        text = f"[CLS] {QUERY} [SEP] {TEXTS['d1']} [SEP]"
        ids = AutoTokenizer.from_pretrained(tmp_path)(text, add_special_tokens=False, return_tensors="pt")
        with torch.no_grad():
            first = roberta(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]).last_hidden_state[:, 0]
            expected = norm(head(first))[0].numpy()
        assert vector == pytest.approx(expected, abs=1e-4)

    def test_tct_takes_the_mean_of_all_but_its_marker(self, dense, tmp_path):
        from transformers import AutoTokenizer, BertModel

        torch.manual_seed(6)
        bert = BertModel(tiny_config()).eval()
        bert.save_pretrained(tmp_path)
        tiny_tokenizer(tmp_path, max_length=64)
        stage = LearnedPRF(str(tmp_path), docs=1, form="tct", max_tokens=48, retriever=dense)
        vector = stage.run(ranked({"q": BEST})).queries[0].vectors[dense.space]
        text = f"[CLS] [Q] {QUERY} [SEP] {TEXTS['d1']} {'[MASK] ' * 48}"
        ids = AutoTokenizer.from_pretrained(tmp_path)(text, add_special_tokens=False, return_tensors="pt")
        with torch.no_grad():
            states = bert(input_ids=ids["input_ids"][:, :48]).last_hidden_state
        assert vector == pytest.approx(states[0, 4:].mean(0).numpy(), abs=1e-4)

    def test_in_a_batch_as_alone(self, adapter, dense):
        queries = {"q1": QUERY, "q2": "bread", "q3": QUERY}
        run = ranked({"q1": BEST, "q2": {"d3": 2.0, "d4": 1.0}, "q3": BEST}, queries=queries)
        together = LearnedPRF(adapter, retriever=dense).run(run)
        for place, query in enumerate(together.queries):
            alone = LearnedPRF(adapter, retriever=dense).run(run.select([place])).queries[0]
            assert query.vectors[dense.space] == pytest.approx(alone.vectors[dense.space], abs=1e-5)
        assert (together.queries[0].vectors[dense.space] == together.queries[2].vectors[dense.space]).all()


class TestDepthAndSpace:
    def test_another_depth_than_it_was_trained_with(self, adapter, dense):
        with pytest.raises(UsageError, match=r"learned_prf.*trained with docs=2, and docs=3 is asked for"):
            LearnedPRF(adapter, docs=3, retriever=dense).run(ranked({"q": BEST}))
        assert LearnedPRF(adapter, docs=2, retriever=dense).run(ranked({"q": BEST})).queries[0].vectors

    @pytest.mark.parametrize("other", [{"max_tokens": 64}, {"form": "tct"}])
    def test_another_layout(self, adapter, dense, other):
        with pytest.raises(UsageError, match="was trained with"):
            LearnedPRF(adapter, retriever=dense, **other).run(ranked({"q": BEST}))

    def test_another_pooling(self, adapter, dense):
        with pytest.raises(UsageError, match="says itself how its vectors are made"):
            LearnedPRF(adapter, pooling="cls", retriever=dense).run(ranked({"q": BEST}))

    def test_a_model_that_says_nothing_needs_a_depth(self, base, dense):
        with pytest.raises(UsageError, match=r"does not say how many.*pass docs="):
            LearnedPRF(base, retriever=dense).run(ranked({"q": BEST}))

    def test_more_tokens_than_there_are_places(self, base, dense):
        with pytest.raises(UsageError, match=r"512.*up to 64.*max_tokens=64"):
            LearnedPRF(base, docs=2, retriever=dense).run(ranked({"q": BEST}))

    def test_roberta_has_two_places_less_than_it_names(self):
        from transformers import BertModel, RobertaConfig, RobertaModel

        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        config = RobertaConfig(vocab_size=9, max_position_embeddings=34, pad_token_id=1, **sizes)
        model = RobertaModel(config).eval()
        assert positions(model) == 32
        model(torch.full((1, 32), 5))
        with pytest.raises((IndexError, RuntimeError)):
            model(torch.full((1, 33), 5))
        assert positions(BertModel(tiny_config())) == 64

    def test_an_index_of_another_encoder(self, adapter, base, tmp_path):
        other = str(tiny_encoder(tmp_path, seed=2, max_length=64))
        dense = Dense.of(CORPUS, model=other, session=SESSION)
        with pytest.raises(UsageError) as raised:
            LearnedPRF(adapter, retriever=dense).run(ranked({"q": BEST}))
        assert base in str(raised.value)
        assert other in str(raised.value)

    def test_a_whole_model_says_the_same_in_a_file(self, base, tmp_path):
        import shutil

        folder = tmp_path / "whole"
        shutil.copytree(base, folder)
        said = {"layout": asdict(FeedbackLayout(docs=2, max_tokens=40)), "documents": base}
        (folder / "feedback.json").write_text(json.dumps(said))
        dense = Dense.of(CORPUS, model=base, session=SESSION)
        plain = LearnedPRF(base, docs=2, max_tokens=40, retriever=dense).run(ranked({"q": BEST}))
        found = LearnedPRF(str(folder), retriever=dense).run(ranked({"q": BEST}))
        space = dense.space
        assert found.queries[0].vectors[space] == pytest.approx(plain.queries[0].vectors[space], abs=1e-6)
        with pytest.raises(UsageError, match=r"docs=2, and docs=1"):
            LearnedPRF(str(folder), docs=1, retriever=dense).run(ranked({"q": BEST}))
        (folder / "feedback.json").write_text('{"layout": {"docs": 0}}')
        with pytest.raises(DataError, match="can not be read"):
            LearnedPRF(str(folder), retriever=dense).run(ranked({"q": BEST}))

    def test_the_files_of_the_model_take_part_in_the_fingerprint(self, base, tmp_path):
        folder = adapter_of(base, tmp_path / "prf")
        before = LearnedPRF(folder).fingerprint()
        file = tmp_path / "prf" / "adapter.json"
        file.write_text(file.read_text().replace('"docs": 2', '"docs": 1'))
        assert read_settings(folder).layout.docs == 1
        assert LearnedPRF(folder).fingerprint() != before


class TestWhatIsSaid:
    def notes(self, adapter, dense, scores, *, text=QUERY, vectors=None, documents=CORPUS, session=SESSION):
        queries = [Query("q", text, vectors=vectors or {})]
        run = Run.from_dict({"q": scores}, queries=queries, documents=documents, session=session)
        after = LearnedPRF(adapter, retriever=dense).run(run)
        said = [(note.kind, note.doc_id, note.amount, note.detail) for note in after.ledger.notes]
        return after, said

    def test_nothing_found(self, adapter, dense):
        after, said = self.notes(adapter, dense, {})
        assert said == [("no_feedback", "", 1, "no document was found")]
        expected = dense.query_vectors([Query("q", QUERY)], SESSION)[0]
        assert after.queries[0].vectors[dense.space] == pytest.approx(expected)
        spent = {cost.model: cost.calls for cost in after.ledger.costs}
        assert spent == {adapter: 0, dense.model_name: 1}

    def test_an_empty_query(self, adapter, dense):
        after, said = self.notes(adapter, dense, BEST, text=" ")
        assert said == [("no_feedback", "", 1, "the query is empty")]
        assert not after.queries[0].vectors

    def test_a_query_of_vectors_alone_keeps_them(self, adapter, dense):
        vector = np.ones(32, dtype=np.float32)
        after, said = self.notes(adapter, dense, BEST, text="", vectors={dense.space: vector})
        assert said == [("no_feedback", "", 1, "the query has no text")]
        assert (after.queries[0].vectors[dense.space] == vector).all()

    def test_empty_documents_are_left_out(self, adapter, dense):
        documents = MemoryDocuments([Document("e", " "), Document("d1", TEXTS["d1"])])
        after, said = self.notes(adapter, dense, {"e": 2.0, "d1": 1.0}, documents=documents)
        assert said == [("empty_document", "e", 1, "it gives no feedback"), ("less_feedback", "", 1, "")]
        alone, _ = self.notes(adapter, dense, {"d1": 1.0})
        assert after.queries[0].vectors[dense.space] == pytest.approx(alone.queries[0].vectors[dense.space])
        _, said = self.notes(adapter, dense, {"e": 2.0}, documents=documents)
        assert [kind for kind, *_ in said] == ["empty_document", "no_feedback"]

    def test_documents_of_equal_text_count_each(self, adapter, dense):
        twins = MemoryDocuments([Document("a", TEXTS["d1"]), Document("b", TEXTS["d1"])])
        both, said = self.notes(adapter, dense, {"a": 2.0, "b": 1.0}, documents=twins)
        one, _ = self.notes(adapter, dense, {"a": 2.0}, documents=twins)
        assert said == []
        assert np.abs(both.queries[0].vectors[dense.space] - one.queries[0].vectors[dense.space]).max() > 1e-3

    def test_each_document_that_is_not_read_whole(self, adapter, dense):
        documents = MemoryDocuments([Document("a", "sky " * 30), Document("b", "sea " * 20)])
        after, said = self.notes(adapter, dense, {"a": 2.0, "b": 1.0}, documents=documents)
        # 40 tokens: [CLS], five of the query, [SEP], 30 of a, [SEP], one of b, [SEP]
        assert said == [("cut_feedback", "b", 19, "tokens without room")]
        assert after.ledger.counts() == {"cut_feedback": 1}
        assert after.ledger.costs[0].tokens == 40

    def test_a_query_that_is_cut(self, adapter, dense):
        after, said = self.notes(adapter, dense, {"d2": 1.0}, text="sky " * 50)
        assert said == [("truncated", "", 12, ""), ("less_feedback", "", 1, ""),
                        ("cut_feedback", "d2", 4, "tokens without room")]  # fmt: skip
        assert after.ledger.counts()["truncated"] == 1
        strict = Session(offline=True, device="cpu", on_truncate="error")
        with pytest.raises(DataError, match=r"learned_prf.*longer than the model reads"):
            self.notes(adapter, dense, {"d2": 1.0}, text="sky " * 50, session=strict)

    def test_model_calls_and_tokens_are_counted(self, adapter, dense):
        run = ranked({"q1": BEST, "q2": {}}, queries={"q1": QUERY, "q2": "bread"})
        costs = LearnedPRF(adapter, retriever=dense).run(run).ledger.costs
        learned, plain = ({cost.model: cost for cost in costs}[name] for name in (adapter, dense.model_name))
        words = sum(len(text.split()) for text in (QUERY, TEXTS["d1"], TEXTS["d2"]))
        separators, spelt = 4, len("for") - 1  # a word that the tokenizer spells
        assert (learned.inputs, learned.calls, learned.model) == (2, 1, adapter)
        assert learned.tokens == words + separators + spelt
        assert (plain.calls, plain.tokens, plain.model) == (1, 3, dense.model_name)


class TestComposition:
    def test_finds_by_the_new_vector(self, adapter, dense):
        pipeline = dense >> LearnedPRF(adapter) >> dense
        found = pipeline.run({"q": QUERY}, session=SESSION)
        first = dense.run({"q": QUERY}, session=SESSION)
        moved = LearnedPRF(adapter, retriever=dense).run(first).queries[0].vectors[dense.space]
        vectors, _ = dense.document_vectors(list(TEXTS))
        expected = dict(zip(TEXTS, (vectors @ moved).tolist(), strict=True))
        assert found.to_dict()["q"] == pytest.approx(expected, abs=1e-5)

    def test_the_same_list_is_reranked(self, adapter, dense):
        first = ranked({"q": {"d3": 2.0, "d1": 1.0}})
        pipeline = LearnedPRF(adapter, then="rerank") >> StoredVectors(dense)
        found = pipeline.run(first)
        moved = LearnedPRF(adapter, retriever=dense).run(first).queries[0].vectors[dense.space]
        vectors, _ = dense.document_vectors(["d1", "d3"])
        assert found.to_dict()["q"] == pytest.approx(dict(zip(["d1", "d3"], vectors @ moved, strict=True)), abs=1e-5)

    def test_a_retriever_over_vectors_is_needed(self, adapter):
        with pytest.raises(CompositionError, match=r"learned_prf.*pass retriever="):
            LearnedPRF(adapter).run(ranked({"q": BEST}))

    def test_texts_are_needed(self, adapter, dense):
        with pytest.raises(CompositionError, match=r"learned_prf.*text"):
            LearnedPRF(adapter, retriever=dense).run(Run.from_dict({"q": BEST}, queries={"q": QUERY}))

    def test_from_yaml(self, adapter, base):
        spec = ["bm25", {"learned_prf": {"model": adapter}}, {"dense": {"model": base}}]
        builder = PipelineBuilder({})
        builder.check(spec, at=())
        pipeline = builder.build(spec, corpus=CORPUS, session=SESSION)
        assert pipeline.stages[1].retriever is pipeline.stages[2]
        assert pipeline.run({"q": "sky"}, session=SESSION)["q"].doc_ids

    @pytest.mark.parametrize("wrong", [{"docs": 0}, {"form": "t5"}, {"max_tokens": 1}, {"precision": "int4"}])
    def test_parameters_that_are_out_of_range(self, wrong):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            LearnedPRF("model", **wrong)


class TestContract(StageConformance):
    own_process = False
    light = False

    @pytest.fixture(autouse=True)
    def _models(self, adapter, dense):
        type(self).made = (adapter, dense)

    def make_stage(self):
        adapter, dense = self.made
        return LearnedPRF(adapter, retriever=dense)

    def make_run(self):
        scores = {"q1": BEST, "q2": {"d3": 2.0, "d4": 1.0}, "q3": {}}
        return ranked(scores, queries={"q1": QUERY, "q2": "bread", "q3": "moon"})
