"""The table of query weights against counting by hand."""

import math

import pytest
from transformers import AutoTokenizer

from rankloom.training.idf import idf_table
from tests.tiny_models import tiny_tokenizer


@pytest.fixture
def tokenizer(tmp_path):
    tiny_tokenizer(tmp_path, max_length=4)
    return AutoTokenizer.from_pretrained(tmp_path)


def test_a_token_weighs_by_how_many_texts_hold_it(tokenizer):
    texts = ["the sky the sky the sky", "the sea the sea blue", "the tide"]  # more tokens than the model reads
    table = idf_table(texts, tokenizer)
    for token, count in (("the", 3), ("sky", 1), ("blue", 1), ("moon", 0)):
        assert table[token] == pytest.approx(math.log(1 + (3 - count + 0.5) / (count + 0.5)), abs=5e-4)
    assert not table.keys() & set(tokenizer.all_special_tokens)
    assert len(table) == len(tokenizer) - len(tokenizer.all_special_tokens)


def test_the_tokenizer_cuts_and_pads_as_before(tokenizer):
    before = tokenizer(["the sky the sky the sky", "sea"], truncation=True, padding=True)["input_ids"]
    idf_table(["the sky"], tokenizer)
    assert tokenizer(["the sky the sky the sky", "sea"], truncation=True, padding=True)["input_ids"] == before
