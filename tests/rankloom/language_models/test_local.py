"""Language models on this machine: tiny random ones of bytes, against transformers' own steps."""

import pickle
import shutil
from collections import Counter

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from rankloom import Session
from rankloom.errors import DataError, NotFoundError, StageError, UsageError
from rankloom.language_model import Prompt, complete
from rankloom.language_models import Local
from rankloom.language_models.generation import Drawing, _Drawn
from rankloom.prf import Query2Doc
from tests.tiny_models import CHAT, tiny_causal, tiny_encoder, tiny_seq2seq

SESSION = Session(offline=True, device="cpu")
TEXTS = ["why is the sky blue", "tea", "bread needs yeast", "a", "the sea is salty and wide"]


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    return tiny_causal(tmp_path_factory.mktemp("causal") / "model")


@pytest.fixture(scope="module")
def chatty(tmp_path_factory):
    return tiny_causal(tmp_path_factory.mktemp("chatty") / "model", chat=CHAT)


@pytest.fixture(scope="module")
def seq2seq(tmp_path_factory):
    return tiny_seq2seq(tmp_path_factory.mktemp("seq2seq") / "model")


def asked(model, prompts, *, max_tokens=12, session=SESSION):
    wanted = [Prompt(one) if isinstance(one, str) else one for one in prompts]
    return complete(model, wanted, max_tokens=max_tokens, session=session, stage="test").completions


