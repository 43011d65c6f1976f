"""Rank-R1: prompts as the stage asks them, the exact reward, and recipes, whole, on a tiny language model."""

import json
import re
import shutil

import pytest

pytest.importorskip("trl")

import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoTokenizer
from trl import GRPOTrainer

from rankloom import Corpus, Document, Run, Session
from rankloom.errors import ConfigError, DataError, RankloomError, StageError
from rankloom.language_models import Local
from rankloom.rerank.llm import Setwise
from rankloom.rerank.llm.template import load_template
from rankloom.retrieval import Dense
from rankloom.training.contrasts import Row
from rankloom.training.mined_examples import prepared
from rankloom.training.rank_r1 import held_out_rows, load_model
from rankloom.training.rank_r1_config import RankR1Recipe
from rankloom.training.rank_r1_examples import choice_of, rewards
from rankloom.training.rank_r1_fit import ChoiceTrainer, measured, prompt_tokens
from rankloom.training.recipes import carry_out, read_recipe
from tests.rerank.llm.models import Grader
from tests.tiny_models import CHAT, tiny_causal
from tests.training.killed import begin_and_kill
from tests.training.recipes import rank_r1_recipe

SESSION = Session(offline=True, device="cpu")
GOOD = "<think>It says so.\nTwice.</think>\n<answer> [2] </answer>"


def row(documents, query="why is the sky blue"):
    return Row(query, documents[0], tuple(documents[1:]), "own", frozenset(documents), frozenset(documents[:1]))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (GOOD, 1),
        (f"Well. {GOOD} Done.", 1),
        ("<think></think><answer>[2]</answer>", 1),
        (GOOD.replace("[2]", "[3]"), 0),
        (GOOD.replace("[2]", "2"), 0),  # the brackets are asked for
        (GOOD.replace("[2]", "[2] it is"), 0),
        (GOOD.replace("</think>", ""), 0),
        (GOOD.replace("</think>", "</think> so"), 0),
        ("<answer>[2]</answer>", 0),
        ("<answer>[2]</answer><think>why</think>", 0),
        ("<think>never ends [2]", 0),
        ("", 0),
    ],
)
def test_the_reward_is_for_the_form_and_the_right_label_together(output, expected):
    assert rewards([output], ["[2]"]) == [expected]


@pytest.mark.parametrize("passages", [2, 20])
def test_a_prompt_is_the_one_that_the_stage_sends(passages):
    documents = [f"sky{number}" + " blue" * number for number in range(passages)]
    asked = choice_of(row(documents), load_template("rank_r1"), passage_words=9, seed=7)
    order = sorted(range(passages), key=lambda number: re.search(rf"sky{number}\b", asked.prompt.text).start())
    hits = [Document(str(number), documents[number]) for number in order]
    model = Grader(says=lambda _: GOOD)
    stage = Setwise(model, method="tournament", prompt="rank_r1", children=passages - 1, k=1, passage_words=9)
    stage.run(Run.from_documents("why is the sky blue", hits), session=SESSION)
    assert model.prompts == [asked.prompt]
    assert asked.answer == f"[{order.index(0) + 1}]"
    assert asked.prompt.system.startswith("A conversation between User and Assistant.")


def test_the_order_is_drawn_for_each_example():
    documents = [f"sky{number}" for number in range(3)]
    rows = [row(documents, f"why {number}") for number in range(300)]
    answers = [choice_of(one, load_template("rank_r1"), passage_words=80, seed=7).answer for one in rows]
    assert all(80 < answers.count(label) < 120 for label in ("[1]", "[2]", "[3]"))
    assert answers == [choice_of(one, load_template("rank_r1"), passage_words=80, seed=7).answer for one in rows]


@pytest.mark.parametrize("chat", [None, CHAT])
def test_tokens_are_those_that_local_reads(chat, tmp_path):
    values = rank_r1_values(tmp_path)
    values["model"]["model"] = str(tiny_causal(tmp_path / "bytes", max_length=4096, chat=chat))
    recipe = RankR1Recipe.model_validate(values)
    writer = load_model(recipe, SESSION)
    prompt = choice_of(row(["sky", "sea"]), recipe.template(), passage_words=80, seed=7).prompt
    local = Local(values["model"]["model"])
    assert prompt_tokens(writer, prompt, recipe) == local._tokens(local._model(SESSION).model, prompt)


def rank_r1_values(folder, **training):
    """A recipe whose model is not made."""
    folder.mkdir(exist_ok=True)
    (folder / "pairs.jsonl").write_text(json.dumps({"q": "why is the sky blue", "d": "the sky is blue"}) + "\n")
    source = {
        "name": "pairs",
        "licence": "CC0",
        "pairs": {"file": str(folder / "pairs.jsonl"), "query": "q", "document": "d"},
    }
    return {
        "kind": "rank_r1",
        "name": "tiny",
        "output": str(folder / "out"),
        "sources": [source],
        "negatives": {"pipeline": ["bm25"], "count": 1},
        "model": {"model": "nowhere"},
        "training": {"steps": 1, "bfloat16": False, "device": "cpu", **training},
    }


def test_another_trl_is_refused_before_it_trains_on_numbers(monkeypatch, tmp_path):
    monkeypatch.delattr(GRPOTrainer, "_tokenize_prompts")
    recipe = RankR1Recipe.model_validate(rank_r1_recipe(tmp_path))
    with pytest.raises(StageError, match="version of trl"):
        ChoiceTrainer(prompts=[], writer=None, recipe=recipe)


