"""monoT5 against transformers itself, one pair at a time, on a small random T5."""

import os
from pathlib import Path

import pytest

from rankloom import ScoreKind
from rankloom.errors import DataError, UsageError
from rankloom.rerank import MonoT5
from rankloom.rerank.mono_t5 import prompt_tokens
from rankloom.testing import StageConformance
from tests.rerank.folders import QUERIES, TEXTS, candidates
from tests.tiny_models import tiny_cross_encoder, tiny_t5

FOLDER = "RANKLOOM_TEST_MONO_T5"  # where the tests' model is, also for the processes that they start


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = str(tiny_t5(tmp_path_factory.mktemp("tiny")))
    os.environ[FOLDER] = folder
    yield folder
    del os.environ[FOLDER]


@pytest.fixture(scope="module")
def tokenizer(tiny):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny)


def prompt_of(query, document):
    """The prompt; SentencePiece takes several blanks for one."""
    return " ".join(f"Query: {query} Document: {document} Relevant:".split())


def alone(folder, query, document):
    """The score of one pair: the logits of the first answer that transformers would generate."""
    import torch
    from transformers import AutoTokenizer, T5ForConditionalGeneration

    tokenizer, model = AutoTokenizer.from_pretrained(folder), T5ForConditionalGeneration.from_pretrained(folder).eval()
    prompt = tokenizer(prompt_of(query, document), return_tensors="pt")
    kept = {"input_ids": prompt["input_ids"], "attention_mask": prompt["attention_mask"]}
    settings = {"max_new_tokens": 1, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    with torch.no_grad():
        logits = model.generate(**kept, **settings).logits[0][0]
    yes, no = tokenizer.convert_tokens_to_ids(["▁true", "▁false"])
    return float(logits[yes] - logits[no])


def test_scores_are_the_logits_of_the_first_word(tiny):
    run = MonoT5(tiny, batch_size=4).run(candidates())
    assert run.ranking.kind == ScoreKind.LOGIT
    for query_id, scores in run.to_dict().items():
        expected = {doc_id: alone(tiny, QUERIES[query_id], text) for doc_id, text in TEXTS.items()}
        assert len({round(score, 3) for score in expected.values()}) >= 4
        for doc_id, score in scores.items():
            assert score == pytest.approx(expected[doc_id], rel=1e-3, abs=1e-3), doc_id


def test_parts_are_tokenised_as_the_whole_prompt(tokenizer):
    for query in QUERIES.values():
        for text in TEXTS.values():
            whole = tokenizer(prompt_of(query, text))["input_ids"]
            assert prompt_tokens(tokenizer, query, text, 512) == (whole, 0)


def test_the_prompt_s_own_words_are_never_cut(tokenizer):
    fixed = tokenizer("Query: Document: Relevant:")["input_ids"]
    ids, cut = prompt_tokens(tokenizer, "why is the sky blue", "light " * 100, 20)
    query = tokenizer("why is the sky blue", add_special_tokens=False)["input_ids"]
    assert len(ids) == 20
    assert ids[1 : 1 + len(query)] == query  # the document is cut first
    assert ids[-2:] == fixed[-2:]
    assert cut == 100 - (20 - len(fixed) - len(query))
    ids, cut = prompt_tokens(tokenizer, "light " * 50, "light", 20)
    assert (len(ids), ids[-3:], cut) == (20, fixed[-3:], 51 - (20 - len(fixed)))


def test_what_is_not_read_is_noted(tiny):
    notes = MonoT5(tiny, max_tokens=60).run(candidates()).ledger.notes
    assert {(note.kind, note.doc_id) for note in notes} == {("truncated", "long")}


def test_other_words_and_other_models_are_refused(tiny, tmp_path):
    with pytest.raises(DataError, match=r"no such token.*▁yes"):
        MonoT5(tiny, true_word="▁yes").run(candidates())
    with pytest.raises(DataError, match=r"no sequence-to-sequence model.*CrossEncoder"):
        MonoT5(str(tiny_cross_encoder(tmp_path))).run(candidates())
    with pytest.raises(UsageError, match="the same"):
        MonoT5("x/y", true_word="▁true", false_word="▁true")
    with pytest.raises(UsageError, match="max_tokens"):
        MonoT5("x/y", max_tokens=4)


class TestConformance(StageConformance):
    neutral = frozenset({"batch_size"})

    @pytest.fixture(autouse=True)
    def _model(self, tiny):
        pass

    def make_stage(self):
        return MonoT5(str(Path(os.environ[FOLDER])), depth=4)

    def make_run(self):
        return candidates()
