"""Sentence offsets: what is split where, and that any string comes back whole."""

# ruff: noqa: RUF001  # letters of other scripts are what is tested

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.rerank import split_sentences

WORDS = ["Dr. ", "Smith", " et al.", " said", "e.g. ", "3.5", "A", "日本", "👩\u200d👧", "\u0301", "\ud83d", "\x00"]
MARKS = [". ", "? ", "! ", "; ", "...", '"', "(", ")", "- ", "1. ", "。", "\uff1f", "」", "؟", "।", "．"]
SPACES = ["\n```\n", "\n| ", " |\n", " ", "\n", "\n\n", "\r\n", "\t", "\u3000", "\u200b", "\ufeff"]
PIECES = st.sampled_from(WORDS + MARKS + SPACES)


def sentences(text):
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        ("On skies\tThe sky is blue. Bread!", ["On skies\tThe sky is blue.", "Bread!"]),
        ("no punctuation at all", ["no punctuation at all"]),
        ("One. Two? Three!", ["One.", "Two?", "Three!"]),
        ("  Spaces around. ", ["Spaces around."]),
        ("Dr. Smith of the U.S. Army came at 5 p.m. on Monday. He left.",
         ["Dr. Smith of the U.S. Army came at 5 p.m. on Monday.", "He left."]),
        ("Li et al. showed it (Fig. 3). It rose by 3.5 mg.", ["Li et al. showed it (Fig. 3).", "It rose by 3.5 mg."]),
        ('He said "Go." Then he left.', ['He said "Go."', "Then he left."]),
        ("A line that is\nwrapped here. Next\nsentence.", ["A line that is\nwrapped here.", "Next\nsentence."]),
        ("Heading\n\nText follows. More.", ["Heading", "Text follows.", "More."]),
        ("Buy:\n- milk\n- eggs and flour\n* salt", ["Buy:", "- milk", "- eggs and flour", "* salt"]),
        ("1. First\n2. Second one. With more\n(c) third", ["1. First", "2. Second one.", "With more", "(c) third"]),
        ("One\r\n\r\nTwo\r\nstill two", ["One", "Two\r\nstill two"]),
        ("They shared the prize in 2019; Goodenough was 97.", ["They shared the prize in 2019; Goodenough was 97."]),
        ("今天很热。为什么\uff1f「不知道。」他说。", ["今天很热。", "为什么\uff1f", "「不知道。」", "他说。"]),
        ("สวัสดีครับ ยินดีที่ได้รู้จัก", ["สวัสดีครับ ยินดีที่ได้รู้จัก"]),
        ("السماء زرقاء. لماذا؟ لأن الهواء يشتت الضوء! نعم.",
         ["السماء زرقاء.", "لماذا؟", "لأن الهواء يشتت الضوء!", "نعم."]),
        ("آسمان نیلا ہے۔ کیوں؟! ہوا روشنی بکھیرتی ہے۔", ["آسمان نیلا ہے۔", "کیوں؟!", "ہوا روشنی بکھیرتی ہے۔"]),
        ("השמיים כחולים. למה? כי האוויר מפזר אור.", ["השמיים כחולים.", "למה?", "כי האוויר מפזר אור."]),
        ("आकाश नीला है। हवा प्रकाश बिखेरती है।", ["आकाश नीला है।", "हवा प्रकाश बिखेरती है।"]),
        ("ሰማዩ ሰማያዊ ነው። ለምን?", ["ሰማዩ ሰማያዊ ነው።", "ለምን?"]),
        ("Небо голубое. Почему? Это рассеяние, т.е. синий свет.",
         ["Небо голубое.", "Почему?", "Это рассеяние, т.е. синий свет."]),
        ("El Sr. Pérez llegó a las 5 p.m. y comió. No sé.", ["El Sr. Pérez llegó a las 5 p.m. y comió.", "No sé."]),
        ("Der Himmel ist z.B. blau. Das Licht, d.h. die Sonne, scheint.",
         ["Der Himmel ist z.B. blau.", "Das Licht, d.h. die Sonne, scheint."]),
        ("気温は３．５度です．終わり．", ["気温は３．５度です．", "終わり．"]),
        ("See:\n| a | b |\n|---|---|\n| 1. | 2. X |\nThen go. Stop.",
         ["See:", "| a | b |", "|---|---|", "| 1. | 2. X |", "Then go.", "Stop."]),
        ("Name\tAge\nAda B. Smith\t36\n\n\tIndented. Text.", ["Name\tAge", "Ada B. Smith\t36", "Indented.", "Text."]),
        ("Run it:\n```python\nif x:  # Do it. Then stop.\n\n    y = 1\n```\nThen go. Stop.",
         ["Run it:", "```python\nif x:  # Do it. Then stop.\n\n    y = 1\n```", "Then go.", "Stop."]),
        ("A fence:\n```\nnever closed. It is none.", ["A fence:\n```\nnever closed.", "It is none."]),
        ("x = foo.bar()\ny = x.z(1.5)", ["x = foo.bar()\ny = x.z(1.5)"]),
        ("...", ["..."]),
        ("\u200b", ["\u200b"]),
    ],
)  # fmt: skip
def test_examples(text, expected):
    assert sentences(text) == expected


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=30).map("".join)))
def test_any_text_comes_back_whole(text):
    spans = split_sentences(text)
    covered = set()
    before = 0
    for start, end in spans:
        assert before <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        covered.update(range(start, end))
        before = end
    assert all(text[place].isspace() for place in set(range(len(text))) - covered)


LONG = [
    "word ",
    "a\n",
    "\n",
    " ",
    "(",
    ".",
    "It is. ",
    "- x\n",
    "x; ",
    "。",
    "a.b@c ",
    "```\n",
    "| a |\n",
    "a\tb\n",
    "؟",
]


@pytest.mark.parametrize("unit", LONG)
def test_long_texts_lose_nothing(unit):
    """Work that grows with the square of the length would take minutes here."""
    text = unit * (60_000 // len(unit))
    kept = "".join(text[start:end] for start, end in split_sentences(text))
    assert "".join(kept.split()) == "".join(text.split())
