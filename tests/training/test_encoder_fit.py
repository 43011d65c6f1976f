"""The trainer of sentence encoders: its batches, its loss, its checkpoints."""

import pytest
import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments

from rankloom.adapter import merge_low_rank
from rankloom.training.contrastive_config import Contrast, LowRank
from rankloom.training.contrasts import Row, batches
from rankloom.training.encoder_fit import ContrastTrainer, _dataset, contrast_loss, trained_weights
from rankloom.training.encoder_training import add_low_rank
from tests.tiny_models import WORDS, tiny_encoder

ROWS = []
for number in range(16):  # rows 2n and 2n + 1 answer each other's query
    about = frozenset([number // 2])
    positive = f"the {WORDS[(number + 1) % 10]} {number // 2}"
    ROWS.append(Row(f"{WORDS[number % 10]} {number}", positive, (f"moon {number}",), "a", about, about))


@pytest.fixture
def encoder(tmp_path):
    return SentenceTransformer(str(tiny_encoder(tmp_path)), device="cpu")


def trainer_of(encoder, folder):
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=4, max_steps=9, seed=5, use_cpu=True, report_to="none"
    )
    loss = contrast_loss(encoder, Contrast())
    return ContrastTrainer(rows=ROWS, model=encoder, args=arguments, train_dataset=_dataset(ROWS), loss=loss)


def test_it_reads_the_batches_that_have_no_false_negatives(encoder, tmp_path):
    found = list(trainer_of(encoder, tmp_path).get_train_dataloader().batch_sampler)
    assert found == list(batches(ROWS, size=4, count=9, seed=5))
    for batch in found:
        assert len({ROWS[place].positive.split()[-1] for place in batch}) == 4  # two rows share each number


@pytest.mark.parametrize("mini_batch", [None, 2])
def test_the_loss_is_a_softmax_over_all_documents_of_the_batch(encoder, mini_batch):
    loss = contrast_loss(encoder.eval(), Contrast(temperature=0.1, mini_batch=mini_batch))
    rows = ROWS[::4]
    columns = ([row.query for row in rows], [row.positive for row in rows], [row.negatives[0] for row in rows])
    found = loss([encoder.preprocess(texts) for texts in columns], None)
    queries, *documents = (encoder.encode(texts, convert_to_tensor=True) for texts in columns)
    scores = queries @ torch.cat(documents).T / 0.1
    expected = torch.stack([torch.logsumexp(row, 0) - row[place] for place, row in enumerate(scores)]).mean()
    assert found.item() == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("low_rank", [True, False])
def test_a_checkpoint_holds_what_is_trained(encoder, tmp_path, low_rank):
    if low_rank:
        add_low_rank(encoder, LowRank(rank=2))
    trainer = trainer_of(encoder, tmp_path)
    trained = trained_weights(encoder)
    assert all(("lora" in name) == low_rank for name in trained)
    with torch.no_grad():
        for one in trained.values():
            one.add_(torch.rand_like(one))
    vectors = encoder.eval().encode(["the sky"])
    trainer._save(str(tmp_path / "checkpoint"))
    with torch.no_grad():
        for one in trained.values():
            one.zero_()
    trainer._load_from_checkpoint(str(tmp_path / "checkpoint"))
    assert encoder.encode(["the sky"]) == pytest.approx(vectors)
    merge_low_rank(encoder, extra="train", stage="test")
    assert encoder.encode(["the sky"]) == pytest.approx(vectors, abs=1e-5)
    assert not any("lora" in name or "base_layer" in name for name in encoder.state_dict())
