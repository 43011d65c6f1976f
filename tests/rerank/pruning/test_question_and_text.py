"""What of a question and a text is tokenised, as literal strings, by tokenizers to which spaces matter."""

from types import SimpleNamespace

import pytest
from transformers import PreTrainedTokenizerFast

from rankloom.ranking import ScoreKind
from rankloom.rerank.pruning.provence_layout import ProvenceLayout
from rankloom.rerank.pruning.question_and_text import QuestionAndText
from tests.tiny_provence import tiny_byte_bpe, tiny_metaspace

TEXT = " The sky.  Blue!\nWhy? "
OFFSETS = [(1, 9), (11, 16), (17, 21)]


def inputs(folder, make, *, space, plain=False, longest=None, max_tokens=40):
    make(folder, max_length=64)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    heads = SimpleNamespace(classifier=SimpleNamespace(config=SimpleNamespace(type_vocab_size=1)))
    layout = ProvenceLayout("provence", ScoreKind.LOGIT, "decision", 0.1, plain, space, longest, max_tokens)
    return QuestionAndText(SimpleNamespace(tokenizer=tokenizer, heads=heads), layout)


@pytest.mark.parametrize(
    ("asked", "plain"),
    [
        ("What's the U.S. GDP?", "whats the us gdp"),
        ("COVID-19 in snake_case", "covid19 in snakecase"),
        ("  Why   is\nthe sky blue? ", "why is the sky blue"),
        ("\u0915\u094d\u092f\u094b\u0902 \u0939\u0948?", "\u0915\u094d\u092f\u094b\u0902 \u0939\u0948"),  # vowel signs
        ("100 \u20ac \u2014 why\u061f", "100 \u20ac \u2014 why\u061f"),  # marks beyond ASCII stay
        ("???", "???"),
    ],
)
def test_plain_questions_lose_capitals_and_punctuation_of_ascii_alone(tmp_path, asked, plain):
    assert inputs(tmp_path, tiny_metaspace, space="before", plain=True).question(asked) == plain
    assert inputs(tmp_path, tiny_metaspace, space="before").question(asked) == asked


def test_in_one_layout_a_space_stands_before_each_sentence_but_the_first(tmp_path):
    found = inputs(tmp_path, tiny_metaspace, space="before")
    assert found.pieces(TEXT, OFFSETS, "") == ["The sky.", " Blue!", " Why?"]
    assert found.pieces(TEXT, OFFSETS, "Tide") == ["Tide", " The sky.", " Blue!", " Why?"]
    assert found.pieces("", [], "Tide") == ["Tide"]
    assert found.pieces("", [], "") == []


def test_in_the_other_a_sentence_keeps_the_space_after_it_and_a_title_ends_its_line(tmp_path):
    found = inputs(tmp_path, tiny_byte_bpe, space="after")
    assert found.pieces(TEXT, OFFSETS, "") == ["The sky.  ", "Blue!\n", "Why? "]
    assert found.pieces(TEXT, OFFSETS, " Tide ")[0] == "Tide\n"
    assert found.pieces("", [], "Tide") == ["Tide\n"]


def read(found, question, texts, **options):
    """The pieces of the rows, by name."""
    tokens = found.tokens([question, *texts])
    rows = found.rows(tokens[question], [tokens[text] for text in texts], **options)
    return [" ".join(found.tokenizer.convert_ids_to_tokens(row.tokens)) for row in rows.rows], rows


def test_one_tokenizer_begins_each_sentence_with_a_space_and_to_the_other_each_space_is_a_token(tmp_path):
    meta = inputs(tmp_path / "meta", tiny_metaspace, space="before")
    rows, _ = read(meta, "why", ["sky", " sky", " sky.", "sky"])
    assert rows == ["[CLS] \u2581why [SEP] \u2581sky \u2581sky \u2581sky . \u2581sky [SEP]"]
    bpe = inputs(tmp_path / "bpe", tiny_byte_bpe, space="after")
    rows, _ = read(bpe, "a", ["b ", " b", "b\n"])
    assert rows == ["[CLS] a [SEP] b \u0120 \u0120b b \u010a [SEP]"]


def test_rows_hold_every_token_once_and_tell_where_sentences_stand(tmp_path):
    found = inputs(tmp_path, tiny_byte_bpe, space="after", longest=4, max_tokens=10)
    rows, told = read(found, "ab", ["cde", "fghijklmno", "p"])
    assert rows == [
        "[CLS] a b [SEP] c d e [SEP]",
        "[CLS] a b [SEP] f g h i [SEP]",
        "[CLS] a b [SEP] j k l m [SEP]",
        "[CLS] a b [SEP] n o p [SEP]",
    ]
    assert (told.pieces, told.truncated) == ([1, 3, 1], 0)
    assert [(row.begin, row.lengths) for row in told.rows] == [(4, (3,)), (4, (4,)), (4, (4,)), (4, (2, 1))]
    rows, told = read(found, "ab", ["cde", "fghijklmno", "p"], blocks=1)
    assert (len(rows), told.pieces, told.truncated) == (1, [1, 0, 0], 11)
