"""Batches of a student's examples: no document of one is known to be relevant to another's query."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from rankloom import Session
from rankloom.errors import DataError
from rankloom.training.distillation import Example
from rankloom.training.distillation_config import DistillationRecipe
from rankloom.training.example_rows import rows_of
from rankloom.training.examples import examples_of
from rankloom.training.inference_free_config import InferenceFreeRecipe
from rankloom.training.pairs import read_source
from rankloom.training.recipe_config import TrainingSource
from tests.training.recipes import tiny_recipe

ANSWERS = [
    "the sky is blue by day",
    "light makes the sky look blue",
    "the tide follows the moon",
    "bread needs yeast",
    "ships on the blue sea",
]
ASKED = [
    ("why is the sky blue", 0),
    ("why is the sky blue", 1),
    ("what does the tide follow", 2),
    ("what needs yeast", 3),
    ("where are the ships", 4),
]


@pytest.fixture
def source(tmp_path):
    lines = [json.dumps({"q": query, "d": ANSWERS[answer]}) for query, answer in ASKED]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    told = {
        "name": "asked",
        "licence": "CC0",
        "pairs": {"file": str(tmp_path / "pairs.jsonl"), "query": "q", "document": "d"},
    }
    return read_source(TrainingSource.model_validate(told), Session(), seed=7)


def test_a_row_knows_every_relevant_document_of_its_query(source):
    sky = Example("why is the sky blue", (ANSWERS[0], ANSWERS[2]), {})
    (row,) = rows_of([sky], [source])
    assert (row.query, row.positive, row.negatives, row.source) == (sky.query, ANSWERS[0], (ANSWERS[2],), "asked")
    assert row.shown == set(sky.texts)
    assert row.relevant == {ANSWERS[0], ANSWERS[1]}


def values_of(folder, source):
    values = tiny_recipe(folder)
    values["sources"] = [source.source.model_dump(exclude_none=True)]
    values["teachers"] |= {"documents": 2, "candidates": ["bm25", {"top": 4}]}
    return values


def distillation(values, **changes):
    backbone = values["student"]["backbone"]
    kept = {name: value for name, value in values.items() if name not in ("penalty", "loss")}
    student = {"architecture": "dot", "backbone": backbone, "layers": 1}
    return DistillationRecipe.model_validate(kept | {"kind": "distillation", "student": student, **changes})


def test_another_answer_is_no_negative_of_a_student_but_may_be_shown_to_the_inference_free(tmp_path, source):
    """One cache for both kinds: what is kept for one must not be read for the other."""
    session = Session(cache=tmp_path / "cache", offline=True)
    values = values_of(tmp_path, source)
    shown = {"free": [], "student": []}
    for seed in range(6):
        free = InferenceFreeRecipe.model_validate(values | {"seed": seed})
        for kind, recipe in (("free", free), ("student", distillation(values, seed=seed))):
            found = examples_of(recipe, [source], session, tmp_path)
            (sky,) = [one for one in found.training if one.query == "why is the sky blue"]
            shown[kind].append(len(set(sky.texts) & set(ANSWERS[:2])))
    assert shown["student"] == [1] * 6
    assert max(shown["free"]) == 2


def test_the_trainer_of_the_contrastive_loss_takes_such_batches(tmp_path, source):
    from transformers import TrainingArguments

    from rankloom.training.loop import common_arguments
    from rankloom.training.student_fit import StudentTrainer, _batch, _Taught
    from rankloom.training.students import make_student

    recipe = distillation(tiny_recipe(tmp_path, queries=2, steps=6), loss="contrastive")
    examples = [
        Example("why is the sky blue", (ANSWERS[0], ANSWERS[2]), {}),
        Example("what needs yeast", (ANSWERS[3], ANSWERS[1]), {}),
        Example("what does the tide follow", (ANSWERS[2], ANSWERS[3]), {}),
        Example("what needs yeast", (ANSWERS[3], ANSWERS[2]), {}),
        Example("where are the ships", (ANSWERS[4], "an answer to nothing"), {}),
    ]
    # the first shows what answers the third, the second what answers the first, and so on; the last goes with all
    trainer = StudentTrainer(
        loss=recipe.loss,
        rows=rows_of(examples, [source]),
        model=make_student(recipe.student, Session(offline=True, device="cpu")),
        args=TrainingArguments(**common_arguments(recipe, tmp_path / "checkpoints"), remove_unused_columns=False),
        train_dataset=_Taught(examples, np.zeros((5, 2))),
        data_collator=_batch,
    )
    relevant = {one.query: one.relevant for one in rows_of(examples, [source])}
    given = list(trainer.get_train_dataloader())
    assert len(given) == 6
    for batch in given:
        assert len(set(batch["queries"])) == 2
        for place, query in enumerate(batch["queries"]):
            others = [text for number, text in enumerate(batch["documents"]) if number // 2 != place]
            assert not set(others) & relevant[query]


@pytest.mark.parametrize("split", ["test", "dev", "dev-small", "dev/small", "validation", "valid", "val", "Dev_2"])
def test_splits_that_are_measured_on_are_not_trained_on(split):
    with pytest.raises(ValidationError, match="not to be trained on"):
        TrainingSource(name="a", licence="CC0", collection=f"msmarco-passage/{split}")
    assert TrainingSource(name="a", licence="CC0", collection="devset/train").collection == "devset/train"


def test_a_broken_file_of_pairs_says_what_to_do(tmp_path):
    for name, content, fix in (
        ("a.json", "{", r"ending \.jsonl"),
        ("b.jsonl", '{"question": "why"}\n', "name the fields"),
    ):
        (tmp_path / name).write_text(content)
        told = {"name": "x", "licence": "CC0", "pairs": {"file": str(tmp_path / name), "query": "q", "document": "d"}}
        with pytest.raises(DataError, match=fix):
            read_source(TrainingSource.model_validate(told), Session(), seed=7)
