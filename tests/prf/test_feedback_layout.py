"""The tokens that a learned query encoder reads, compared with texts put together by hand and tokenised as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.errors import UsageError
from rankloom.prf.feedback_layout import FeedbackLayout, Special, render
from tests.tiny_models import tiny_tokenizer

SPECIAL = Special(begin=101, end=102, mask=103, marker=(7, 8, 9))
TOKENS = st.lists(st.integers(1000, 1100), max_size=12)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A tokenizer with [CLS] and [SEP]."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("bert")
    tiny_tokenizer(folder, max_length=64)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def roberta():
    """A byte-level tokenizer with <s> and </s>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<s>", "<pad>", "</s>", "<mask>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    words = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "mask_token": "<mask>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **words)


def rendered(tokenizer, query, documents, **layout):
    plain = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (query, *documents)]
    return render(plain[0], plain[1:], FeedbackLayout(docs=3, **layout), Special.of(tokenizer, stage="test"))


def as_one_text(tokenizer, text, most=None):
    """As pyserini and the authors do it: the special tokens written out, and no others added."""
    return tokenizer(text, add_special_tokens=False)["input_ids"][:most]


QUERY, DOCUMENTS = "why is the sky blue", ["the sky scatters blue light", "bread, yeast", "the moon"]


class TestAgainstOneText:
    def test_bert(self, bert):
        found = rendered(bert, QUERY, DOCUMENTS)
        text = f"[CLS] {QUERY} [SEP] {' [SEP] '.join(DOCUMENTS)} [SEP]"
        assert found.ids == as_one_text(bert, text)
        assert (found.pooled, found.query_cut, found.cut) == ((0, len(found.ids)), 0, (0, 0, 0))

    def test_roberta(self, roberta):
        text = f"<s>{QUERY}</s>{'</s>'.join(DOCUMENTS)}</s>"
        assert rendered(roberta, QUERY, DOCUMENTS).ids == as_one_text(roberta, text)

    def test_tct_is_filled_up_with_masks_that_are_pooled(self, bert):
        found = rendered(bert, QUERY, DOCUMENTS, form="tct", max_tokens=60)
        text = f"[CLS] [Q] {QUERY} [SEP] {' [SEP] '.join(DOCUMENTS)} {'[MASK] ' * 60}"
        assert found.ids == as_one_text(bert, text, 60)
        assert found.ids[-1] == bert.mask_token_id
        assert found.pooled == (4, 60)  # [CLS], and the three tokens of [Q], are not

    def test_overflow_keeps_the_first_and_the_last_separator(self, bert):
        whole = rendered(bert, QUERY, DOCUMENTS).ids
        found = rendered(bert, QUERY, DOCUMENTS, max_tokens=12)
        assert found.ids == [*whole[:11], bert.sep_token_id]
        kept = 11 - len(f"[CLS] {QUERY} [SEP]".split())
        lengths = [len(bert(text, add_special_tokens=False)["input_ids"]) for text in DOCUMENTS]
        assert found.cut == (lengths[0] - kept, *lengths[1:])

    def test_tct_overflow_is_cut_without_a_separator(self, bert):
        text = f"[CLS] [Q] {QUERY} [SEP] {' [SEP] '.join(DOCUMENTS)}"
        found = rendered(bert, QUERY, DOCUMENTS, form="tct", max_tokens=14)
        assert found.ids == as_one_text(bert, text, 14)


class TestParts:
    def test_a_share_for_each_document(self):
        layout = FeedbackLayout(docs=2, max_tokens=20, document_tokens=2)
        found = render([1], [[2, 3, 4], [5]], layout, SPECIAL)
        assert found == ([101, 1, 102, 2, 3, 102, 5, 102], (0, 8), 0, (1, 0))

    def test_only_the_query_is_pooled(self):
        layout = FeedbackLayout(docs=2, max_tokens=8, pooled="query")
        assert render([1, 2], [[3]], layout, SPECIAL).pooled == (0, 4)
        assert render([1] * 9, [[3]], layout, SPECIAL) == ([101, *[1] * 6, 102], (0, 8), 3, (1,))

    @given(TOKENS, st.lists(TOKENS, max_size=3), st.integers(8, 40), st.sampled_from([None, 1, 3]),
           st.sampled_from(["separated", "tct"]))  # fmt: skip
    def test_nothing_is_lost_unsaid(self, query, documents, most, each, form):
        layout = FeedbackLayout(docs=3, max_tokens=most, document_tokens=each, form=form)
        found = render(query, documents, layout, SPECIAL)
        assert len(found.ids) <= most
        asked = len(query) + sum(map(len, documents))
        read = sum(one >= 1000 for one in found.ids)
        assert asked - read == found.query_cut + sum(found.cut)
        assert found.ids[0] == 101
        assert found.ids[-1] == 102 if form == "separated" else len(found.ids) == most

    @pytest.mark.parametrize(
        "wrong", [{"docs": 0}, {"max_tokens": 3}, {"document_tokens": 0}, {"form": "t5"}, {"pooled": "documents"}]
    )
    def test_what_can_not_be_laid_out(self, wrong):
        with pytest.raises(UsageError):
            FeedbackLayout(**{"docs": 3, **wrong})