def by_hand(folder, text, max_tokens):
    """The most likely tokens, one after another, by whole passes through the model."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    written = []
    with torch.inference_mode():
        while len(written) < max_tokens and not (written and written[-1] in (256, 257)):
            scores = model(torch.tensor([tokens + written])).logits[0, -1]
            written.append(int(scores.argmax()))
    cut = written[-1] not in (256, 257)
    return tokenizer.decode(written, skip_special_tokens=True), len(tokens), len(written), cut


def as_tuples(completions):
    return [(one.text, one.read, one.written, one.cut) for one in completions]


class TestGreedy:
    def test_the_most_likely_tokens_whatever_the_file_says_of_sampling(self, causal):
        expected = [by_hand(causal, text, 12) for text in TEXTS]
        assert as_tuples(asked(Local(str(causal)), TEXTS)) == expected
        assert len({text for text, *_ in expected}) == len(TEXTS)  # the prompts are told apart

    @pytest.mark.parametrize("batch_size", [1, 2, 3])
    def test_batches_change_nothing(self, causal, batch_size):
        assert asked(Local(str(causal), batch_size=batch_size), TEXTS) == asked(Local(str(causal)), TEXTS)

    def test_an_output_that_ends_by_itself_is_not_cut(self, causal, tmp_path):
        folder = shutil.copytree(causal, tmp_path / "ends")
        tokens = AutoTokenizer.from_pretrained(causal)("tea", return_tensors="pt")["input_ids"]
        first = int(AutoModelForCausalLM.from_pretrained(causal)(tokens).logits[0, -1].argmax())
        (folder / "generation_config.json").write_text(f'{{"eos_token_id": [{first}], "pad_token_id": 257}}')
        ended = asked(Local(str(folder)), ["tea"])[0]
        assert (ended.written, ended.cut) == (1, False)
        assert Local(str(folder)).fingerprint() != Local(str(causal)).fingerprint()

    def test_batches_come_as_they_are_done_and_the_longest_first(self, causal):
        model = Local(str(causal), batch_size=2)
        order = [prompt.text for prompt, _ in model.generate([Prompt(t) for t in TEXTS], max_tokens=2, session=SESSION)]
        assert order == sorted(TEXTS, key=len, reverse=True)


class TestDrawing:
    def test_samples_differ_and_are_the_same_again_in_any_batch(self, causal):
        prompts = [Prompt("tea", sample=number) for number in range(4)] + [Prompt("sea")]
        drawn = asked(Local(str(causal), temperature=1.0), prompts)
        assert len({one.text for one in drawn}) == 5
        assert asked(Local(str(causal), temperature=1.0, batch_size=1), prompts[::-1])[::-1] == drawn
        other = Session(offline=True, device="cpu", seed=8)
        assert asked(Local(str(causal), temperature=1.0), prompts, session=other) != drawn

    def test_hardly_any_temperature_and_hardly_any_mass_are_greedy(self, causal):
        greedy = asked(Local(str(causal)), TEXTS)
        assert asked(Local(str(causal), temperature=1e-4), TEXTS) == greedy
        assert asked(Local(str(causal), temperature=1.0, top_p=0.0), TEXTS) == greedy

    def test_tokens_are_drawn_by_their_probabilities(self):
        probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
        draws = 4000
        drawing = Drawing(2.0, 1.0, range(draws))
        scores = (probabilities.log() * 2.0).repeat(draws, 1)  # the temperature takes this back
        counts = Counter(_Drawn(drawing)(None, scores).argmax(-1).tolist())
        for token, probability in enumerate(probabilities.tolist()):
            spread = (probability * (1 - probability) / draws) ** 0.5
            assert abs(counts[token] / draws - probability) < 5 * spread

    @pytest.mark.parametrize(("top_p", "kept"), [(0.4, {0}), (0.5, {0}), (0.6, {0, 1}), (0.96, {0, 1, 2, 3})])
    def test_unlikely_tokens_are_left_out(self, top_p, kept):
        scores = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().repeat(800, 1)
        drawn = _Drawn(Drawing(1.0, top_p, range(800)))(None, scores).argmax(-1)
        assert set(drawn.tolist()) == kept


class TestPrompts:
    def test_the_chat_template_is_used_where_there_is_one(self, causal, chatty):
        prompt = Prompt("tea", system="be brief")
        written = "<system>be brief<user>tea<assistant>"
        plain = "be brief\n\ntea"
        assert as_tuples(asked(Local(str(chatty)), [prompt])) == [by_hand(chatty, written, 12)]
        assert as_tuples(asked(Local(str(chatty), layout="plain"), [prompt])) == [by_hand(chatty, plain, 12)]
        assert as_tuples(asked(Local(str(causal)), [prompt])) == [by_hand(causal, plain, 12)]
        with pytest.raises(UsageError, match="no chat template"):
            asked(Local(str(causal), layout="chat"), [prompt])

    def test_a_template_without_a_system_text_gets_it_with_the_request(self, tmp_path):
        refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHAT
        folder = tiny_causal(tmp_path / "model", chat=refusing)
        found = asked(Local(str(folder)), [Prompt("tea", system="be brief")])
        assert as_tuples(found) == [by_hand(folder, "<user>be brief\n\ntea<assistant>", 12)]

    def test_options_reach_the_template(self, tmp_path):
        folder = tiny_causal(tmp_path / "model", chat=CHAT + "{% if think %}hm{% endif %}")
        model = Local(str(folder), template_options={"think": True})
        assert as_tuples(asked(model, ["tea"])) == [by_hand(folder, "<user>tea<assistant>hm", 12)]
        assert model.fingerprint() != Local(str(folder)).fingerprint()

    def test_a_prompt_is_never_cut(self, causal):
        fits = "x" * (128 - 12)
        assert asked(Local(str(causal)), [fits])[0].read == 116
        with pytest.raises(DataError, match=r"has 117 tokens, and the model reads 116 besides its output.*max_words"):
            asked(Local(str(causal)), ["tea", fits + "x"])
        with pytest.raises(DataError, match="a prompt is empty"):
            asked(Local(str(causal)), [""])

    def test_any_text_can_be_asked(self, causal):
        assert len(asked(Local(str(causal)), ["\ud83d \x00 \u5929 <end>"])) == 1


class TestEncoderDecoder:
    def test_outputs_are_transformers_own(self, seq2seq):
        tokenizer = AutoTokenizer.from_pretrained(seq2seq)
        model = AutoModelForSeq2SeqLM.from_pretrained(seq2seq).eval()
        expected = []
        for text in TEXTS:
            tokens = tokenizer(text, return_tensors="pt")["input_ids"]
            row = model.generate(input_ids=tokens, max_new_tokens=12, do_sample=False)[0, 1:].tolist()
            end = row.index(256) + 1 if 256 in row else len(row)
            said = tokenizer.decode(row[:end], skip_special_tokens=True)
            expected.append((said, tokens.shape[1], end, 256 not in row))
        assert as_tuples(asked(Local(str(seq2seq)), TEXTS)) == expected
        assert asked(Local(str(seq2seq), batch_size=1), TEXTS) == asked(Local(str(seq2seq)), TEXTS)

    def test_the_output_takes_no_room_from_the_prompt(self, seq2seq):
        assert asked(Local(str(seq2seq)), ["x" * 64])[0].read == 64
        with pytest.raises(DataError, match="has 65 tokens, and the model reads 64"):
            asked(Local(str(seq2seq)), ["x" * 65])


def test_a_stage_asks_it(causal):
    run = Query2Doc(Local(str(causal)), repeats=1, max_tokens=3).run({"q": "tea", "r": "sea"}, session=SESSION)
    said = asked(
        Local(str(causal)),
        [f"Write a passage that answers the given query:\n\nQuery: {q}\nPassage:" for q in ("tea", "sea")],
        max_tokens=3,
    )
    expected = [f"{query} {one.text.strip()}".strip() for query, one in zip(("tea", "sea"), said, strict=True)]
    assert [query.text for query in run.queries] == expected
    assert (run.ledger.costs[0].model, run.ledger.costs[0].calls) == (str(causal), 2)
    assert run.ledger.counts()["cut_output"] == 2


class TestLoading:
    def test_nothing_is_loaded_before_it_is_needed(self):
        model = Local("no/where")
        assert model.fingerprint() == Local("no/where").fingerprint()
        with pytest.raises(NotFoundError, match="no/where"):
            asked(model, ["tea"])
        with pytest.raises(NotFoundError, match="organisation/model"):
            asked(Local("nowhere"), ["tea"])

    def test_a_model_without_a_head_writes_no_text(self, tmp_path):
        tiny_encoder(tmp_path)
        with pytest.raises(StageError, match="its head has no weights"):
            asked(Local(str(tmp_path / "bert")), ["tea"])

    def test_pickled_weights_are_refused(self, causal, tmp_path):
        folder = shutil.copytree(causal, tmp_path / "pickled")
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        with pytest.raises(DataError, match="safetensors"):
            asked(Local(str(folder)), ["tea"])

    def test_models_are_shared_freed_and_copied(self, causal):
        one, other = Local(str(causal)), Local(str(causal), temperature=0.5)
        one.load(SESSION)
        other.load(SESSION)
        assert one._loaded is other._loaded
        first = asked(one, ["tea"])
        one.close()
        assert one._loaded is None
        assert asked(pickle.loads(pickle.dumps(other)), ["tea"]) == asked(other, ["tea"])
        assert asked(one, ["tea"]) == first

    @pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_p": 2.0}, {"layout": "letter"}, {"batch_size": 0}])
    def test_refuses_wrong_parameters(self, wrong):
        with pytest.raises(UsageError, match="local language model: "):
            Local("m", **wrong)
