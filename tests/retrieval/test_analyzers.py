"""Analyzers by name, and each kind against the library or rule it stands for."""

import pytest
import snowballstemmer
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from rankloom.errors import DataError, NotFoundError, UsageError
from rankloom.retrieval.analysis import EnglishAnalyzer
from rankloom.retrieval.analyzers import CustomAnalyzer, WhitespaceAnalyzer, analyzer_of
from rankloom.retrieval.snowball import SnowballAnalyzer, languages
from rankloom.retrieval.word_break import split_words
from rankloom.retrieval.wordpiece import WordPieceAnalyzer
from tests.tiny_models import tiny_tokenizer

SAMPLES = {
    "german": ("Die Katzen schliefen", ["die", "katz", "schlief"]),
    "french": ("Les chevaux couraient", ["le", "cheval", "cour"]),
    "spanish": ("corriendo canciones", ["corr", "cancion"]),
    "russian": ("книги", ["книг"]),
}


@pytest.mark.parametrize("language", SAMPLES)
def test_known_stems(language):
    text, terms = SAMPLES[language]
    assert SnowballAnalyzer(language)(text) == terms


@pytest.mark.parametrize("language", languages())
@given(text=st.text(max_size=80))
@settings(deadline=None, max_examples=15)
def test_words_are_stemmed_by_snowball_and_nothing_raises(language, text):
    stemmer = snowballstemmer.stemmer(language)
    expected = [stemmer.stemWord(word.lower()) for word in split_words(text)]
    assert SnowballAnalyzer(language)(text) == expected


def test_stop_words_go_and_count_for_the_fingerprint():
    plain, without = SnowballAnalyzer("german"), SnowballAnalyzer("german", stop_words=["die", "am"])
    assert without("Die Häuser am Fluss") == ["haus", "fluss"]
    assert plain.fingerprint() != without.fingerprint() != SnowballAnalyzer("dutch").fingerprint()
    assert plain.fingerprint() == SnowballAnalyzer("german").fingerprint()


def test_an_unknown_language_names_the_known_ones():
    with pytest.raises(UsageError, match="german"):
        SnowballAnalyzer("germann")


WORDS = ["sky", "Blue", "u.s.", "[CLS]", "e\u0301", "\u0301", "\u6f22"]
BLANKS = [" ", "  ", "\t", "\n", "\x1c", "\x85", "\xa0", "\u3000"]
PIECES = st.sampled_from([*WORDS, *BLANKS])


@given(text=st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=12).map("".join)))
@settings(deadline=None, max_examples=300)
def test_subwords_are_the_tokenizer_s(tmp_path_factory, text):
    if "analyzer" not in SHARED:
        folder = tmp_path_factory.mktemp("wordpiece")
        tiny_tokenizer(folder, max_length=4)  # shorter than most texts: nothing may be cut
        SHARED["analyzer"] = WordPieceAnalyzer(folder)
        SHARED["peer"] = Tokenizer.from_file(str(folder / "tokenizer.json"))
        SHARED["peer"].no_truncation()
    tokens = SHARED["peer"].encode(text, add_special_tokens=False).tokens
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    assert SHARED["analyzer"](text) == [token for token in tokens if token not in special]


SHARED: dict = {}


def test_a_tokenizer_that_looks_across_blanks_sees_the_whole_text(tmp_path):
    whole = Tokenizer(models.BPE(unk_token="[UNK]"))
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    whole.train_from_iterator(["the sky the sea the sky"], trainer)
    whole.save(str(tmp_path / "tokenizer.json"))
    assert WordPieceAnalyzer(tmp_path)("the sky") == whole.encode("the sky").tokens == ["the", "\u0120sky"]


def test_a_tokenizer_that_is_missing_or_damaged(tmp_path):
    with pytest.raises(NotFoundError):
        WordPieceAnalyzer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="can not be read"):
        WordPieceAnalyzer(tmp_path)("sky")


def test_names(tmp_path):
    tiny_tokenizer(tmp_path, max_length=8)
    assert analyzer_of("english").fingerprint() == EnglishAnalyzer().fingerprint()
    assert isinstance(analyzer_of("whitespace"), WhitespaceAnalyzer)
    assert analyzer_of("german").fingerprint() == SnowballAnalyzer("german").fingerprint()
    assert analyzer_of(f"wordpiece:{tmp_path}")("sky") == ["sky"]
    mine = CustomAnalyzer(str.split, version="1")
    assert analyzer_of(mine) is mine
    with pytest.raises(UsageError, match="did you mean 'german'"):
        analyzer_of("germn")


def test_a_custom_analyzer_is_known_by_its_version():
    assert CustomAnalyzer(str.split, version="1")("a b") == ["a", "b"]
    assert CustomAnalyzer(str.split, version="1").fingerprint() != CustomAnalyzer(str.split, version="2").fingerprint()
    with pytest.raises(UsageError, match="version"):
        CustomAnalyzer(str.split, version="")
