"""What prompts begin with in common, read once: the same likelihoods and outputs as when each prompt is read alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from rankloom import Session
from rankloom.language_model import Prompt, complete
from rankloom.language_models import Local
from rankloom.language_models.generation import load_writer
from rankloom.language_models.prefix import LEAST, Prefixes, shared_length
from rankloom.likelihood import Continuation, log_likelihoods
from tests.tiny_models import CHAT, tiny_byte_tokenizer, tiny_causal, tiny_seq2seq

SESSION = Session(offline=True, device="cpu")
HEAD = "These are instructions that all of the prompts begin with, and there are many words of them. "
PASSAGES = ["the sky is blue", "tea", "bread needs yeast, and time", "a longer text about the moon " * 3, "x"]
PROMPTS = [Prompt(f"{HEAD}Passage: {passage} Query: {query}") for passage in PASSAGES for query in ("why", "is it so")]
SIZES = {"vocab_size": 258, "max_position_embeddings": 512, "initializer_range": 0.3}
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
KINDS = ("llama", "qwen3", "gpt2", "mistral of a window", "bloom", "rotations by length")
HANDED_ON = ("llama", "qwen3", "gpt2")


def config(kind):
    from transformers import BloomConfig, GPT2Config, LlamaConfig, MistralConfig, Phi3Config, Qwen3Config

    if kind == "gpt2":
        return GPT2Config(vocab_size=258, n_positions=512, n_embd=32, n_layer=2, n_head=2, initializer_range=0.3)
    if kind == "bloom":  # which takes no positions
        return BloomConfig(vocab_size=258, hidden_size=32, n_layer=2, n_head=2, initializer_range=0.3)
    if kind == "rotations by length":  # Phi-3's: the short ones are for the head, the long ones for every prompt
        short = {"original_max_position_embeddings": len(HEAD) + 12}
        told = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 8, "long_factor": [4.0] * 8}
        special = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1}
        return Phi3Config(**SIZES, **SMALL, **special, **short, rope_parameters=told | short)
    more = {"num_key_value_heads": 1, "head_dim": 16}
    if kind == "mistral of a window":
        return MistralConfig(sliding_window=16, **SIZES, **SMALL, **more)
    return Qwen3Config(**SIZES, **SMALL, **more) if kind == "qwen3" else LlamaConfig(**SIZES, **SMALL)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    found = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp("models") / kind.replace(" ", "_")
        torch.manual_seed(3)
        AutoModelForCausalLM.from_config(config(kind)).save_pretrained(folder)
        tiny_byte_tokenizer(folder, max_length=512)
        found[kind] = folder
    return found


@pytest.fixture
def read(monkeypatch):
    """How many tokens go through a model, padding among them."""
    from torch import nn

    tokens = []
    call = nn.Embedding.forward

    def counted(self, given):
        tokens.append(given.numel())
        return call(self, given)

    monkeypatch.setattr(nn.Embedding, "forward", counted)
    return tokens


def told(model, asked):
    return log_likelihoods(model, asked, session=SESSION, stage="test").log_probabilities


def written(model, prompts, max_tokens=12):
    return complete(model, prompts, max_tokens=max_tokens, session=SESSION, stage="test").completions


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=5))
def test_how_much_prompts_share(prompts):
    most = min(map(len, prompts)) - 1
    equal = [length for length in range(most + 1) if len({tuple(one[:length]) for one in prompts}) == 1]
    assert shared_length(prompts) == max(equal)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size", [3, 8])
def test_likelihoods_are_those_of_whole_passes(folders, kind, batch_size, read):
    asked = [Continuation(prompt, text) for prompt in PROMPTS for text in ("yes", "no", "Passage A", "Passage B")]
    alone = told(Local(str(folders[kind]), batch_size=1), asked)
    before = sum(read)
    read.clear()
    assert told(Local(str(folders[kind]), batch_size=batch_size), asked) == pytest.approx(alone, abs=1e-3)
    assert len({round(value, 2) for value in alone}) > len(alone) / 2  # the model tells them apart
    if kind in HANDED_ON:
        assert sum(read) < 0.9 * before  # though there is padding now


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_outputs_are_those_of_whole_passes(folders, kind, temperature, read):
    alone = written(Local(str(folders[kind]), batch_size=1, temperature=temperature), PROMPTS)
    before = sum(read)
    read.clear()
    together = written(Local(str(folders[kind]), batch_size=4, temperature=temperature), PROMPTS)
    assert together == alone
    if kind in HANDED_ON:
        assert sum(read) < 0.9 * before
    assert len({one.text for one in alone}) > len(alone) / 2


def test_in_a_chat_template(tmp_path):
    folder = str(tiny_causal(tmp_path / "chatty", max_length=512, chat=CHAT))
    prompts = [Prompt(f"Passage: {passage}", system=HEAD) for passage in PASSAGES]
    assert written(Local(folder, batch_size=4), prompts) == written(Local(folder, batch_size=1), prompts)


def test_all_share_the_head_and_a_batch_its_passage(folders, read):
    passage = "a passage that several questions are asked about, which is quite long. "
    prompts = [Prompt(f"{HEAD}{place}{passage}{query}") for place in range(3) for query in ("why", "how", "who", "whe")]
    asked = [Continuation(prompt, "yes") for prompt in prompts]
    alone = told(Local(str(folders["llama"]), batch_size=1), asked)
    read.clear()
    # rows of one length keep their order, so a batch is one passage
    assert told(Local(str(folders["llama"]), batch_size=4), asked) == pytest.approx(alone, abs=1e-3)
    head, rest = len(HEAD), len(passage) + 1
    assert sum(read) == head + 3 * (rest + 4 * len("why yes"[:-1]))


def test_a_row_alone_uses_what_others_have_read(folders):
    writer = load_writer(str(folders["llama"]), "cpu", torch.float32)
    prompts = [[*list(range(LEAST)), 100 + place, 7] for place in range(3)]
    prefixes = Prefixes(writer, prompts)
    first, again = prefixes.of(prompts[:1]), prefixes.of(prompts[1:])
    assert first[0] == again[0] == LEAST
    assert first[1].get_seq_length() == LEAST
    assert again[1].layers[0].keys.shape[0] == 2
    assert Prefixes(writer, prompts[:1]).of(prompts[:1]) == (0, None)  # with nobody to share with
    short = [one[2:] for one in prompts]
    assert Prefixes(writer, short).of(short) == (0, None)


@pytest.mark.parametrize("kind", ["mistral of a window", "bloom"])
def test_what_can_not_be_handed_on_is_read_by_each(folders, kind):
    writer = load_writer(str(folders[kind]), "cpu", torch.float32)
    prompts = [[*list(range(64)), 100 + place] for place in range(3)]
    assert Prefixes(writer, prompts).of(prompts) == (0, None)


def test_an_encoder_shares_nothing(tmp_path, read):
    folder = str(tiny_seq2seq(tmp_path / "model", max_length=512))
    writer = load_writer(folder, "cpu", torch.float32)
    prompts = [[*list(range(64)), 100 + place] for place in range(3)]
    assert Prefixes(writer, prompts).of(prompts) == (0, None)
    assert not read
    asked = [Continuation(prompt, "yes") for prompt in PROMPTS]
    assert told(Local(folder, batch_size=4), asked) == pytest.approx(told(Local(folder, batch_size=1), asked), abs=1e-3)
