"""Recipes for Provence models, whole, on a tiny backbone."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from rankloom import Document, Run, Session
from rankloom.corpus import MemoryDocuments
from rankloom.errors import DataError, StageError
from rankloom.eval.labelled_sentences import LabelledText
from rankloom.provence_adapter import read_settings
from rankloom.rerank import CrossEncoder, Provence
from rankloom.training.provence import untrained
from rankloom.training.provence_examples import ProvenceData, prepared, read_once
from rankloom.training.provence_fit import fit
from rankloom.training.provence_teacher import teacher_scores
from rankloom.training.provence_validation import at_threshold, best_of, keeping
from rankloom.training.recipes import KINDS, carry_out
from rankloom.training.trained_before import TrainedBefore, trained_before
from tests.training.killed import begin_and_kill
from tests.training.labelled import MARKERS, marked_texts, provence_recipe, record, write_records

pytestmark = pytest.mark.slow
KIND = KINDS["provence"].recipe
SESSION = Session(offline=True, device="cpu")
LONG = 9  # sentences of four words that do not fit into 40 tokens


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A recipe that ran to its end: the recipe, where, and what came of it."""
    folder = tmp_path_factory.mktemp("recipe")
    recipe = KIND.model_validate(provence_recipe(folder))
    return recipe, folder / "out", carry_out(recipe, SESSION, output=folder / "out")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A training that is long enough to learn which words mark a sentence."""
    folder = tmp_path_factory.mktemp("learnt")
    recipe = KIND.model_validate(provence_recipe(folder, steps=120, checkpoint=60, learning_rate=1e-2))
    return recipe, folder / "out", carry_out(recipe, SESSION, output=folder / "out")


def laid_out(recipe, passages):
    """What a model that is to be trained reads of passages."""
    torch.manual_seed(recipe.seed)
    reader, _ = untrained(recipe, SESSION)
    return reader, list(reader.lay_out(passages))


def test_it_learns_which_sentences_help_and_the_stage_keeps_them(learnt):
    _, output, result = learnt
    losses = [json.loads(line) for line in (output / "checkpoints" / "losses.jsonl").open()]
    tokens = [one["tokens"] for one in losses if "tokens" in one]
    assert tokens[-1] < 0.3 * tokens[0]
    assert max(one["f2"] for one in result.manifest["thresholds"]) > 0.9
    marked, other = " ".join(MARKERS * 2), "sky sea moon tide"
    run = Run.from_documents("why is the moon blue", [Document("a", f"{other}\n{marked}"), Document("b", other)])
    found = Provence(str(result.model), threshold=0.5, splitter="lines").run(run, session=SESSION)
    kept = {hit.doc_id: hit.pruned_text for hit in found["q1"]}
    assert kept == {"a": marked, "b": ""}


def test_the_stage_says_what_training_measured(learnt):
    recipe, _, result = learnt
    data = prepared(recipe, SESSION, result.model.parent)
    text = max(data.held_out, key=lambda one: len(one.relevant))
    reader, _ = untrained(recipe, SESSION)
    weights = load_file(result.model.parent / "checkpoints" / "checkpoint-120" / "trained.safetensors")
    with torch.no_grad():
        for name, parameter in reader.model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(weights[name])
    (output,) = reader.outputs([text])
    lines = "\n".join(one.strip() for one in text.sentences)
    run = Run.from_documents(text.question, [Document("d", lines, title=text.title)])
    (hit,) = Provence(str(result.model), splitter="lines").run(run, session=SESSION)["q1"]
    means = [part.mean() for part in np.split(output.probabilities, np.cumsum(output.counts)[:-1])]
    assert hit.score == pytest.approx(float(output.scores[0]), abs=5e-3)  # an adapter is kept in half precision
    assert [span.probability for span in hit.spans] == pytest.approx(means, abs=5e-3)


def test_it_starts_as_the_cross_encoder_that_teaches_it(finished, tmp_path):
    recipe, output, _ = finished
    data = prepared(recipe, SESSION, output)
    titled = [replace(one, title="the moon") for one in data.passages[:5]]
    reader, laid = laid_out(recipe, [*data.passages, *titled])
    passages = [one.passage for one in laid]
    teacher, _ = teacher_scores(passages, recipe.encoder.start, SESSION, tmp_path / "scores.json")
    batch = reader.batch(laid, teacher)
    with torch.inference_mode():
        scores = reader.model.eval()(**batch.features).scores
    np.testing.assert_allclose(scores.numpy(), teacher, atol=1e-4)
    assert np.std(teacher) > 0.01


def test_a_teacher_is_asked_once_and_by_what_a_passage_says(finished, tmp_path, monkeypatch):
    recipe, output, _ = finished
    passages = prepared(recipe, SESSION, output).passages[:6]
    model, memory = recipe.encoder.start, tmp_path / "scores.json"
    once = teacher_scores(passages, model, SESSION, memory)
    documents = MemoryDocuments([Document("d", passages[3].text)])
    run = Run.from_dict({"q": {"d": 0.0}}, queries={"q": passages[3].question}, documents=documents)
    assert CrossEncoder(model).run(run, session=SESSION)["q"].scores[0] == pytest.approx(once.scores[3], abs=1e-5)
    asked = []
    monkeypatch.setattr(CrossEncoder, "score", lambda *given: asked.append(given))
    assert teacher_scores(passages, model, SESSION, memory) == once
    assert not asked


def test_labels_are_of_the_tokens_of_relevant_sentences(finished):
    recipe, _, _ = finished
    text = LabelledText("q", "why moon", "d", "the sky", ("sea sea. ", "moon. ", "tide tide."), (0, 2))
    reader, (laid,) = laid_out(recipe, [text])
    words = reader._inputs.tokenizer.convert_ids_to_tokens(laid.row.tokens)
    assert " ".join(words) == "[CLS] why moon [SEP] the sky sea sea . moon . tide tide . [SEP]"
    assert laid.labels.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0]
    assert laid.passage == text
    assert not laid.shortened


def test_sentences_that_do_not_fit_are_left_out_of_what_the_teacher_reads(finished):
    recipe, _, _ = finished
    sentences = tuple(f"sky sea moon tide{' ' if place < LONG - 1 else ''}" for place in range(LONG))
    text = LabelledText("q", "why moon", "d", "", sentences, (2, LONG - 1))
    _, (laid,) = laid_out(recipe, [text])
    assert len(laid.row.tokens) <= recipe.encoder.max_tokens
    assert 3 < len(laid.passage.sentences) < LONG
    assert laid.passage.relevant == (2,)
    assert laid.shortened
    assert not laid.passage.text.endswith(" ")


def test_passages_that_are_read_alike_count_once_and_as_they_are_read(finished):
    recipe, _, _ = finished
    sentences = tuple(f"sky sea moon tide{' ' if place < LONG - 1 else ''}" for place in range(LONG))
    long = LabelledText("q", "why moon", "d", "", sentences, (LONG - 1,))  # its relevant sentence is not read
    longer = replace(long, doc_id="e", sentences=(*sentences[:-1], "tide moon sea sky"))
    other = LabelledText("q", "why moon", "f", "", ("bread",), (0,))
    told = [{"name": "a", "counts": {"documents": 2}}, {"name": "b", "counts": {}}]
    data = ProvenceData((long, longer, other), (1, 2), (), (), told, ())
    reader, _ = laid_out(recipe, [])
    laid, counted = read_once(data, reader.lay_out(data.passages))
    assert [one.passage.doc_id for one in laid] == ["d", "f"]
    assert counted[0]["counts"] == {"documents": 2, "passages": 1}
    assert counted[1]["counts"] == {
        "passages": 1,
        "passages with a relevant sentence": 1,
        "passages that are read alike": 1,
    }


def test_the_teacher_tells_what_it_does_not_read(finished, tmp_path):
    recipe, _, _ = finished
    short = LabelledText("q", "why moon", "d", "", ("sky sea",), ())
    long = replace(short, doc_id="e", sentences=tuple("sky sea moon tide " for _ in range(LONG * 2)))
    for _ in range(2):  # asked, and as it is kept
        found = teacher_scores([short, long], recipe.encoder.start, SESSION, tmp_path / "scores.json")
        assert found.cut == 1


def test_a_start_that_reads_more_or_less_is_refused(tmp_path):
    values = provence_recipe(tmp_path)
    values["encoder"]["max_tokens"] = 32
    with pytest.raises(DataError, match=r"reads 40 tokens, and the recipe's model 32.*encoder\.max_tokens"):
        carry_out(KIND.model_validate(values), SESSION, output=tmp_path / "out")


def test_a_text_with_a_relevant_sentence_is_no_negative(tmp_path):
    records = []
    for number in range(24):  # four claims of each page have its gold sentence, each in a text of its own
        gold = f"{' '.join(MARKERS)} page {number // 4}"
        records.append(record(f"q{number}", f"why bread page {number}", f"d{number}", [gold, f"sky {number}"], [0]))
    file = write_records(tmp_path / "claims.labelled.jsonl", records)
    values = provence_recipe(tmp_path)
    values["sources"] = [{"name": "claims", "licence": "CC0", "labelled": str(file)}]
    data = prepared(KIND.model_validate(values), SESSION, tmp_path / "out")
    (told,) = data.data
    pairs = {(int(one.query_id[1:]), int(one.doc_id[1:])) for one in data.passages}
    negatives = [(query, document) for query, document in pairs if query != document]
    assert negatives
    assert all(query // 4 != document // 4 for query, document in negatives)
    assert told["counts"]["negatives with a relevant sentence"] > 0


def test_what_the_start_was_trained_on_is_not_measured(tmp_path):
    values = provence_recipe(tmp_path)
    (source,) = values["sources"]
    pairs = {"file": source["labelled"], "query": "question", "document": "sentences"}
    told = {"name": "pairs", "licence": "CC0", "pairs": pairs, "validation": 15}
    lost = {"name": "lost", "licence": "CC0", "pairs": {**pairs, "file": "nowhere.jsonl"}}
    manifest = {"recipe": {"seed": 3, "sources": [told, lost], "encoder": {}}}
    (tmp_path / "cross-encoder" / "manifest.json").write_text(json.dumps(manifest))
    before = trained_before(values["encoder"]["start"], SESSION)
    assert len(before.questions) == 45
    assert before.unknown == ("lost",)
    data = prepared(KIND.model_validate(values), SESSION, tmp_path / "out")
    asked = {one.question for one in data.held_out}
    assert len(asked) == 12
    assert asked.isdisjoint(before.questions)
    assert data.start_unknown == ("lost",)
    assert asked >= {one.texts[0].question for one in data.lists}
    assert trained_before(None, SESSION) == TrainedBefore()


def test_a_start_without_a_manifest_is_told(finished):
    _, _, result = finished
    start = result.manifest["recipe"]["encoder"]["start"]
    assert result.manifest["start_unknown"] == [start]
    assert f"Its questions are not known of {start}" in (result.model / "README.md").read_text()


def test_batches_fill_up_with_dropped_tokens(finished):
    recipe, output, _ = finished
    reader, laid = laid_out(recipe, prepared(recipe, SESSION, output).passages[:5])
    batch = reader.batch(laid, [0.5] * 5)
    assert batch.labels.shape == batch.features["input_ids"].shape == batch.features["token_type_ids"].shape
    for row, one in enumerate(laid):
        length = len(one.labels)
        assert batch.features["attention_mask"][row].sum() == length
        assert batch.labels[row, :length].tolist() == one.labels.tolist()
        assert batch.labels[row, length:].sum() == 0


def test_negatives_are_texts_of_other_questions_without_labels(finished):
    recipe, output, _ = finished
    data = prepared(recipe, SESSION, output)
    told = {one["name"]: one["counts"] for one in data.data}["marked"]
    own = {(f"q{number}", f"d{number}") for number in range(60)}
    negatives = [one for one in data.passages if (one.query_id, one.doc_id) not in own]
    assert negatives
    assert not any(one.relevant for one in negatives)
    assert any(set(one.text.split()) & set(MARKERS) for one in negatives)  # what helps others does not help here
    assert data.sizes == (len(data.passages),)
    assert told["held-out labelled texts"] == len(data.held_out)
    assert {one.doc_id for one in data.held_out}.isdisjoint(one.doc_id for one in data.passages)


def test_documents_are_put_in_order_for_the_question_that_found_them(finished):
    recipe, output, _ = finished
    lists = prepared(recipe, SESSION, output).lists
    assert lists
    for one in lists:
        assert len({text.question for text in one.texts}) == 1
        assert len({text.doc_id for text in one.texts}) == len(one.texts) > 1
        assert one.relevant
    assert len({one.texts[0].question for one in lists}) == len(lists)


def test_sentence_measures_are_those_of_their_formulas():
    texts = [
        LabelledText("a", "why", "a", "", ("one ", "two ", "three ", "four"), (0, 1)),
        LabelledText("b", "why", "b", "", ("five ", "six"), (1,)),
        LabelledText("c", "why", "c", "", ("seven",), ()),
    ]

    class Output:
        def __init__(self, *probabilities):
            self.probabilities = np.array(probabilities, dtype=np.float32)
            self.counts = self.pieces = np.ones(len(probabilities), dtype=np.int64)

    outputs = [Output(0.9, 0.1, 0.6, 0.2), Output(0.1, 0.2), Output(0.7)]
    point = at_threshold(texts, outputs, 0.5, "probability")
    assert point.precision == pytest.approx((1 / 2 + 0) / 2, abs=1e-4)
    assert point.recall == pytest.approx((1 / 2 + 0) / 2, abs=1e-4)
    assert point.f1 == pytest.approx(0.25, abs=1e-4)
    assert point.f2 == pytest.approx(0.25, abs=1e-4)
    assert point.compression == pytest.approx((4 + 4 + 5 + 3) / (18 + 8 + 5), abs=1e-4)
    lower = at_threshold(texts, outputs, 0.15, "probability")
    assert lower.recall == pytest.approx((1 / 2 + 1) / 2, abs=1e-4)
    assert lower.f2 == pytest.approx((5 / (3 + 8) + 1) / 2, abs=1e-4)
    assert best_of([point, lower]) == lower
    assert keeping([lower, point], 0.75) == lower == keeping([lower, point], 0.9)  # none keeps so many: the first
    assert keeping([lower, point], 0.25) == point
    assert best_of([]) is keeping([], 0.9) is None


def test_the_manifest_and_the_card_tell_what_was_done(finished):
    recipe, output, result = finished
    written = json.loads((output / "manifest.json").read_text())
    assert written == json.loads((result.model / "manifest.json").read_text()) == result.manifest
    assert result.stage == "provence"
    assert written["start"].keys() == written["end"].keys()
    assert written["end"].keys() == {"nDCG@10", "first stage nDCG@10"}
    settings = read_settings(result.model)
    assert (settings.below_last, settings.rounding, settings.rank) == (True, recipe.encoder.rounding, 4)
    assert settings.threshold == written["threshold"]
    kept = [one["threshold"] for one in written["threshold_chosen_of"] if one["recall"] >= recipe.keeps]
    assert settings.threshold == max(kept)
    assert written["thresholds"] != written["threshold_chosen_of"]
    assert written["held_out_texts"] + written["threshold_texts"] == 12
    assert written["teacher_cut"] == 0
    assert sum(one["counts"]["passages"] for one in written["data"]) == written["examples"]
    card = (result.model / "README.md").read_text()
    assert all(one["licence"] in card for one in written["data"])
    assert f"the largest F2 is at {written['best_threshold']:g}" in card
    assert "0.05 times the squared error" in card
    assert f"Its own threshold, {settings.threshold:g}, was chosen on {written['threshold_texts']} held" in card
    assert "Nothing else" not in card
    assert card.count("\n| 0.") == len(written["thresholds"])


def test_a_killed_training_ends_as_an_uninterrupted_one(finished, tmp_path):
    recipe, output, _ = finished
    begin_and_kill(recipe, tmp_path)
    carry_out(recipe, SESSION, output=tmp_path / "out")
    once, twice = (load_file(one / "adapter" / "adapter.safetensors") for one in (output, tmp_path / "out"))
    assert once.keys() == twice.keys()
    for name, one in once.items():
        assert torch.equal(one, twice[name]), name


@pytest.mark.parametrize(
    ("trains", "head", "other"),
    [("pruning", "token_head.", "classifier.classifier."), ("ranking", "classifier.classifier.", "token_head.")],
)
def test_one_part_can_be_trained_alone(trains, head, other, tmp_path):
    values = provence_recipe(tmp_path, steps=4)
    recipe = KIND.model_validate({**values, "loss": {"trains": trains}})
    torch.manual_seed(recipe.seed)
    before = dict(untrained(recipe, SESSION)[0].model.named_parameters())
    result = carry_out(recipe, SESSION, output=tmp_path / "out")
    after = load_file(tmp_path / "out" / "checkpoints" / "checkpoint-4" / "trained.safetensors")
    changed = {name for name, one in after.items() if not torch.equal(one, before[name])}
    assert any(name.startswith(head) for name in changed)
    assert not any(name.startswith(other) for name in changed)
    assert any("lora_B" in name for name in changed)
    assert "worth nothing" in (result.model / "README.md").read_text()
    assert (tmp_path / "out" / "teacher.json").is_file() == (trains == "ranking")


def test_half_precision_ends_with_training(tmp_path):
    values = provence_recipe(tmp_path, steps=2, bfloat16=True)
    recipe = KIND.model_validate(values)
    passages = prepared(recipe, SESSION, tmp_path / "out").passages[:40]
    reader, laid = laid_out(recipe, passages)
    fit(reader, laid, [0.5] * len(laid), recipe, checkpoints=tmp_path / "checkpoints", progress=SESSION.progress)
    again, _ = laid_out(recipe, passages)
    weights = load_file(tmp_path / "checkpoints" / "checkpoint-2" / "trained.safetensors")
    again.model.load_state_dict(weights, strict=False)
    features = reader.batch(laid, [0.0] * len(laid)).features
    with torch.inference_mode():
        once, twice = (one.model.eval()(**features) for one in (reader, again))
    assert torch.equal(once.tokens, twice.tokens)
    assert torch.equal(once.scores, twice.scores)


def test_the_head_may_read_the_last_layer(tmp_path):
    values = provence_recipe(tmp_path, steps=2)
    values["encoder"] |= {"below_last": False, "rounding": "majority"}
    result = carry_out(KIND.model_validate(values), SESSION, output=tmp_path / "out")
    settings = read_settings(result.model)
    assert (settings.below_last, settings.rounding) == (False, "majority")


def test_a_training_is_of_its_data_and_of_what_it_starts_from(tmp_path):
    values = provence_recipe(tmp_path, steps=0)
    recipe = KIND.model_validate(values)
    carry_out(recipe, SESSION, output=tmp_path / "out")
    marked_texts(tmp_path / "marked.labelled.jsonl", count=50)
    with pytest.raises(DataError, match="the data or the model have changed"):
        carry_out(recipe, SESSION, output=tmp_path / "out")
    marked_texts(tmp_path / "marked.labelled.jsonl")
    carry_out(recipe, SESSION, output=tmp_path / "out")
    weights = tmp_path / "cross-encoder" / "adapter.safetensors"
    save_file({name: one * 2 for name, one in load_file(weights).items()}, weights)
    with pytest.raises(DataError, match="the data or the model have changed"):
        carry_out(recipe, SESSION, output=tmp_path / "out")


def test_an_adapter_of_other_sizes_is_no_start(tmp_path):
    values = provence_recipe(tmp_path)
    values["encoder"]["lora"]["alpha"] = 7  # the weights would fit
    with pytest.raises(DataError, match=r"other low-rank changes.*alpha 32.*encoder\.lora"):
        carry_out(KIND.model_validate(values), SESSION, output=tmp_path / "out")


def test_a_loss_that_is_no_number_is_told(tmp_path):
    values = provence_recipe(tmp_path, steps=10, learning_rate=1e30)
    with pytest.raises(StageError, match=r"not a finite number.*learning_rate"):
        carry_out(KIND.model_validate(values), SESSION, output=tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"encoder": {"start": None}}, "name `teacher`, or start from one"),
        ({"passages": {"around": 0, "anywhere": 0, "beginning": False}}, "no passage is taken"),
        ({"loss": {"weight": -1}}, "greater than or equal to 0"),
        ({"loss": {"ignore": "question"}}, "'padding' or 'none'"),
    ],
)
def test_what_a_recipe_lacks_is_told(change, problem, tmp_path):
    values = provence_recipe(tmp_path)
    with pytest.raises(ValidationError, match=problem):
        KIND.model_validate({**values, **change})


def test_without_a_score_to_learn_no_teacher_is_needed(tmp_path):
    values = provence_recipe(tmp_path)
    values["encoder"]["start"] = None
    for loss in ({"trains": "pruning"}, {"weight": 0}):
        assert KIND.model_validate({**values, "loss": loss}).taught_by is None
    assert KIND.model_validate({**values, "teacher": "other"}).taught_by == "other"