def test_what_can_not_be_learnt_is_refused(tmp_path):
    values = rank_r1_values(tmp_path)
    with pytest.raises(ValidationError, match="divide the 64 outputs"):
        RankR1Recipe.model_validate({**values, "loss": {"at_once": 7}})
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps({**values, "asked": {"prompt": "setwise"}}))
    with pytest.raises(ConfigError, match=r"can not be learnt by.*tagged"):
        read_recipe(file)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A recipe that ran to its end: the recipe, where, and what came of it."""
    folder = tmp_path_factory.mktemp("recipe")
    recipe = RankR1Recipe.model_validate(rank_r1_recipe(folder, steps=30, checkpoint=10, learning_rate=5e-3))
    return recipe, folder / "out", carry_out(recipe, SESSION, output=folder / "out")


@pytest.mark.slow
def test_the_reward_rises(finished):
    recipe, output, result = finished
    assert result.manifest["start"]["reward"] + 0.15 < result.manifest["end"]["reward"]
    logged = [json.loads(line) for line in (output / "checkpoints" / "losses.jsonl").open()]
    told = [one["reward"] for one in logged if "reward" in one]
    assert len(told) == 3
    assert told[0] < told[-1] <= 1
    assert result.manifest["held_out"] == recipe.measured == 12


@pytest.mark.slow
def test_local_takes_the_adapter_and_setwise_ranks_with_it(finished):
    recipe, output, result = finished
    assert result.stage == "setwise"
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md", "manifest.json"} == {
        path.name for path in result.model.iterdir()
    }
    told = json.loads((result.model / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == recipe.model.model
    local, base = Local(str(result.model)), Local(recipe.model.model)
    assert local.fingerprint() != base.fingerprint()
    documents = [Document(str(number), text) for number, text in enumerate(["sky blue", "bread yeast", "sea moon"])]
    stage = Setwise(local, method="tournament", prompt="rank_r1", children=2, k=1, max_tokens=8)
    run = stage.run(Run.from_documents("why is the sky blue", documents), session=SESSION)
    assert sorted(run["q1"].doc_ids) == ["0", "1", "2"]
    assert run.ledger.of("unparsed_output") == ()
    _, pool, _ = prepared(recipe, SESSION, output)
    held_out = [choice_of(one, recipe.template(), passage_words=80, seed=7) for one in held_out_rows(recipe, pool)]
    assert measured(local._model(SESSION).model, held_out, recipe) == result.manifest["end"]


@pytest.mark.slow
def test_an_adapter_s_own_tokenizer_is_the_one_that_is_used(finished, tmp_path):
    recipe, _, result = finished
    adapter = shutil.copytree(result.model, tmp_path / "adapter")
    own = AutoTokenizer.from_pretrained(recipe.model.model)
    own.chat_template = "{% for one in messages %}<{{ one.content }}>{% endfor %}"
    own.save_pretrained(adapter)
    used = Local(str(adapter))._model(SESSION).model.tokenizer
    assert used.chat_template == own.chat_template
    own.add_tokens(["another"])
    own.save_pretrained(adapter)
    with pytest.raises(StageError, match="other tokens"):
        Local(str(adapter))._model(SESSION)


@pytest.mark.slow
def test_where_a_whole_model_is_wanted_the_adapter_is_refused(finished):
    recipe, _, result = finished
    again = recipe.model_copy(update={"model": recipe.model.model_copy(update={"model": str(result.model)})})
    with pytest.raises(DataError, match="adapter of another model"):
        load_model(again, SESSION)
    with pytest.raises(RankloomError):
        Dense.for_corpus(Corpus.of([Document("d", "sky")]), SESSION, model=str(result.model))


@pytest.mark.slow
def test_the_manifest_and_the_card_tell_what_was_done(finished):
    _, output, result = finished
    written = json.loads((output / "manifest.json").read_text())
    assert written == json.loads((result.model / "manifest.json").read_text()) == result.manifest
    card = (result.model / "README.md").read_text()
    for told in ("CC0", "`prompt: rank_r1`, `children: 2`", f"| after training | {written['end']['reward']:g} |"):
        assert told in card


@pytest.mark.slow
def test_a_killed_training_ends_as_an_uninterrupted_one(tmp_path):
    (tmp_path / "once").mkdir()
    recipe = RankR1Recipe.model_validate(rank_r1_recipe(tmp_path / "once", steps=4, checkpoint=2, learning_rate=5e-3))
    once = carry_out(recipe, SESSION, output=tmp_path / "once" / "out")
    begin_and_kill(recipe, tmp_path)
    again = carry_out(recipe, SESSION, output=tmp_path / "out")
    first, second = (load_file(one.model / "adapter_model.safetensors") for one in (once, again))
    assert first.keys() == second.keys()
    assert any(float(one.abs().sum()) for name, one in first.items() if "lora_B" in name)
    for name, one in first.items():
        assert torch.equal(one, second[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("earned", [0.0, 1.0])
def test_where_all_outputs_earn_the_same_nothing_is_learnt(earned, tmp_path, monkeypatch):
    monkeypatch.setattr("rankloom.training.rank_r1_fit.rewards", lambda outputs, _: [earned] * len(outputs))
    recipe = RankR1Recipe.model_validate(rank_r1_recipe(tmp_path, steps=2, checkpoint=2, learning_rate=5e-3))
    result = carry_out(recipe, SESSION, output=tmp_path / "out")
    changes = [one for name, one in load_file(result.model / "adapter_model.safetensors").items() if "lora_B" in name]
    assert len(changes) == 6
    assert not any(one.any() for one in changes)


@pytest.mark.slow
def test_prompts_that_are_too_long_are_left_out_and_counted(tmp_path):
    values = rank_r1_recipe(tmp_path, steps=0)
    lengths = {"asked": {"max_tokens": 30}}
    with pytest.raises(DataError, match="prompts are longer"):
        carry_out(RankR1Recipe.model_validate({**values, **lengths}), SESSION, output=tmp_path / "none")
