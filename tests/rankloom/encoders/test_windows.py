"""Windows of long documents: every token is in one, and the model reads each whole."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Session
from rankloom.encoders import SentenceEncoder
from rankloom.encoders.windows import windows
from rankloom.errors import StageError, UsageError
from tests.tiny_models import tiny_encoder

SESSION = Session(offline=True, device="cpu")
WORDS = "one two three four five six seven eight nine ten eleven twelve"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny_encoder(tmp_path_factory.mktemp("tiny"), prompts={"document": "sea : "}))


@pytest.fixture(scope="module")
def loaded_tiny(folder):
    return SentenceEncoder(folder).load(SESSION)


def test_documents_are_whole_unless_windows_were_asked_for(folder):
    assert SentenceEncoder(folder).passages([WORDS, ""], SESSION) == [[WORDS], [""]]


def test_windows_end_between_words_and_overlap_as_asked():
    encoder = SentenceEncoder(window=5, stride=3)
    expected = ["one two three four five", "four five six seven eight", "seven eight nine ten eleven"]
    assert encoder.passages([WORDS, "short"], SESSION) == [[*expected, "ten eleven twelve"], ["short"]]
    apart = SentenceEncoder(window=5).passages([WORDS], SESSION)
    assert apart == [["one two three four five", "six seven eight nine ten", "eleven twelve"]]


@settings(max_examples=80, deadline=None)
@given(
    text=st.text(alphabet="abc. \n天é😀sky", max_size=200) | st.text(max_size=100),
    window=st.integers(1, 26),
    stride=st.none() | st.integers(1, 26),
)
def test_no_token_is_left_out_and_each_window_is_read_whole(loaded_tiny, text, window, stride):
    tokenizer = loaded_tiny.model.tokenizer

    def fits(piece):
        return len(tokenizer("sea : " + piece, verbose=False).input_ids) <= 32

    pieces = windows(text, tokenizer, window=window, stride=min(stride or window, window), fits=fits)
    spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    covered = {place for begin, end in pieces for place in range(begin, end)}
    assert all(covered >= set(range(start, end)) for start, end in spans)
    assert pieces == sorted(pieces)
    assert all(begin < end for begin, end in pieces) or not text
    assert all(fits(text[begin:end]) for begin, end in pieces)
    if len(spans) <= window:
        assert pieces == [(0, len(text))]


def test_a_window_must_fit_with_prompt_and_special_tokens(folder):
    assert SentenceEncoder(folder, window=28).passages(["sky " * 40], SESSION) == [
        ["sky " * 27 + "sky", "sky " * 11 + "sky"]
    ]
    with pytest.raises(UsageError, match="got 29; accepted: up to 28"):
        SentenceEncoder(folder, window=29).passages(["sky"], SESSION)


def test_halves_of_surrogate_pairs_are_read_as_question_marks(folder):
    encoder = SentenceEncoder(folder, window=3)
    assert encoder.passages(["sky \ud83d sea sky sea"], SESSION) == encoder.passages(["sky ? sea sky sea"], SESSION)


def test_models_that_do_not_tell_where_tokens_are_have_no_windows(tmp_path):
    import sentence_transformers
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models

    static = StaticEmbedding(Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")), embedding_dim=8)
    sentence_transformers.SentenceTransformer(modules=[static]).save_pretrained(str(tmp_path / "static"))
    with pytest.raises(StageError, match="fast tokenizer"):
        SentenceEncoder(str(tmp_path / "static"), window=2).passages(["a"], SESSION)
