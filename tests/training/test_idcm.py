"""Recipes for IDCM, whole, on a tiny backbone: three steps, what they leave, and that a killed one ends alike."""

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from rankloom import Document, Run, Session
from rankloom.corpus import MemoryDocuments
from rankloom.errors import DataError
from rankloom.progress import SILENT
from rankloom.rerank import IDCM, CrossEncoder
from rankloom.training import ranking_losses
from rankloom.training.contrasts import Row
from rankloom.training.idcm import untrained
from rankloom.training.idcm_fit import DocumentLearner, WindowLearner
from rankloom.training.idcm_passages import passage_sources
from rankloom.training.idcm_reading import Reader, TeacherScores
from rankloom.training.pairs import read_source
from rankloom.training.recipes import KINDS, carry_out
from tests.training.killed import begin_and_kill
from tests.training.long_documents import idcm_recipe

pytestmark = pytest.mark.slow
KIND = KINDS["idcm"].recipe
SESSION = Session(offline=True, device="cpu")
QUERY = "why is the sky blue"
TEXTS = ["the sea is blue and the sky " * 4, "bread and yeast", "moon tide moon tide : the sky is blue " * 3]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A recipe that ran to its end: the recipe, where, and what came of it."""
    folder = tmp_path_factory.mktemp("recipe")
    recipe = KIND.model_validate(idcm_recipe(folder))
    return recipe, folder / "out", carry_out(recipe, SESSION, output=folder / "out")


@pytest.fixture
def reader(tmp_path):
    """A reader of an untrained model whose teacher tells windows apart."""
    torch.manual_seed(3)
    _, model, _ = untrained(KIND.model_validate(idcm_recipe(tmp_path)), SESSION)
    torch.nn.init.normal_(model.teacher.model.classifier.weight)
    return Reader(model.eval())


def test_the_stage_takes_it(finished):
    _, _, result = finished
    run = Run.from_documents(QUERY, [Document(str(place), text) for place, text in enumerate(TEXTS)])
    assert result.stage == "idcm"
    scores = [IDCM(str(result.model), sample=sample).run(run, session=SESSION).to_dict()["q1"] for sample in (1, -1)]
    assert scores[0]["1"] == pytest.approx(scores[1]["1"], abs=1e-5)
    assert scores[0]["0"] != pytest.approx(scores[1]["0"], abs=1e-4)


def test_the_teacher_alone_is_a_cross_encoder(finished):
    _, output, result = finished
    passage = "moon tide moon tide"  # one window
    run = Run.from_dict({"q": {"d": 0.0}}, queries={"q": QUERY}, documents=MemoryDocuments([Document("d", passage)]))
    alone, whole = (
        stage.run(run, session=SESSION).to_dict()["q"]["d"]
        for stage in (CrossEncoder(str(output / "teacher")), IDCM(str(result.model)))
    )
    best = load_file(output / "documents.safetensors")["weights"][0].half().item()
    assert alone * best == pytest.approx(whole, abs=1e-4)


def test_every_step_has_trained_its_part(finished):
    recipe, output, _ = finished
    steps = {name: load_file(output / f"{name}.safetensors") for name in ("passages", "documents", "student")}
    assert steps["documents"].keys() == steps["passages"].keys() | {"weights"}
    assert all(name.startswith("student.") for name in steps["student"])
    changed = [name for name, one in steps["passages"].items() if not torch.equal(one, steps["documents"][name])]
    assert any("lora_B" in name for name in changed)
    assert not torch.equal(steps["documents"]["weights"], torch.ones(recipe.encoder.best))
    adapter = load_file(output / "adapter" / "adapter.safetensors")
    assert adapter.keys() == steps["documents"].keys() | steps["student"].keys()
    for name, one in {**steps["documents"], **steps["student"]}.items():
        assert torch.equal(adapter[name], one.half()), name


def test_the_manifest_and_the_card_tell_what_was_done(finished):
    _, output, result = finished
    written = json.loads((output / "manifest.json").read_text())
    assert written == json.loads((result.model / "manifest.json").read_text()) == result.manifest
    assert {"nDCG@10, first stage", "nDCG@10, all windows", "nDCG@10, 2 windows"} <= written["end"].keys()
    assert 0 < written["end"]["share of the teacher's 2 best windows that are chosen"] <= 1
    card = (result.model / "README.md").read_text()
    assert written["passages"][0]["counts"]["queries left out, as no answer stands in their documents"] == 0
    assert written["passages"][0]["counts"]["documents"] > written["data"][0]["counts"]["documents"]
    assert "Passages of them" in card
    assert "What a step leaves is its last checkpoint" in card
    assert all(one["licence"] in card for one in written["data"])
    assert f"| nDCG@10, all windows | {written['end']['nDCG@10, all windows']:g} |" in card


@pytest.mark.parametrize("step", ["documents", "student"])  # the first is a cross-encoder's recipe
def test_a_killed_training_ends_as_an_uninterrupted_one(finished, tmp_path, step):
    recipe, output, _ = finished
    begin_and_kill(recipe, tmp_path, checkpoints=f"checkpoints/{step}")
    assert not (tmp_path / "out" / f"{step}.safetensors").exists()
    carry_out(recipe, SESSION, output=tmp_path / "out")
    once, twice = (load_file(path / "adapter" / "adapter.safetensors") for path in (output, tmp_path / "out"))
    assert once.keys() == twice.keys()
    for name, one in once.items():
        assert torch.equal(one, twice[name]), name


def test_reading_the_best_windows_twice_changes_no_gradient(reader):
    rows = [Row(QUERY, TEXTS[0], (TEXTS[1], TEXTS[2]), "some", frozenset(), frozenset())]
    model = reader.model
    learner = DocumentLearner(reader)
    learner(rows)["loss"].backward()
    found = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad()
    scores = []
    for text in TEXTS:  # every window with gradients, one by one
        rows_of = reader.rows((QUERY, text))
        windows = torch.stack([model.scores([row])[0] for row in rows_of])
        best = torch.sort(windows, descending=True).values[: len(model.weights)]
        scores.append((best * model.weights[: len(best)]).sum())
    ranking_losses.ranknet(torch.stack(scores)[None]).backward()
    expected = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    assert found.keys() == expected.keys()
    assert any("lora_A" in name for name in found)
    for name, one in expected.items():
        assert torch.allclose(found[name], one, atol=1e-5), name


def test_the_teacher_reads_each_document_once(reader, tmp_path):
    file = tmp_path / "windows.jsonl"
    asked = [(QUERY, text) for text in TEXTS]
    TeacherScores(reader, file, bfloat16=False).read(asked[:2], SILENT)
    whole = file.read_text()
    file.write_text(whole[:-9])  # killed while it wrote the second
    again = TeacherScores(reader, file, bfloat16=False)
    again.read([*asked, asked[0]], SILENT)
    assert len(file.read_text().splitlines()) == 3
    for one in asked:
        alone = [reader.model.scores([row]).item() for row in reader.rows(one)]
        assert again.of(one).tolist() == pytest.approx(alone, abs=1e-4)
    known = TeacherScores(reader, file, bfloat16=False)
    known.reader = None  # whoever asks again, asks the file
    known._known.clear()
    kept = TeacherScores(reader, file, bfloat16=False)
    assert [kept.of(one).tolist() for one in asked] == [again.of(one).tolist() for one in asked]


@pytest.mark.parametrize("loss", ["lambda", "mse", "kl", "cross_entropy"])
def test_the_student_learns_which_windows_are_best(reader, tmp_path, loss):
    asked = [(QUERY, text) for text in TEXTS]
    teacher = TeacherScores(reader, tmp_path / "windows.jsonl", bfloat16=False)
    teacher.read(asked, SILENT)
    learner = WindowLearner(reader, teacher, loss)
    optimiser = torch.optim.Adam(reader.model.student.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        value = learner(asked)["loss"]
        value.backward()
        optimiser.step()
        losses.append(value.item())
    assert losses[-1] < losses[0]
    if loss == "lambda":
        for one in (asked[0], asked[2]):
            best = int(np.argmax(teacher.of(one)))
            assert int(learner.scores(one).argmax()) == best
    assert all(one.grad is None for one in reader.model.teacher.parameters())


def test_passages_with_an_answer_are_relevant_and_no_others_of_the_document(tmp_path):
    recipe = KIND.model_validate(idcm_recipe(tmp_path))
    encoder, _, _ = untrained(recipe, SESSION)
    source = read_source(recipe.sources[0], SESSION, seed=7)
    ((found, left_out),) = passage_sources([source], encoder.tokenizer, core=6, overlap=2)
    assert left_out == 0
    texts = {document.id: document.text for document in found.corpus}
    answers = {query.id: query.metadata["answers"] for query in source.queries}
    assert len(found.queries) > 0
    for query in found.queries:
        for doc_id in source.relevant_to(query.id):
            own = {name for name in texts if name.rpartition("#")[0] == doc_id}
            assert own <= set(found.relevant[query.id])
        best = [texts[name] for name, grade in found.relevant[query.id].items() if grade == 2]
        assert best
        assert all(any(answer.split()[0] in text for answer in answers[query.id]) for text in best)


def test_without_answers_there_are_no_passages(tmp_path):
    values = idcm_recipe(tmp_path)
    recipe = KIND.model_validate(values)
    encoder, _, _ = untrained(recipe, SESSION)
    source = read_source(recipe.sources[0], SESSION, seed=7)
    bare = type(source)(
        source.source, source.corpus, tuple(type(one)(one.id, one.text) for one in source.queries), (),
        source.relevant, source.texts,
    )  # fmt: skip
    with pytest.raises(DataError, match="no query has an answer"):
        passage_sources([bare], encoder.tokenizer, core=6, overlap=2)


def test_a_training_starts_from_a_cross_encoder(finished, tmp_path):
    from rankloom.cross_encoder_adapter import CrossEncoderSettings, save_adapter, trained

    recipe, _, _ = finished
    encoder, _, settings = untrained(recipe, SESSION)
    for one in trained(encoder).values():
        torch.nn.init.normal_(one.data)
    made = CrossEncoderSettings(settings.backbone, 40, rank=settings.rank, alpha=settings.alpha)
    save_adapter(encoder, tmp_path / "cross", made)
    values = {**recipe.model_dump(), "output": str(tmp_path / "out"), "validation": None}
    values["encoder"]["start"] = str(tmp_path / "cross")
    for step in ("passages", "training", "distillation"):
        values[step]["steps"] = 0
    result = carry_out(KIND.model_validate(values), SESSION, output=tmp_path / "out")
    weights = load_file(result.model / "adapter.safetensors")
    for name, one in trained(encoder).items():
        assert torch.equal(weights[name], one.half()), name
    values["encoder"]["start"] = None
    with pytest.raises(ValidationError, match="needs an adapter to start from"):
        KIND.model_validate(values)
