"""Recipes for query encoders that read feedback, whole, on a tiny one: what they learn, and what they leave behind."""

import json

import pytest
import torch
from safetensors.torch import load_file

from rankloom import Session
from rankloom.errors import StageError
from rankloom.eval.measures import evaluate
from rankloom.models import resolve_model
from rankloom.prf import LearnedPRF
from rankloom.prf.feedback_adapter import read_settings, said_by
from rankloom.prf.feedback_layout import FeedbackLayout
from rankloom.retrieval import Dense
from rankloom.training.pairs import read_sources, same_text
from rankloom.training.prf_config import FeedbackContrast
from rankloom.training.prf_examples import prepared
from rankloom.training.prf_fit import feedback_loss
from rankloom.training.recipes import KINDS, carry_out
from tests.training.killed import begin_and_kill
from tests.training.recipes import prf_recipe

pytestmark = pytest.mark.slow
KIND = KINDS["prf"].recipe
SESSION = Session(offline=True, device="cpu")


def whole(folder, **training):
    values = prf_recipe(folder, **{**training, "learning_rate": 1e-3})
    encoder = {**values["encoder"], "lora": None, "pooled": "all"}
    return {**values, "encoder": encoder, "loss": {"temperature": 0.05, "in_batch": False}}


@pytest.fixture(scope="module", params=[prf_recipe, whole])
def finished(request, tmp_path_factory):
    """A recipe that ran to its end: the recipe, where, and what came of it."""
    folder = tmp_path_factory.mktemp("recipe")
    recipe = KIND.model_validate(request.param(folder, steps=120, checkpoint=40, queries=6, learning_rate=3e-3))
    return recipe, folder / "out", carry_out(recipe, SESSION, output=folder / "out")


def weights_of(output):
    (found,) = [*output.glob("adapter/adapter.safetensors"), *output.glob("model/model.safetensors")]
    return load_file(found)


def test_it_learns_to_find_what_it_was_not_trained_on(finished):
    _, output, result = finished
    logged = [json.loads(line) for line in (output / "checkpoints" / "losses.jsonl").open()]
    losses = [one["loss"] for one in logged if "loss" in one]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    assert result.manifest["end"]["nDCG@10"] > result.manifest["start"]["nDCG@10"] + 0.05
    assert result.manifest["end"]["nDCG@10"] > result.manifest["compared"]["without feedback"]["nDCG@10"]


def test_the_best_checkpoint_is_what_remains(finished):
    _, output, result = finished
    logged = [json.loads(line) for line in (output / "checkpoints" / "losses.jsonl").open()]
    measured = [one["eval_nDCG@10"] for one in logged if "eval_nDCG@10" in one]
    assert len(measured) == 3
    assert result.manifest["end"]["nDCG@10"] == pytest.approx(max(measured), abs=1e-4)


def test_the_stage_takes_it_and_ranks_as_was_measured(finished):
    recipe, _, result = finished
    (source,) = read_sources(recipe.sources, SESSION, seed=recipe.seed)
    dense = Dense.of(source.corpus, model=recipe.encoder.model, session=SESSION)
    pipeline = dense >> LearnedPRF(str(result.model)) >> dense
    run = pipeline.run(source.held_out, session=SESSION)
    relevant = {query.id: source.relevant_to(query.id) for query in source.held_out}
    found = evaluate(run, relevant, ["nDCG@10"]).means["nDCG@10"]
    assert found == pytest.approx(result.manifest["end"]["nDCG@10"], abs=0.01)  # adapters are kept as float16
    assert result.stage == "learned_prf"


def test_it_says_what_it_reads_and_what_was_done(finished):
    recipe, output, result = finished
    layout = FeedbackLayout(2, 64, 20, pooled=recipe.encoder.pooled)
    said = said_by(resolve_model(str(result.model), offline=True, stage="test"))
    assert said == (layout, recipe.encoder.model)
    if recipe.encoder.lora is not None:
        assert read_settings(result.model).rank == 4
    written = json.loads((output / "manifest.json").read_text())
    assert written == json.loads((result.model / "manifest.json").read_text()) == result.manifest
    assert 0 < written["positives_shown"] <= 1
    assert set(written["compared"]) == {"without feedback", "average of 2"}
    card = (result.model / "README.md").read_text()
    for told in ("CC0", f"| after training | {written['end']['nDCG@10']:g} |", "| average of 2 |"):
        assert told in card


