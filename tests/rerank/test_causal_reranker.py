"""Causal rerankers against transformers itself, one pair at a time, on small random checkpoints in their layouts."""

import os

import pytest

from rankloom import Document, Run, ScoreKind, Session
from rankloom.corpus import MemoryDocuments
from rankloom.errors import DataError, UsageError
from rankloom.rerank import CausalReranker, CrossEncoder
from rankloom.rerank.causal_reranker import bge_tokens, qwen3_tokens
from rankloom.testing import StageConformance
from tests.rerank.folders import QUERIES, TEXTS, candidates
from tests.tiny_models import tiny_causal, tiny_causal_reranker, tiny_cross_encoder

FOLDER = "RANKLOOM_TEST_CAUSAL_RERANKER"  # where the tests' model is, also for the processes that they start
QWEN_HEAD = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
QWEN_TAIL = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
BGE_TAIL = (
    "\nGiven a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
    "prediction of either 'Yes' or 'No'."
)
WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory):
    folder = str(tiny_causal_reranker(tmp_path_factory.mktemp("qwen3"), "qwen3"))
    os.environ[FOLDER] = folder
    yield folder
    del os.environ[FOLDER]


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    return str(tiny_causal_reranker(tmp_path_factory.mktemp("gemma"), "gemma"))


def qwen3_prompt(query, document, instruction=WEB_SEARCH):
    return f"{QWEN_HEAD}<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}{QWEN_TAIL}"


def bge_prompt(query, document):
    return f"<bos>A: {query}\nB: {document}{BGE_TAIL}"


