"""Comparing two documents: against the models themselves, one reading at a time, and sorting by what they say."""

import os
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest

from rankloom import Document, Run, Session
from rankloom.budget import Budget
from rankloom.corpus import MemoryDocuments
from rankloom.errors import DataError, StageError, UsageError
from rankloom.rerank import CrossEncoder, Duo
from rankloom.rerank.duo_input import Frame, token_ids
from rankloom.rerank.duo_model import DuoEncoder, DuoModel, DuoT5
from rankloom.testing import StageConformance
from tests.tiny_models import tiny_cross_encoder, tiny_encoder, tiny_t5

FOLDER = "RANKLOOM_TEST_DUO"  # where the tests' adapter is, also for the processes that they start
SESSION = Session(offline=True, device="cpu")
METHODS = ["all_pair", "heapsort", "sliding", "tournament"]
TEXTS = {
    "sky": "The sky is blue.",
    "moon": "The moon moves the sea.",
    "bread": "Yeast!",
    "empty": "",
    "tide": "tide tide sea",
    "light": "light, and the sun",
    "same": "The sky is blue.",
}
QUERIES = {"q1": "why is the sky blue", "q2": "tide"}


def candidates(session=SESSION, texts=TEXTS):
    scores = {doc_id: -float(place) for place, doc_id in enumerate(texts)}
    documents = MemoryDocuments([Document(doc_id, text) for doc_id, text in texts.items()])
    return Run.from_dict(dict.fromkeys(QUERIES, scores), queries=QUERIES, documents=documents, session=session)


def tiny_duo(folder: Path, *, max_tokens=64) -> str:
    """An adapter of random weights that compares."""
    import torch
    from sentence_transformers import SentenceTransformer

    from rankloom.cross_encoder_adapter import CrossEncoderSettings, adapted, save_adapter, trained

    backbone = str(tiny_encoder(folder, max_length=64))
    settings = CrossEncoderSettings(backbone, max_tokens, documents=2, rank=2)
    model = adapted(SentenceTransformer(backbone, device="cpu"), settings)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in trained(model).values():
            parameter.normal_(std=0.3)
    save_adapter(model, folder / "adapter", settings)
    return str(folder / "adapter")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    folder = tiny_duo(tmp_path_factory.mktemp("tiny"))
    os.environ[FOLDER] = folder
    yield folder
    del os.environ[FOLDER]


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    return str(tiny_t5(tmp_path_factory.mktemp("t5")))