def test_a_killed_training_ends_as_an_uninterrupted_one(tmp_path):
    (tmp_path / "once").mkdir()
    recipe = KIND.model_validate(prf_recipe(tmp_path / "once"))
    carry_out(recipe, SESSION, output=tmp_path / "once" / "out")
    begin_and_kill(recipe, tmp_path)
    carry_out(recipe, SESSION, output=tmp_path / "out")
    once, twice = weights_of(tmp_path / "once" / "out"), weights_of(tmp_path / "out")
    assert once.keys() == twice.keys()
    for name, one in once.items():
        assert torch.equal(one, twice[name]), name


def test_no_negative_is_relevant_and_documents_are_not_encoded_again(tmp_path):
    recipe = KIND.model_validate(prf_recipe(tmp_path))
    data = prepared(recipe, SESSION, tmp_path / "out")
    (source,) = read_sources(recipe.sources, SESSION, seed=recipe.seed)
    texts = {query.text: query.id for query in source.queries}
    assert len(data.rows) == len(source.queries)
    for one in data.rows:
        positive, *negatives = one.documents
        relevant = source.relevant_to(texts[one.row.query])
        assert positive in relevant
        assert len(negatives) == 2
        assert relevant.keys().isdisjoint(negatives)
        assert one.row.shown <= {same_text(document.contents) for document in source.corpus}
    stage = data.stages["topics"]
    first = data.rows[0]
    assert first.feedback == tuple(
        document.contents for document in source.corpus.get(stage.search(first.row.query, 2, session=SESSION).doc_ids)
    )


def test_relevant_documents_can_be_hidden_from_the_feedback(tmp_path):
    numbers = []
    for share in (0.0, 0.5, 1.0):
        recipe = KIND.model_validate({**prf_recipe(tmp_path), "hide_positives": share})
        data = prepared(recipe, SESSION, tmp_path / "out")
        shown = [same_text(one.row.positive) in map(same_text, one.feedback) for one in data.rows]
        assert shown == [one.shows_positive for one in data.rows]
        assert all(len(one.feedback) == 2 for one in data.rows)
        numbers.append(sum(shown))
    assert numbers[0] > numbers[1] > numbers[2] == 0


def test_the_loss_is_a_softmax_over_the_documents_of_the_row_or_of_all():
    torch.manual_seed(1)
    queries, documents = torch.randn(3, 5), torch.randn(3, 4, 5)
    scores = torch.einsum("qd,pnd->qpn", queries, documents) / 0.5
    own = torch.stack([scores[place, place] for place in range(3)])
    expected = -(own.log_softmax(1)[:, 0]).mean()
    found = feedback_loss(queries, documents, FeedbackContrast(temperature=0.5, in_batch=False))
    assert float(found) == pytest.approx(float(expected), abs=1e-5)
    together = scores.flatten(1).log_softmax(1)
    expected = -torch.stack([together[place, 4 * place] for place in range(3)]).mean()
    found = feedback_loss(queries, documents, FeedbackContrast(temperature=0.5))
    assert float(found) == pytest.approx(float(expected), abs=1e-5)
    with pytest.raises(StageError, match=r"not a finite number.*learning_rate"):
        feedback_loss(queries * float("nan"), documents, FeedbackContrast())


def test_more_tokens_than_the_encoder_has_places_for(tmp_path):
    values = prf_recipe(tmp_path)
    recipe = KIND.model_validate({**values, "encoder": {**values["encoder"], "max_tokens": 65}})
    with pytest.raises(StageError, match=r"65.*at most 64"):
        carry_out(recipe, SESSION, output=tmp_path / "out")
