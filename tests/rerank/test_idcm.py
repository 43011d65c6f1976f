"""IDCM against plain loops over words, kernels and windows, on small random models."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from rankloom import ScoreKind, Session
from rankloom.cross_encoder_adapter import CrossEncoderSettings
from rankloom.errors import DataError, UsageError
from rankloom.rerank import IDCM
from rankloom.testing import StageConformance
from tests.rerank.folders import QUERIES, TEXTS, candidates
from tests.tiny_models import tiny_cross_encoder, tiny_idcm, tiny_published_idcm

FOLDER = "RANKLOOM_TEST_IDCM"  # where the tests' model is, also for the processes that they start
CENTRES = [1.0, 0.9, 0.7, 0.5, 0.3, 0.1, -0.1, -0.3, -0.5, -0.7, -0.9]
CORE, OVERLAP = 6, 2  # of the tiny models


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = str(tiny_idcm(tmp_path_factory.mktemp("tiny")))
    os.environ[FOLDER] = folder
    yield folder
    del os.environ[FOLDER]


def loaded(folder):
    """The model behind a folder."""
    stage = IDCM(str(folder))
    stage.warm_up(Session(offline=True, device="cpu"))
    return stage._loaded.model


# --- the loops ----------------------------------------------------------------------------------------------------


def tokens(model, text, limit):
    return model.tokenizer(text, add_special_tokens=False)["input_ids"][:limit]


def slots(document):
    """Windows as rows of token numbers, None where there is none."""
    width = CORE + 2 * OVERLAP
    rows = []
    for start in range(0, len(document), CORE):
        places = range(start - OVERLAP, start - OVERLAP + width)
        rows.append([document[place] if 0 <= place < len(document) else None for place in places])
    return rows or [[None] * width]


def word(model, number, place):
    """A token's word vector at a place: its own, that of the place, that of the first text; then normalised."""
    parts = model.teacher.base.embeddings
    vector = parts.word_embeddings.weight[number] + parts.position_embeddings.weight[place]
    if hasattr(parts, "token_type_embeddings"):
        vector = vector + parts.token_type_embeddings.weight[0]
    vector = vector.detach().double().numpy()
    centred = (vector - vector.mean()) / math.sqrt(vector.var() + parts.LayerNorm.eps)
    return centred * parts.LayerNorm.weight.detach().numpy() + parts.LayerNorm.bias.detach().numpy()


def convolved(model, row):
    """The student's vectors of a row of tokens, place by place; None where there is no token.

    In the authors' layout the convolution reads padding, which has number 0, as any other token.
    """
    there = [number is not None for number in row]
    if model.sizes.layout == "published":
        row = [number or 0 for number in row]
    student = model.student
    weight, bias = student.context.weight.detach().double().numpy(), student.context.bias.detach().double().numpy()
    words = []
    for place, number in enumerate(row):
        vector = None if number is None else word(model, number, place)
        if vector is not None and isinstance(student.project, torch.nn.Linear):
            vector = student.project.weight.detach().double().numpy() @ vector
            vector = vector + student.project.bias.detach().double().numpy()
        words.append(vector)
    found = []
    for place in range(len(words)):
        total = bias.copy()
        for step in range(3):
            if place + step < len(words) and words[place + step] is not None:
                total += weight[:, :, step] @ words[place + step]
        total = np.maximum(total, 0)
        found.append(total / max(np.linalg.norm(total), 1e-12) if there[place] else None)
    return found


def cheap(model, query, row):
    """The student's score of a window, one word and one kernel at a time."""
    scale, weights = model.student.kernel_scale.tolist(), model.student.kernel_weights.weight[0].tolist()
    head = [model.tokenizer.cls_token_id, *query, model.tokenizer.sep_token_id]
    left, right = convolved(model, head), [one for one in convolved(model, row) if one is not None]
    score = model.student.kernel_weights.bias.item()
    for kernel, centre in enumerate(CENTRES):
        for one in left:
            soft = sum(math.exp(-((float(one @ other) - centre) ** 2) / (2 * 0.1**2)) for other in right)
            score += weights[kernel] * math.log(max(soft * scale[kernel], 1e-4))
    return score


def taught(model, query, row):
    """The teacher's score of a window, alone."""
    cls, sep = model.tokenizer.cls_token_id, model.tokenizer.sep_token_id
    head = [cls, *query, sep]
    with torch.no_grad():
        if model.sizes.layout == "published":
            ids = [*head, *(0 if one is None else one for one in row)]
            mask = [1] * len(head) + [int(one is not None) for one in row]
            output = model.teacher.base(input_ids=torch.tensor([ids]), attention_mask=torch.tensor([mask]))
            return float(model.teacher.head(output.last_hidden_state[0, 0]))
        tail = [*(one for one in row if one is not None), sep]
        types = torch.tensor([[0] * len(head) + [1] * len(tail)])
        ids = torch.tensor([[*head, *tail]])
        return float(model.teacher.model(input_ids=ids, token_type_ids=types).logits[0, 0])


