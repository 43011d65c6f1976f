"""TREC-QA (Wang et al., EMNLP 2007): factoid questions and candidate sentences from newswire, judged each by itself.

The files look like XML and are none (`&` stands as it is): tags stand on lines of their own, and the first line after
`<question>`, `<positive>` or `<negative>` holds the tokens, parted by tabs, as the Penn Treebank has them. What follows
up to the end tag (parts of speech, dependencies) is not read.

A question's candidates are one text, in an order that does not tell which are positive: in the files these come first.
They are from many articles, so the text is no running one. Tokens are put together as they are usually printed.

Splits, as the literature calls them: `raw` has all questions with candidates, `clean` those with positives and
negatives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rankloom.eval.labelled_sentences.records import decoded, reading
from rankloom.eval.labelled_sentences.text import LabelledTexts, in_hidden_order

_ACCEPTED = "QApairs of one question, positives and negatives, each with a line of tokens parted by tabs"
SPLITS = ("raw", "clean")
_BLOCK = re.compile(r"<QApairs id='([^'\n]+)'>\n(.*?\n)</QApairs>", re.DOTALL)
_PART = re.compile(r"<(question|positive|negative)>\n([^\n]*)\n(?:[^<\n][^\n]*\n|\n)*</\1>")
_BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"}
_TO_THE_LEFT = re.compile(r"[.,;:?!%)\]}]|''$|n't$|'(?:s|re|ve|m|ll|d)?$|-\w", re.IGNORECASE)
_TO_THE_RIGHT = frozenset({"(", "[", "{", "$", "``", "`"})


def read_trecqa(path: Path, split: str) -> LabelledTexts:
    """The questions of a split; of `raw`, one without candidates is left out and noted.

    Raises:
        DataError: Anything that does not belong where it stands; names file and line.
    """
    found = LabelledTexts()
    seen: set[str] = set()
    for line, (question_id, inner) in _matches(_BLOCK, decoded(path), path, 1):
        parts = list(_matches(_PART, inner, path, line + 1))
        with reading(f"{path} line {line}", _ACCEPTED):
            if question_id in seen:
                raise ValueError(f"the id {question_id!r} stands twice")
            seen.add(question_id)
            texts: dict[str, list[str]] = {"question": [], "positive": [], "negative": []}
            for _, (kind, tokens) in parts:
                texts[kind].append(printed(tokens.split()))
            if len(texts["question"]) != 1:
                raise ValueError(f"there are {len(texts['question'])} questions")
            if split == "clean" and not (texts["positive"] and texts["negative"]):
                continue
            sentences = in_hidden_order(question_id, [*texts["positive"], *texts["negative"]])
            relevant = [place for place, sentence in enumerate(sentences) if sentence in texts["positive"]]
            found.add(
                query_id=question_id,
                question=texts["question"][0],
                doc_id=question_id,
                sentences=sentences,
                relevant=relevant,
            )
    return found


def printed(tokens: Sequence[str]) -> str:
    r"""Tokens of the Penn Treebank as a sentence.

    Example:
        >>> printed("`` He did n't -LRB- yet -RRB- pay $ 5 , '' said Ms . Roe 's Texas -based firm .".split())
        '"He didn\'t (yet) pay $5," said Ms. Roe\'s Texas-based firm.'
    """
    text, glued = "", True
    for token in tokens:
        plain = _BRACKETS.get(token, token)
        text += plain if glued or _TO_THE_LEFT.match(plain) else f" {plain}"
        glued = plain in _TO_THE_RIGHT
    return text.replace("``", '"').replace("''", '"').replace("`", "'")


def _matches(pattern: re.Pattern[str], text: str, path: Path, first: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and groups of all matches; there must be nothing but spaces between them.

    Args:
        pattern: What a text consists of.
        text: The text.
        path: Its file.
        first: The line of the file at which it begins.

    Raises:
        DataError: There is something else; names its line.
    """
    end = 0
    for match in pattern.finditer(text):
        _check_blank(text[end : match.start()], path, first)
        first += text.count("\n", end, match.start())
        yield first, match.groups()
        first += text.count("\n", match.start(), end := match.end())
    _check_blank(text[end:], path, first)


def _check_blank(text: str, path: Path, first: int) -> None:
    """Refuse a text that begins on a line of a file, if anything stands in it."""
    line = first + text[: len(text) - len(text.lstrip())].count("\n")
    with reading(f"{path} line {line}", _ACCEPTED):
        if text.strip():
            raise ValueError(f"{text.strip().splitlines()[0]!r} does not belong here, or has no end")
