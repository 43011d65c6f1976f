"""What students are worth on held-out queries, against counting, and scores that say nothing."""

import math

import pytest
import torch

from rankloom import Session
from rankloom.errors import StageError
from rankloom.training.distillation import Example
from rankloom.training.distillation_config import ColBERTStudent, DotStudent
from rankloom.training.student import Student
from rankloom.training.student_validation import measured
from rankloom.training.students import make_student
from tests.tiny_models import tiny_encoder

SESSION = Session(offline=True, device="cpu")
PROMPTS = {"query": "why is the ", "passage": "bread : "}


class Told(Student):
    """Scores documents by numbers in their texts."""

    stage = "none"

    def forward(self, queries, documents, *, crossed=False):  # noqa: ARG002  # a student's
        return torch.tensor([[float(text) for text in documents]])

    def save(self, folder):
        raise NotImplementedError


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return str(tiny_encoder(tmp_path_factory.mktemp("tiny"), max_length=64, prompts=PROMPTS))


def students(backbone):
    sizes = {"backbone": backbone, "query_tokens": 12, "max_tokens": 32}
    yield make_student(DotStudent(architecture="dot", **sizes), SESSION).eval()
    yield make_student(ColBERTStudent(architecture="colbert", expand_queries=False, **sizes), SESSION).eval()


def counting(read, calls):
    """A `read` that notes what it is asked for."""

    def counted(texts, role):
        calls.append((role, len(texts)))
        return read(texts, role)

    return counted


def test_own_documents_are_ranked_and_the_measure_says_so():
    held_out = [Example("a", ("2", "3", "1"), {}), Example("b", ("9", "3", "1"), {})]
    expected = (1 / math.log2(3) + 1) / 2
    assert measured(Told(), held_out) == {"nDCG@10 of own documents": pytest.approx(expected, abs=1e-4)}
    assert measured(Told(), []) == {}


@pytest.mark.parametrize("score", ["nan", "inf", "-inf"])
def test_scores_that_are_not_finite_are_an_error(score):
    for texts in [(score, "1"), ("1", score)]:
        with pytest.raises(StageError, match=r"lower training\.learning_rate"):
            measured(Told(), [Example("a", texts, {})])


def test_a_student_whose_weights_are_nan_is_an_error(backbone):
    for student in students(backbone):
        with torch.no_grad():
            next(student.parameters()).fill_(float("nan"))
        with pytest.raises(StageError, match="not a finite number"):
            measured(student, [Example("sky", ("blue", "sea"), {})])


def test_queries_are_read_once_and_rank_all_documents(backbone, monkeypatch):
    monkeypatch.setattr("rankloom.training.student_validation._AT_ONCE", 2)
    held_out = [Example("sky", ("blue", "sea", "tide"), {}), Example("yeast", ("bread", "light", "moon"), {})]
    texts = [text for one in held_out for text in one.texts]
    for student in students(backbone):
        with torch.no_grad():
            scores = torch.cat([student([one.query], texts) for one in held_out])
        ranks = [int((row >= row[place]).sum()) for row, place in zip(scores, (0, 3), strict=True)]
        read = []
        monkeypatch.setattr(student, "read", counting(student.read, read))
        expected = sum(1 / math.log2(1 + rank) for rank in ranks) / 2
        assert measured(student, held_out) == {"nDCG@10": pytest.approx(expected, abs=1e-4)}
        assert read == [("query", 2), ("document", 2), ("document", 2), ("document", 2)]


def test_students_train_with_the_prompts_that_they_search_with(backbone):
    dot, colbert = students(backbone)
    texts = ["sky and sea", "the moon"]
    with torch.no_grad():
        for role, prompt in (("query", PROMPTS["query"]), ("document", PROMPTS["passage"])):
            searched = torch.from_numpy(dot.encoder.encode(texts, prompt=prompt, convert_to_numpy=True))
            torch.testing.assert_close(dot.read(texts, role), searched, atol=1e-5, rtol=1e-4)
            assert (dot.read(texts, role) - torch.from_numpy(dot.encoder.encode(texts))).abs().max() > 1e-3
            with_prompt = colbert.encoder.preprocess(texts, prompt=prompt, task=role)["input_ids"]
            vectors, _ = colbert.read(texts, role)
            assert vectors.shape[1] == with_prompt.shape[1] > max(map(len, texts)) / 3


def test_a_colbert_student_keeps_the_prompts_for_its_stage(backbone, tmp_path):
    from rankloom import Corpus, Document, Run
    from rankloom.config import PipelineBuilder

    _, student = students(backbone)
    student.save(tmp_path / "student")
    texts = {"a": "sky and sea", "b": "the moon"}
    stage = PipelineBuilder({}).build(
        {"late_interaction": {"model": str(tmp_path / "student")}}, corpus=None, session=SESSION
    )
    documents = Corpus.of([Document(doc_id, text) for doc_id, text in texts.items()])
    run = Run.from_dict({"q": dict.fromkeys(texts, 0.0)}, queries={"q": "blue"}, documents=documents, session=SESSION)
    found = stage.run(run).to_dict()["q"]
    with torch.no_grad():
        expected = student(["blue"], list(texts.values()))[0]
    assert [found[doc_id] for doc_id in texts] == pytest.approx(expected.tolist(), abs=1e-4)
