"""Batches by tokens: what is in them, and that nothing is counted twice or left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Session
from rankloom.encoders import SentenceEncoder
from rankloom.encoders.batches import Limits, batches, plain_transformer
from tests.tiny_models import tiny_encoder

SESSION = Session(offline=True, device="cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return SentenceEncoder(str(tiny_encoder(tmp_path_factory.mktemp("tiny")))).load(SESSION).model


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.text(alphabet="ab sky", max_size=80), max_size=12),
    limits=st.builds(Limits, st.integers(1, 200), st.none() | st.integers(1, 5)),
    prompt=st.none() | st.just("query: "),
    side=st.sampled_from(["right", "left"]),
)
def test_batches_hold_every_text_once_within_their_limits(model, texts, limits, prompt, side):
    assert plain_transformer(model)
    model.tokenizer.truncation_side = side
    made = list(batches(model, texts, prompt=prompt, role="query", limits=limits))
    assert sorted(place for batch in made for place in batch.places.tolist()) == list(range(len(texts)))
    for batch in made:
        rows, width = batch.features["input_ids"].shape
        assert rows == 1 or rows * width <= limits.tokens
        assert rows <= (limits.texts or len(texts))
        for row, place in enumerate(batch.places):
            read = model.tokenizer((prompt or "") + texts[place], truncation=True, max_length=32).input_ids
            whole = model.tokenizer((prompt or "") + texts[place], verbose=False).input_ids
            kept = batch.features["attention_mask"][row].bool()
            assert batch.features["input_ids"][row][kept].tolist() == read
            assert (batch.read[row], batch.truncated[row]) == (len(read), len(whole) - len(read))
    widths = [batch.features["input_ids"].shape[1] for batch in made]
    assert widths == sorted(widths, reverse=True)


def test_batches_are_padded_as_the_tokenizer_would(model):
    texts = ["why is the sky blue", "sea", ""]
    (batch,) = batches(model, texts, prompt=None, role="query", limits=Limits(1024))
    expected = model.preprocess([texts[place] for place in batch.places], task="query")
    assert expected.keys() == batch.features.keys()
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        np.testing.assert_array_equal(batch.features[name], expected[name])