def alone(folder, prompt):
    """The logits after one prompt, tokenised as a whole, without padding; by token."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, -1]
    return lambda word: float(logits[tokenizer.convert_tokens_to_ids(word)])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_qwen3_scores_are_yes_above_no(qwen3, batch_size):
    run = CausalReranker(qwen3, batch_size=batch_size).run(candidates())
    assert run.ranking.kind == ScoreKind.LOGIT
    for query_id, scores in run.to_dict().items():
        expected = {}
        for doc_id, text in TEXTS.items():
            told = alone(qwen3, qwen3_prompt(QUERIES[query_id], text))
            expected[doc_id] = told("yes") - told("no")
        assert len({round(score, 3) for score in expected.values()}) >= 4
        for doc_id, score in scores.items():
            assert score == pytest.approx(expected[doc_id], rel=1e-3, abs=1e-3), doc_id
    assert not run.ledger.notes


@pytest.mark.parametrize("batch_size", [1, 4])
def test_bge_scores_are_the_logit_of_yes(gemma, batch_size):
    run = CausalReranker(gemma, batch_size=batch_size).run(candidates())
    for query_id, scores in run.to_dict().items():
        expected = {doc_id: alone(gemma, bge_prompt(QUERIES[query_id], text))("Yes") for doc_id, text in TEXTS.items()}
        assert len({round(score, 3) for score in expected.values()}) >= 4
        for doc_id, score in scores.items():
            assert score == pytest.approx(expected[doc_id], rel=1e-3, abs=1e-3), doc_id


def test_an_instruction_stands_in_the_prompt(qwen3):
    run = CausalReranker(qwen3, instruction="Find tides").run(candidates())
    told = alone(qwen3, qwen3_prompt("tide", TEXTS["moon"], "Find tides"))
    assert run.to_dict()["q2"]["moon"] == pytest.approx(told("yes") - told("no"), abs=1e-3)


def test_the_document_alone_is_cut_and_the_end_of_the_prompt_stands(qwen3, gemma):
    from transformers import AutoTokenizer

    text = "light " * 50
    for folder, tokens, whole, tail in (
        (qwen3, lambda one, most: qwen3_tokens(one, "tide", text, instruction="Find", most=most),
         qwen3_prompt("tide", text, "Find"), QWEN_TAIL),
        (gemma, lambda one, most: bge_tokens(one, "tide", text, most=most), bge_prompt("tide", text), BGE_TAIL),
    ):  # fmt: skip
        tokenizer = AutoTokenizer.from_pretrained(folder)
        uncut, cut = tokens(tokenizer, 9999)
        assert (uncut, cut) == (tokenizer(whole, add_special_tokens=False)["input_ids"], 0)
        end = tokenizer(tail, add_special_tokens=False)["input_ids"]
        besides = 0 if folder == qwen3 else len(end)
        for less in (1, 7, 100):
            ids, cut = tokens(tokenizer, len(uncut) - besides - less)
            assert cut == less
            assert len(ids) == len(uncut) - less
            assert ids[-len(end) :] == end
            assert ids[: -len(end)] == uncut[: len(uncut) - len(end) - less]


@pytest.mark.parametrize("family", ["qwen3", "gemma"])
def test_what_is_cut_is_noted_and_a_query_without_room_is_an_error(request, family):
    folder = request.getfixturevalue(family)
    most = {"qwen3": 700, "gemma": 200}[family]
    notes = CausalReranker(folder, max_tokens=most).run(candidates()).ledger.notes
    assert {(note.kind, note.doc_id) for note in notes} == {("truncated", "long")}
    documents = MemoryDocuments([Document("d", "light")])
    run = Run.from_dict({"q": {"d": 1.0}}, queries={"q": "long " * 200}, documents=documents, session=Session())
    with pytest.raises(DataError, match=r"leaves no room for the document.*max_tokens"):
        CausalReranker(folder, max_tokens=most).run(run)


@pytest.mark.parametrize("family", ["qwen3", "gemma"])
def test_no_more_is_read_than_the_model_has_positions_for(request, family, tmp_path):
    most, tail = {"qwen3": (700, 0), "gemma": (300, len(BGE_TAIL) - len("YesNo") + 2)}[family]
    short = str(tiny_causal_reranker(tmp_path, family, positions=most))
    expected = CausalReranker(request.getfixturevalue(family), max_tokens=most - tail).run(candidates())
    for asked in (None, 5000):
        found = CausalReranker(short, max_tokens=asked).run(candidates())
        assert found.to_dict() == expected.to_dict()
        assert found.ledger.notes == expected.ledger.notes
        assert {(note.kind, note.doc_id) for note in found.ledger.notes} == {("truncated", "long")}


def test_what_can_not_be_is_refused(qwen3, gemma, tmp_path):
    with pytest.raises(DataError, match=r"no causal language model.*CrossEncoder"):
        CausalReranker(str(tiny_cross_encoder(tmp_path / "cross"))).run(candidates())
    plain = str(tiny_causal(tmp_path / "llama", max_length=4096))
    with pytest.raises(DataError, match=r"nobody says how the model reads pairs; got 'llama'.*layout='qwen3' or 'bge'"):
        CausalReranker(plain).run(candidates())
    with pytest.raises(DataError, match="not one token of the model; got 'yes'"):
        CausalReranker(plain, layout="qwen3").run(candidates())
    with pytest.raises(DataError, match="reads no instruction"):
        CausalReranker(gemma, instruction="Find").run(candidates())
    with pytest.raises(UsageError, match="no instruction"):
        CausalReranker(gemma, layout="bge", instruction="Find")
    with pytest.raises(UsageError, match="layout"):
        CausalReranker(qwen3, layout="qwen")
    with pytest.raises(UsageError, match="max_tokens"):
        CausalReranker(qwen3, max_tokens=0)


def test_a_cross_encoder_does_not_make_up_a_prompt(qwen3):
    with pytest.raises(DataError, match=r"nothing says how the model reads a query and a document.*causal_reranker"):
        CrossEncoder(qwen3).run(candidates())


class TestConformance(StageConformance):
    neutral = frozenset({"batch_size"})

    @pytest.fixture(autouse=True)
    def _model(self, qwen3):
        pass

    def make_stage(self):
        return CausalReranker(os.environ[FOLDER], depth=4)

    def make_run(self):
        return candidates()