@pytest.fixture(params=["adapter", "t5"])
def model(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def readings(monkeypatch):
    """How many readings models were asked for, batch by batch."""
    sizes = []
    for kind in (DuoEncoder, DuoT5):

        def counting(self, some, told=kind.told):
            sizes.append(len(some))
            return told(self, some)

        monkeypatch.setattr(kind, "told", counting)
    return sizes


def peer_of(folder):
    """Gives the logit of a reading by the model's own library: its tokenizer makes the whole input."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import AutoTokenizer, T5ForConditionalGeneration

    from rankloom.cross_encoder_adapter import load_adapter, read_settings

    if (Path(folder) / "adapter.json").exists():
        backbone = SentenceTransformer(read_settings(folder).backbone, device="cpu")
        peer = load_adapter(folder, backbone, documents=2)

        def by_encoder(query, first, second):
            pair = (query, f"{first}[SEP]{second}")
            return float(peer.predict([pair], activation_fn=torch.nn.Identity())[0])

        return by_encoder
    tokenizer, peer = AutoTokenizer.from_pretrained(folder), T5ForConditionalGeneration.from_pretrained(folder).eval()
    yes, no = tokenizer.convert_tokens_to_ids(["▁true", "▁false"])

    def by_t5(query, first, second):
        text = f"Query: {query} Document0: {first} Document1: {second} Relevant:"
        prompt = tokenizer(" ".join(text.split()), return_tensors="pt")
        kept = {"input_ids": prompt["input_ids"], "attention_mask": prompt["attention_mask"]}
        settings = {"max_new_tokens": 1, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
        with torch.no_grad():
            logits = peer.generate(**kept, **settings).logits[0][0]
        return float(logits[yes] - logits[no])

    return by_t5


def likely(folder, query):
    """(i, j) -> the probability that i is better than j, by the peer."""
    logit = peer_of(folder)
    return {(a, b): 1 / (1 + np.exp(-logit(query, TEXTS[a], TEXTS[b]))) for a, b in permutations(TEXTS, 2)}


def test_all_pair_is_the_sum_of_the_paper(model):
    run = Duo(model, method="all_pair", k=7).run(candidates())
    for query_id, query in QUERIES.items():
        p = likely(model, query)
        points = {a: sum(p[a, b] + 1 - p[b, a] for b in TEXTS if b != a) for a in TEXTS}
        assert max(points.values()) - min(points.values()) > 0.01  # the model prefers some
        ids = run[query_id].doc_ids
        assert all(points[a] >= points[b] - 1e-4 for a, b in pairwise(ids))
        assert ids.index("same") == ids.index("sky") + 1  # equal texts stay in their order


@pytest.mark.parametrize("method", METHODS)
def test_the_best_is_one_that_the_model_prefers_to_its_rival(model, method):
    run = Duo(model, method=method, k=2).run(candidates())
    whole = Duo(model, method=method, k=7).run(candidates())
    for query_id, query in QUERIES.items():
        p = likely(model, query)
        best, second = run[query_id].doc_ids[:2]
        if method != "all_pair":
            assert p[best, second] >= p[second, best] - 1e-4
        assert sorted(run[query_id].doc_ids) == sorted(TEXTS)
        assert whole[query_id].doc_ids[:1] == [best]


def test_orders_that_contradict_are_decided_by_the_surer_one(monkeypatch, adapter):
    said = {("sky", "moon"): 3.0, ("moon", "sky"): 1.0}  # both say: the first

    def told(self, some):
        names = {tuple(token_ids(self.tokenizer, [TEXTS[name]])[0]): name for name in ("sky", "moon")}
        for place, one in enumerate(some):
            pair = names[tuple(one.first)], names[tuple(one.second)]
            yield np.array([place]), np.array([said[pair]], dtype=np.float32)

    monkeypatch.setattr(DuoEncoder, "told", told)
    texts = {"moon": TEXTS["moon"], "sky": TEXTS["sky"]}
    assert Duo(adapter).run(candidates(texts=texts))["q1"].doc_ids == ["sky", "moon"]
    said["moon", "sky"] = 3.0
    assert Duo(adapter).run(candidates(texts=texts))["q1"].doc_ids == ["moon", "sky"]


@pytest.mark.parametrize("method", METHODS)
def test_calls_tokens_and_bounds(adapter, method, readings):
    stage = Duo(adapter, method=method, k=3, depth=6)
    cost = stage.run(candidates()).ledger.costs[-1]
    least, most = stage.calls(stage.params(), 7)
    assert (cost.stage, cost.model, cost.cached, cost.written) == ("duo", adapter, 0, 0)  # of six different texts
    assert 2 * least <= cost.calls == cost.inputs == sum(readings) <= 2 * most
    assert cost.tokens > 10 * cost.calls


def test_tokens_are_those_of_the_tokenizer(adapter):
    from transformers import AutoTokenizer

    from rankloom.cross_encoder_adapter import read_settings

    tokenizer = AutoTokenizer.from_pretrained(read_settings(adapter).backbone)
    cost = Duo(adapter, method="all_pair", k=3, depth=3).run(candidates()).ledger.costs[-1]
    pairs = [
        (query, f"{TEXTS[a]}[SEP]{TEXTS[b]}") for query in QUERIES.values() for a, b in permutations(list(TEXTS)[:3], 2)
    ]
    assert cost.tokens == sum(len(tokenizer(*pair)["input_ids"]) for pair in pairs)


@pytest.mark.parametrize("method", METHODS)
def test_a_second_run_asks_nothing_and_says_the_same(model, method, readings, tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    texts = {**TEXTS, "long": "light " * 300}
    first = Duo(model, method=method).run(candidates(session, texts))
    del readings[:]
    stage = Duo(model, method=method)
    again = stage.run(candidates(session, texts))
    assert (readings, stage._model) == ([], None)
    assert again.ranking.fingerprint() == first.ranking.fingerprint()
    assert again.ledger.notes == first.ledger.notes
    assert again.ledger.costs[-1].calls == 0
    assert again.ledger.costs[-1].cached == again.ledger.costs[-1].inputs > 0


def test_a_run_that_dies_goes_on(adapter, monkeypatch, tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    monkeypatch.setattr("rankloom.rerank.duo_model._READINGS", 4)
    monkeypatch.setattr("rankloom.rerank.duo_comparator._KEPT", 4)
    whole, batches = DuoEncoder.told, []

    def dying(self, some):
        for one in whole(self, some):
            batches.append(one)
            if len(batches) == 6:
                raise RuntimeError("killed")
            yield one

    monkeypatch.setattr(DuoEncoder, "told", dying)
    with pytest.raises(StageError, match="killed"):
        Duo(adapter, method="all_pair", k=7).run(candidates(session))
    monkeypatch.setattr(DuoEncoder, "told", whole)
    found = Duo(adapter, method="all_pair", k=7).run(candidates(session))
    assert found.ledger.costs[-1].cached >= 5 * 4
    expected = Duo(adapter, method="all_pair", k=7).run(candidates())
    assert found.to_dict() == expected.to_dict()


def test_a_budget_stops_it(adapter):
    session = Session(offline=True, device="cpu", budget=Budget(calls=21))
    run = Duo(adapter, method="all_pair").run(candidates(session))
    assert run.ledger.costs[-1].calls == 20  # both orders or none
    assert [note.query_id for note in run.ledger.of("unfinished")] == ["q1", "q2"]


def test_every_text_has_its_share():
    frame = Frame((1,), (2,), (3,), (4,), limit=34)  # 30 for the texts
    assert frame.reading([7] * 4, [8] * 40, [9] * 5) == ([7] * 4, [8] * 13, [9] * 5)
    assert frame.reading([7] * 40, [8] * 40, [9] * 40) == ([7] * 10, [8] * 10, [9] * 10)
    one = frame.reading([7] * 40, [8] * 40, [9] * 40)
    assert frame.ids(one) == [1, *[7] * 10, 2, *[8] * 10, 3, *[9] * 10, 4]
    assert frame.length(one) == 34
    assert frame.reading([7], [], [9]) == ([7], [], [9])


def test_what_is_not_read_is_noted(model):
    texts = {**TEXTS, "long": "light " * 300, "longer": "sky " * 400}
    run = Duo(model, method="all_pair", max_tokens=60).run(candidates(texts=texts))
    notes = {(note.query_id, note.doc_id): note.amount for note in run.ledger.of("truncated")}
    assert {doc_id for _, doc_id in notes} == {"long", "longer"}
    assert len(run.ledger.of("truncated")) == len(notes) == 4  # each once
    for query_id in QUERIES:
        assert notes[query_id, "longer"] - notes[query_id, "long"] == 100
    with pytest.raises(DataError, match="'long"):
        Duo(model).run(candidates(Session(offline=True, device="cpu", on_truncate="error"), texts))


def test_a_long_query_is_noted_once(adapter):
    run = Run.from_documents("light " * 60, [Document("a", "sky"), Document("b", "sea"), Document("c", "moon")])
    (note,) = Duo(adapter, method="all_pair").run(run, session=SESSION).ledger.of("truncated")
    assert (note.query_id, note.doc_id, note.amount) == ("q1", "", 60 - 20)  # a third of 64 without 4


@pytest.mark.parametrize(("precision", "off"), [("bfloat16", 0.3), ("onnx-float32", 1e-4), ("onnx-int8", 0.5)])
def test_other_precisions_say_about_the_same(adapter, precision, off, tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    plain, other = Duo(adapter)._load(session), Duo(adapter, precision=precision)._load(session)
    query, *texts = token_ids(plain.tokenizer, ["why is the sky blue", *TEXTS.values()])
    some = [plain.frame.reading(query, first, second) for first, second in permutations(texts, 2)]

    def logits(model: DuoModel):
        found = np.zeros(len(some))
        for places, told in model.told(some):
            found[places] = told
        return found

    differences = np.abs(logits(plain) - logits(other))
    assert 0 < differences.mean() < off
    assert np.ptp(logits(plain)) > off / 2


def test_the_precision_is_part_of_what_is_remembered(adapter, readings, tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    Duo(adapter).run(candidates(session))
    del readings[:]
    Duo(adapter, precision="bfloat16").run(candidates(session))
    assert readings


def test_the_making_of_graphs_is_part_of_what_is_remembered(adapter, readings, tmp_path, monkeypatch):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    for version, asks in ((2, True), (2, False), (99, True)):
        monkeypatch.setattr("rankloom.encoders.precision.ONNX_FILES", version)
        del readings[:]
        Duo(adapter, precision="onnx-float32").run(candidates(session))
        assert bool(readings) == asks


def test_models_that_do_not_compare_are_refused(adapter, t5, tmp_path):
    with pytest.raises(DataError, match=r"reads 2 document.*take Duo"):
        CrossEncoder(adapter).run(candidates())
    Duo(adapter).run(candidates())
    with pytest.raises(DataError, match=r"reads 2 document"):
        CrossEncoder(adapter).run(candidates())  # also when it is loaded already
    with pytest.raises(DataError, match=r"no sequence-to-sequence model.*kind duo"):
        Duo(str(tiny_cross_encoder(tmp_path))).run(candidates())
    with pytest.raises(UsageError, match="torch alone"):
        Duo(t5, precision="onnx-int8").run(candidates())
    with pytest.raises(UsageError, match="not trained to read so many"):
        Duo(adapter, max_tokens=65).run(candidates())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"method": "slide"}, "did you mean 'sliding'"), ({"k": 0}, "k is out"), ({"depth": 0}, "depth is out"),
     ({"max_tokens": 8}, "max_tokens is out"), ({"precision": "int4"}, "precision")],
)  # fmt: skip
def test_parameters_are_checked(settings, problem):
    with pytest.raises(UsageError, match=problem):
        Duo("x/y", **settings)


class TestConformance(StageConformance):
    @pytest.fixture(autouse=True)
    def _model(self, adapter):
        pass

    def make_stage(self):
        return Duo(os.environ[FOLDER], k=2, depth=4)

    def make_run(self):
        return candidates()