def looped(model, query, document, *, sample):
    """The score of a document, and the windows that were read."""
    sizes = model.sizes
    asked = tokens(model, query, sizes.query_tokens)
    text = tokens(model, document, sizes.max_tokens)
    if sizes.layout == "published":
        text = [*text, model.tokenizer.sep_token_id]
    windows = slots(text)
    places = list(range(len(windows)))
    if sample != -1 and len(windows) > sample:
        by_student = {place: cheap(model, asked, windows[place]) for place in places}
        places = sorted(places, key=lambda place: (-by_student[place], place))[:sample]
    best = sorted((taught(model, asked, windows[place]) for place in places), reverse=True)
    return sum(weight * score for weight, score in zip(model.weights.tolist(), best, strict=False))


# --- the stage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", [None, 1, 3, -1])
def test_scores_are_those_of_plain_loops(tiny, sample):
    model = loaded(tiny)
    run = IDCM(tiny, sample=sample).run(candidates())
    assert run.ranking.kind == ScoreKind.LOGIT
    for query_id, scores in run.to_dict().items():
        expected = {
            doc_id: looped(model, QUERIES[query_id], text, sample=sample or model.sizes.sample)
            for doc_id, text in TEXTS.items()
        }
        assert len({round(score, 3) for score in expected.values()}) >= 4
        assert scores == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_choosing_windows_matters_here(tiny):
    one, every = (IDCM(tiny, sample=sample).run(candidates()).to_dict()["q1"] for sample in (1, -1))
    assert one["bread"] == pytest.approx(every["bread"], abs=1e-5)  # a document of one window
    assert one["long"] != pytest.approx(every["long"], abs=1e-3)


@pytest.mark.parametrize("student", ["ck_small", "tk"])
def test_the_other_students_choose_by_their_own_scores(tmp_path, student):
    model = loaded(tiny_idcm(tmp_path, student=student))
    query, document = tokens(model, QUERIES["q1"], 8), tokens(model, "the sea is blue and so is bread " * 3, 40)
    windows = model.windows(document)
    with torch.no_grad():
        vectors = model.window_vectors(windows)
        scores = model.cheap_scores(model.query_vectors(query), vectors, windows)
        assert len(set(scores.tolist())) == len(windows) > 3
        if student == "ck_small":
            expected = [cheap(model, query, row) for row in slots(document)]
            assert scores.tolist() == pytest.approx(expected, rel=1e-3, abs=1e-3)
        for place in range(len(windows)):  # each alone, without empty places at its end
            own = int(windows.mask[place].nonzero().max()) + 1
            alone = type(windows)(windows.numbers[place : place + 1, :own], windows.mask[place : place + 1, :own])
            again = model.cheap_scores(model.query_vectors(query), model.window_vectors(alone), alone)
            assert float(again[0]) == pytest.approx(float(scores[place]), rel=1e-3, abs=1e-3)
        best = sorted(range(len(windows)), key=lambda place: (-float(scores[place]), place))[:2]
        assert model.chosen(model.query_vectors(query), vectors, windows, 2) == sorted(best)


@pytest.mark.parametrize("length", [0, 1, CORE - 1, CORE, CORE + 1, 2 * CORE, 3 * CORE + 1])
def test_windows_hold_each_token_at_its_place_and_nothing_else(tiny, length):
    model = loaded(tiny)
    document = list(range(10, 10 + length))
    windows = model.windows(document)
    expected = slots(document)
    assert windows.mask.tolist() == [[one is not None for one in row] for row in expected]
    assert windows.numbers[windows.mask].tolist() == [one for row in expected for one in row if one is not None]
    assert len(windows) == max(1, -(-length // CORE))


def test_a_score_of_zero_is_a_score():
    """In the authors' code a window whose score is 0 counts as padding, below all others."""
    from rankloom.rerank.window_choice import best_windows, weighted_sum

    assert best_windows(np.array([-1.0, 0.0, -2.0]), 2) == [1, 0]
    assert weighted_sum(np.array([-1.0, 0.0]), [1.0, 1.0, 1.0]) == -1.0


def test_what_is_not_read_is_noted(tiny):
    notes = IDCM(tiny).run(candidates()).ledger.notes
    assert {(note.kind, note.doc_id, note.amount) for note in notes} == {("truncated", "long", 60)}


def test_all_windows_are_another_result_in_the_cache(tiny, tmp_path):
    session = Session(cache=tmp_path, offline=True, device="cpu")
    first = IDCM(tiny, sample=1).run(candidates(session))
    second = IDCM(tiny, sample=-1).run(candidates(session))
    assert second.ledger.by_stage()["idcm"].cached == 0
    assert IDCM(tiny, sample=1, depth=3).run(candidates(session)).ledger.by_stage()["idcm"].cached == 6
    assert first.ledger.by_stage()["idcm"].tokens < second.ledger.by_stage()["idcm"].tokens


@pytest.mark.parametrize("student", ["ck", "ck-small"])
def test_a_checkpoint_in_the_authors_layout(tmp_path, student):
    folder = tiny_published_idcm(tmp_path / "published", student=student)
    model = loaded(folder)
    assert (model.sizes.sample, model.sizes.max_tokens, model.sizes.best) == (2, 1998, 3)
    for sample in (None, -1):
        found = IDCM(str(folder), sample=sample).run(candidates()).to_dict()["q1"]
        expected = {doc_id: looped(model, QUERIES["q1"], text, sample=sample or 2) for doc_id, text in TEXTS.items()}
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)
    query, document = tokens(model, QUERIES["q1"], 8), tokens(model, TEXTS["long"], 2 * CORE + 2)
    windows = model.windows(document)
    with torch.no_grad():
        scores = model.cheap_scores(model.query_vectors(query), model.window_vectors(windows), windows)
    rows = slots([*document, model.tokenizer.sep_token_id])
    assert any(None in row for row in rows)
    assert scores.tolist() == pytest.approx([cheap(model, query, row) for row in rows], rel=1e-3, abs=1e-3)


def test_other_models_are_refused(tmp_path):
    with pytest.raises(DataError, match="not an IDCM model"):
        IDCM(str(tiny_cross_encoder(tmp_path / "cross"))).run(candidates())
    folder = tiny_published_idcm(tmp_path / "published")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DataError, match="no tokenizer"):
        IDCM(str(folder)).run(candidates())


