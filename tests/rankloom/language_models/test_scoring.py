"""Likelihoods by models on this machine: tiny random ones of bytes, against whole passes of transformers."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from rankloom import Session
from rankloom.errors import DataError
from rankloom.language_model import Prompt
from rankloom.language_models import Local
from rankloom.language_models import scoring as module
from rankloom.likelihood import Continuation, log_likelihoods
from rankloom.rerank.llm import GradedRelevance, Listwise, Pairwise, QueryLikelihood, Setwise, YesNo
from tests.rerank.llm.models import graded_run
from tests.tiny_models import CHAT, tiny_causal, tiny_seq2seq

SESSION = Session(offline=True, device="cpu")
PROMPTS = [Prompt("why is the sky blue"), Prompt("tea"), Prompt("bread", system="Be brief.")]
TEXTS = ["Passage A", "Passage B", "yes", "no", "x"]
ASKED = [Continuation(prompt, text) for prompt in PROMPTS for text in TEXTS]


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    return tiny_causal(tmp_path_factory.mktemp("causal") / "model", max_length=2048)


@pytest.fixture(scope="module")
def chatty(tmp_path_factory):
    return tiny_causal(tmp_path_factory.mktemp("chatty") / "model", chat=CHAT)


@pytest.fixture(scope="module")
def seq2seq(tmp_path_factory):
    return tiny_seq2seq(tmp_path_factory.mktemp("seq2seq") / "model")


def told(model, asked=ASKED):
    return log_likelihoods(model, asked, session=SESSION, stage="test").log_probabilities


def by_causal(folder, prompt, text):
    """One pass over prompt and continuation together."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    before, after = (tokenizer(one, add_special_tokens=False)["input_ids"] for one in (prompt, text))
    with torch.inference_mode():
        table = model(torch.tensor([before + after])).logits[0].log_softmax(-1)
    return sum(float(table[len(before) + place - 1, token]) for place, token in enumerate(after))


def by_seq2seq(folder, prompt, text):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    before, after = (tokenizer(one, add_special_tokens=False)["input_ids"] for one in (prompt, text))
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([before]), labels=torch.tensor([after])).logits[0]
    return sum(float(logits.log_softmax(-1)[place, token]) for place, token in enumerate(after))


def plain(prompt):
    return f"{prompt.system}\n\n{prompt.text}" if prompt.system else prompt.text


def chat(prompt):
    system = f"<system>{prompt.system}" if prompt.system else ""
    return f"{system}<user>{prompt.text}<assistant>"


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_causal_model(causal, batch_size):
    expected = [by_causal(causal, plain(one.prompt), f" {one.text}") for one in ASKED]  # a word of the same text
    assert told(Local(str(causal), batch_size=batch_size)) == pytest.approx(expected, abs=1e-4)
    assert len({round(value, 3) for value in expected}) == len(expected)  # the model tells them apart


def test_a_causal_model_in_its_chat_template(chatty):
    expected = [by_causal(chatty, chat(one.prompt), one.text) for one in ASKED]
    assert told(Local(str(chatty), batch_size=2)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_an_encoder_decoder_model(seq2seq, batch_size):
    expected = [by_seq2seq(seq2seq, plain(one.prompt), one.text) for one in ASKED]
    assert told(Local(str(seq2seq), batch_size=batch_size)) == pytest.approx(expected, abs=1e-4)


def test_labels_that_differ_in_their_last_token_take_one_pass(causal, monkeypatch):
    sizes = []
    score_rows = module.score_rows

    def counting(writer, rows, prefixes):
        sizes.append(len(rows))
        return score_rows(writer, rows, prefixes)

    monkeypatch.setattr(module, "score_rows", counting)
    labels = [Continuation(prompt, f"Passage {label}") for prompt in PROMPTS for label in "ABCD"]
    told(Local(str(causal)), labels)
    assert sizes == [3]


def test_what_does_not_fit_is_an_error(chatty, seq2seq):
    long = Continuation(Prompt("long " * 100), "yes")
    with pytest.raises(DataError, match=r"a prompt has 5\d\d tokens"):
        told(Local(str(chatty)), [long])
    with pytest.raises(DataError, match="no tokens"):
        told(Local(str(seq2seq)), [Continuation(Prompt("tea"), "")])


@pytest.mark.parametrize(
    "make",
    [
        lambda model: Pairwise(model, scoring="likelihood", method="sliding", k=2),
        lambda model: Setwise(model, scoring="likelihood", k=2),
        lambda model: Listwise(model, scoring="likelihood", window=4, step=2),
        YesNo,
        QueryLikelihood,
        GradedRelevance,
        lambda model: Setwise(model, k=2),
    ],
)
def test_rerankers_run_on_it(causal, make):
    first, again = (make(Local(str(causal))).run(graded_run([1, 5, 3, 2, 4], session=SESSION)) for _ in range(2))
    assert sorted(first["q0"].doc_ids) == sorted(again["q0"].doc_ids)
    assert first["q0"].doc_ids == again["q0"].doc_ids
    assert first.ledger.costs[-1].model == str(causal)
    assert first.ledger.costs[-1].calls > 0
