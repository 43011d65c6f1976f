"""Tokens as Lucene makes them. Expected values were taken from Lucene itself (its analyzers, run on these inputs)."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.retrieval import STOP_WORDS, EnglishAnalyzer
from rankloom.retrieval import analysis as analysis_module
from rankloom.retrieval.porter import stem
from rankloom.retrieval.word_break import MAX_TOKEN_LENGTH, split_words

#: text, Lucene's StandardTokenizer
WORDS = [
    ("", []),
    ("... !?", []),
    (
        "Don't pay $3,000.50 for snake_case, e.g. wi-fi!",
        ["Don't", "pay", "3,000.50", "for", "snake_case", "e.g", "wi", "fi"],
    ),
    ("3.5 3,5 3:5 3;5 3.5.", ["3.5", "3,5", "3", "5", "3;5", "3.5"]),
    ("a.b a:b a,b 1.a a.1", ["a.b", "a:b", "a", "b", "1", "a", "a", "1"]),
    ("U.S.A. 1st 1990s p53", ["U.S.A", "1st", "1990s", "p53"]),
    ("__init__ _ a_1 ___ _x", ["__init__", "a_1", "_x"]),
    ("O'Neill's dogs\u2019 'quoted' rock'n'roll", ["O'Neill's", "dogs", "quoted", "rock'n'roll"]),
    ("don\u2019t l\u2019eau", ["don\u2019t", "l\u2019eau"]),
    ("http://example.com/a?b=c me@x.org C++", ["http", "example.com", "a", "b", "c", "me", "x.org", "C"]),
    ("p<0.05 IL-6 10\u22123 H\u2082O x\xb2 \xbd", ["p", "0.05", "IL", "6", "10", "3", "H", "O", "x"]),
    ("na\xefve cafe\u0301 \ufb01ne", ["na\xefve", "cafe\u0301", "\ufb01ne"]),
    ("日本語カタカナひら 한국어 ไทยภาษา", ["日", "本", "語", "カタカナ", "ひ", "ら", "한국어", "ไทยภาษา"]),
    ("हिन्दी абв", ["हिन्दी", "абв"]),
    ("\u05d0\u05f4\u05d1 \u05d2'\u05d3 \u05d4'", ["\u05d0\u05f4\u05d1", "\u05d2'\u05d3", "\u05d4'"]),
    ('\u05d0\u05d1"\u05d2 a"b', ['\u05d0\u05d1"\u05d2', "a", "b"]),
    ("zero\u200bwidth a\xadb x\u2060y", ["zero", "width", "a\xadb", "x\u2060y"]),
    ("a\u202fb a\xa0b a\x00b\tc\nd", ["a\u202fb", "a", "b", "a", "b", "c", "d"]),
    ("\u2605 \u2122 \xa9 \u2764\ufe0f \u20ac", ["\u2605", "\u2122", "\xa9", "\u2764\ufe0f"]),
    ("\U0001f469\u200d\U0001f469\u200d\U0001f467!", ["\U0001f469\u200d\U0001f469\u200d\U0001f467"]),
    ("\U0001f44d\U0001f3fd\U0001f44d", ["\U0001f44d\U0001f3fd", "\U0001f44d"]),
    ("\U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea", ["\U0001f1eb\U0001f1f7", "\U0001f1e9\U0001f1ea"]),
    ("1\ufe0f\u20e3 #\ufe0f\u20e3 *\u20e3 #", ["1\ufe0f\u20e3", "#\ufe0f\u20e3", "*\u20e3"]),
    ("\u0e2a\xb8 \xe0\xb8\xa1", ["\u0e2a", "\xe0"]),  # mojibake: a cedilla is no letter in Lucene's Unicode
]

#: text, Lucene's EnglishAnalyzer
TERMS = [
    ("The patients' T-cells weren't activated", ["patient", "t", "cell", "weren't", "activ"]),
    ("John's JOHN\u2019S cats\uff07s James's", ["john", "john", "cat", "jame"]),
    ("To be or not to be", []),
    ("\u0130stanbul \u039f\u0394\u039f\u03a3 Stra\xdfe", ["istanbul", "\u03bf\u03b4\u03bf\u03c3", "stra\xdfe"]),
    ("O'Reilly's rock'n'roll", ["o'reilli", "rock'n'rol"]),
    ("U.S. e.g. 1990s", ["u.", "e.g", "1990"]),
    ("AND and And", []),
]

# fmt: off
STEMS = {
    "caresses": "caress", "ponies": "poni", "ties": "ti", "feed": "feed", "agreed": "agre", "bled": "bled",
    "conflated": "conflat", "troubled": "troubl", "sized": "size", "hopping": "hop", "falling": "fall",
    "hissing": "hiss", "filing": "file", "happy": "happi", "sky": "sky", "relational": "relat", "rational": "ration",
    "valenci": "valenc", "digitizer": "digit", "vietnamization": "vietnam", "sensibiliti": "sensibl",
    "triplicate": "triplic", "electrical": "electr", "goodness": "good", "replacement": "replac", "adoption": "adopt",
    "homologou": "homolog", "probate": "probat", "rate": "rate", "cease": "ceas", "roll": "roll",
    # where Lucene differs from Snowball's "porter"
    "terribly": "terribl", "conformabli": "conform", "abalogi": "abalog", "biology": "biologi", "trekked": "trek",
    "revved": "rev", "us": "us", "as": "as", "s": "s", "ay": "ay",
    "ous": "ou", "ies": "i", "1990s": "1990", "na\xefve": "na\xefv",
}
# fmt: on

ANY_TEXT = st.text(
    st.one_of(
        st.sampled_from(
            "aZ1_'\".,: \u200d\ufe0f\u20e3#*\u05d0\u30ab\u6f22\u0e01\u0301\U0001f600\U0001f44d\u202f\ud800\x00"
        ),
        st.characters(exclude_categories=()),
    )
)


@pytest.mark.parametrize(("text", "expected"), WORDS)
def test_words(text, expected):
    assert split_words(text) == expected


@pytest.mark.parametrize(("text", "expected"), TERMS)
def test_terms(text, expected):
    assert EnglishAnalyzer()(text) == expected


@pytest.mark.parametrize(("word", "expected"), STEMS.items())
def test_stems(word, expected):
    assert stem(word) == expected


def test_stop_words_are_lucenes_33():
    assert len(STOP_WORDS) == 33
    assert EnglishAnalyzer()(" ".join(STOP_WORDS).upper()) == []


def test_a_token_ends_at_255_utf16_units():
    assert [len(word) for word in split_words("a" * 600)] == [255, 255, 90]
    assert [len(word) for word in split_words("x " + "1" * 256)] == [1, 255, 1]
    assert [len(word) for word in split_words("\U0001d400" * 200)] == [127, 73]  # two units each
    assert [len(word) for word in split_words("_" * 300 + "a")] == [255]  # 254 underscores and the letter


@pytest.mark.parametrize(
    "piece", ["!", "_", "'", "a", "a.", "1,", "\u200d", "\u0301", "#", "\ud800", "\x00", "漢", "\U0001f600"]
)
def test_long_stretches_without_space(piece):
    terms = EnglishAnalyzer()(piece * 20_000)
    assert all(len(term) <= MAX_TOKEN_LENGTH for term in terms)


@settings(deadline=None)
@given(ANY_TEXT)
def test_any_text_has_words(text):
    words = split_words(text)
    place = 0
    for word in words:
        place = text.index(word, place) + len(word)  # in order, as they stand in the text, without overlap
        assert 0 < len(word.encode("utf-16-le")) // 2 <= MAX_TOKEN_LENGTH  # and never half a surrogate pair


@settings(deadline=None)
@given(ANY_TEXT)
def test_any_text_has_terms(text):
    analyzer = EnglishAnalyzer()
    terms = analyzer(text)
    assert terms == analyzer(text)  # now from memory
    assert analyzer(f"{text}\n{text}") == terms + terms
    assert not set(EnglishAnalyzer(stem=False)(text)) & STOP_WORDS


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_and_unicode_rules_agree(text):
    ascii_only = split_words(text)
    assert split_words(f"{text} \xe9") == [*ascii_only, "\xe9"]


@settings(deadline=None)
@given(
    st.text("aeiouybdlstrngicvz", max_size=12), st.sampled_from(["", "ed", "ing", "ly", "ational", "ness", "s", "ies"])
)
def test_any_word_has_a_stem(word, ending):
    assert bool(stem(word + ending)) == bool(word + ending)
    assert len(stem(word + ending)) <= len(word + ending)


def test_parameters():
    text = "The running dogs"
    assert EnglishAnalyzer(stem=False)(text) == ["running", "dogs"]
    assert EnglishAnalyzer(stop_words=[])(text) == ["the", "run", "dog"]
    prints = {
        made.fingerprint() for made in (EnglishAnalyzer(), EnglishAnalyzer(stem=False), EnglishAnalyzer(stop_words=[]))
    }
    assert len(prints) == 3
    assert EnglishAnalyzer().fingerprint() == EnglishAnalyzer().fingerprint()
    assert repr(EnglishAnalyzer()) == "EnglishAnalyzer()"
    assert repr(EnglishAnalyzer(stop_words=["x"], stem=False)) == "EnglishAnalyzer(stop_words=['x'], stem=False)"


def test_the_memory_of_terms_is_bounded(monkeypatch):
    monkeypatch.setattr(analysis_module, "_MOST_KEPT_CHUNKS", 10)
    analyzer = EnglishAnalyzer()
    assert len(analyzer(" ".join(f"w{number}" for number in range(95)))) == 95
    assert len(analyzer._chunks) <= 10


def test_ascii_texts_do_without_the_regex_package():
    code = (
        "import sys; from rankloom.retrieval import EnglishAnalyzer; EnglishAnalyzer()('Plain text.'); "
        "assert 'regex' not in sys.modules; print(EnglishAnalyzer()('caf\\xe9'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    assert "caf" in done.stdout