def test_a_window_that_is_too_long_for_the_backbone_is_refused(tmp_path):
    from sentence_transformers import SentenceTransformer

    from rankloom.rerank.idcm_adapter import IDCMSettings, adapted
    from rankloom.rerank.idcm_model import IDCMSizes
    from tests.tiny_models import tiny_encoder

    backbone = str(tiny_encoder(tmp_path))
    with pytest.raises(DataError, match="longer than the backbone reads"):
        adapted(SentenceTransformer(backbone, device="cpu"), IDCMSettings(backbone=backbone, sizes=IDCMSizes(), rank=0))


@pytest.mark.parametrize("sample", [0, -2, True])
def test_a_sample_is_a_number_of_windows(sample):
    with pytest.raises(UsageError, match="sample"):
        IDCM("somewhere", sample=sample)


def test_the_teacher_is_saved_by_the_names_of_a_cross_encoder(tiny):
    from sentence_transformers import SentenceTransformer

    from rankloom.cross_encoder_adapter import adapted, trained
    from rankloom.rerank.idcm_adapter import load_adapter, read_settings, teacher_weights

    settings = read_settings(tiny)
    backbone = SentenceTransformer(settings.backbone, device="cpu")
    plain = adapted(backbone, CrossEncoderSettings(settings.backbone, 30, rank=2))
    assert trained(plain).keys() == teacher_weights(load_adapter(tiny, backbone)).keys()


def test_the_teacher_is_as_fast_as_a_cross_encoder_and_the_backbone_stays(tiny):
    """Low-rank changes are merged into copies, no padding is read, and the last layer has the first token alone."""
    from peft.tuners.lora import LoraLayer

    from rankloom.encoders.sentence_model import sentence_model
    from rankloom.models import resolve_model
    from rankloom.rerank.first_token_layer import FirstTokenLayer
    from rankloom.rerank.idcm_adapter import load_adapter
    from rankloom.rerank.packed_layers import PackedLayers

    model, session = loaded(tiny), Session(offline=True, device="cpu")
    found = resolve_model(tiny, offline=True, stage="idcm")
    backbone = sentence_model(found.backbone, session, precision="float32", stage="idcm").model
    for one in (model, backbone):
        assert not [part for part in one.modules() if isinstance(part, LoraLayer)]
    assert [type(layer) for layer in model.teacher.base.encoder.layer] == [PackedLayers, FirstTokenLayer]
    assert not [part for part in backbone.modules() if isinstance(part, PackedLayers | FirstTokenLayer)]
    plain = load_adapter(tiny, backbone)
    windows = plain.windows(tokens(plain, TEXTS["long"], 40))
    rows = [plain.row(tokens(plain, QUERIES["q1"], 8), windows, place) for place in range(len(windows))]
    with torch.no_grad():
        assert model.scores(rows).tolist() == pytest.approx(plain.scores(rows).tolist(), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_number_of_threads_changes_no_bit(tiny, dtype):
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            session = Session(offline=True, device="cpu", dtype=dtype)
            found.append([IDCM(tiny, sample=sample).run(candidates(session)).to_dict() for sample in (2, -1)])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


class TestConformance(StageConformance):
    neutral = frozenset({"batch_size"})

    @pytest.fixture(autouse=True)
    def _model(self, tiny):
        pass

    def make_stage(self):
        return IDCM(str(Path(os.environ[FOLDER])), depth=4)

    def make_run(self):
        return candidates()
