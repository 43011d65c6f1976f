"""Word breaks as Lucene's StandardTokenizer makes them.

The rules are those of Unicode Standard Annex #29, with three habits of Lucene's: a token holds at least one letter,
digit, ideograph or emoji (everything else is dropped), runs of a South East Asian script stay whole, and nothing is
longer than 255 UTF-16 units. Texts of ASCII need only the standard library's `re`; the first other character loads
the `regex` package for its Unicode properties. Those may be newer than Lucene's (12.1), which shows only in
characters that Unicode has added or reclassified since.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

#: Longest token, in UTF-16 units; the rest of a longer word becomes further tokens. Lucene's default.
MAX_TOKEN_LENGTH = 255
# So many characters can not exceed the limit, whatever they are (a character is at most two UTF-16 units).
_ALWAYS_SHORT = MAX_TOKEN_LENGTH // 2

# Extended_Pictographic of Unicode 12.1. Later versions take characters such as the black star out again, which
# would make an index depend on the version of `regex`.
_PICTOGRAPHS = (
    r"\xA9\xAE\u203C\u2049\u2122\u2139\u2194-\u2199\u21A9\u21AA\u231A\u231B\u2328\u2388\u23CF\u23E9-\u23F3"
    r"\u23F8-\u23FA\u24C2\u25AA\u25AB\u25B6\u25C0\u25FB-\u25FE\u2600-\u2605\u2607-\u2612\u2614-\u2685\u2690-\u2705"
    r"\u2708-\u2712\u2714\u2716\u271D\u2721\u2728\u2733\u2734\u2744\u2747\u274C\u274E\u2753-\u2755\u2757"
    r"\u2763-\u2767\u2795-\u2797\u27A1\u27B0\u27BF\u2934\u2935\u2B05-\u2B07\u2B1B\u2B1C\u2B50\u2B55\u3030\u303D"
    r"\u3297\u3299\U0001F000-\U0001F0FF\U0001F10D-\U0001F10F\U0001F12F\U0001F16C-\U0001F171\U0001F17E\U0001F17F"
    r"\U0001F18E\U0001F191-\U0001F19A\U0001F1AD-\U0001F1E5\U0001F201-\U0001F20F\U0001F21A\U0001F22F"
    r"\U0001F232-\U0001F23A\U0001F23C-\U0001F23F\U0001F249-\U0001F3FA\U0001F400-\U0001F53D\U0001F546-\U0001F64F"
    r"\U0001F680-\U0001F6FF\U0001F774-\U0001F77F\U0001F7D5-\U0001F7FF\U0001F80C-\U0001F80F\U0001F848-\U0001F84F"
    r"\U0001F85A-\U0001F85F\U0001F888-\U0001F88F\U0001F8AE-\U0001F8FF\U0001F90C-\U0001F93A\U0001F93C-\U0001F945"
    r"\U0001F947-\U0001FFFD"
)

# Characters that became ALetter after 12.1. The cedilla is common in wrongly decoded text.
_LATER_LETTERS = r"\xB8\u02E5-\u02EB\u055A\u058A\uA708-\uA716"

# WB4: marks and format characters belong to the character before them.
_MARKS = r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*+"

_ASCII_UNIT = r"(?:[A-Za-z]+(?:[:.'][A-Za-z]+)*|[0-9]+(?:[,;.'][0-9]+)*)+"
_ASCII_TOKEN = re.compile(rf"_*{_ASCII_UNIT}(?:_+{_ASCII_UNIT})*_*")
_ASCII_START = re.compile(r"[A-Za-z0-9_]")
_ASCII_LEAD_IN = re.compile("_+")


def split_words(text: str) -> list[str]:
    """The tokens of a text, in order, as they stand in it.

    Args:
        text: Any string.

    Example:
        >>> split_words("Don't pay $3,000.50 for snake_case or e.g. wi-fi!")
        ["Don't", 'pay', '3,000.50', 'for', 'snake_case', 'or', 'e.g', 'wi', 'fi']
    """
    pattern = _ASCII_TOKEN if text.isascii() else _unicode_token()
    if len(text) <= _ALWAYS_SHORT:
        return [match.group() for match in pattern.finditer(text)]
    return list(_split_long(text, pattern))


def _split_long(text: str, pattern: Any) -> Iterator[str]:
    """Tokens of a text in which a token may reach the limit: each is sought in a window of that size."""
    start_of_token, lead_in = (_ASCII_START, _ASCII_LEAD_IN) if pattern is _ASCII_TOKEN else _unicode_start()
    place = 0
    while (start := start_of_token.search(text, place)) is not None:
        place = start.start()
        match = pattern.match(text, place, _window_end(text, place))
        if match is not None:
            yield match.group()
            place = match.end()
        elif (lead := lead_in.match(text, place)) is None:
            place += 1
        elif lead.end() - place < MAX_TOKEN_LENGTH:
            place = lead.end()  # what follows begins no token either
        else:
            place = lead.end() - MAX_TOKEN_LENGTH + 1  # until here the window holds nothing but what leads in


def _window_end(text: str, start: int) -> int:
    """One past the last character that fits a token beginning at `start`."""
    end = min(start + MAX_TOKEN_LENGTH, len(text))
    excess = len(text[start:end].encode("utf-16-le", "surrogatepass")) // 2 - MAX_TOKEN_LENGTH
    while excess > 0:
        end -= 1
        excess -= 1 + (ord(text[end]) > 0xFFFF)
    return end


@cache
def _unicode_start() -> tuple[Any, Any]:
    """Matches any character that can begin a token; and stretches that begin one only if more follows."""
    import regex

    start = (
        r"[\p{WB=ALetter}\p{WB=Hebrew_Letter}\p{WB=Numeric}\p{WB=Katakana}\p{WB=ExtendNumLet}\p{WB=ZWJ}#*"
        r"\p{WB=Regional_Indicator}\p{Emoji_Modifier}\p{LB=SA}\p{Script=Han}\p{Script=Hiragana}" + _PICTOGRAPHS + "]"
    )
    # marks that can begin a token themselves are no part of what leads in
    marks = r"[[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]--[\p{LB=SA}\p{Emoji_Modifier}]]*+"
    lead_in = rf"(?:\p{{WB=ExtendNumLet}}{marks})*\p{{WB=ExtendNumLet}}|\u200D+"
    return regex.compile(start), regex.compile(lead_in, regex.V1)


@cache
def _unicode_token() -> Any:
    """Matches the longest token at a place, or nothing.

    Lucene takes the longest match; here alternatives come in an order that gives the same. (One known exception: a
    letter that is also a pictograph, such as U+2139, joined by a zero-width joiner to another pictograph.)
    """
    import regex

    hebrew, quote = rf"\p{{WB=Hebrew_Letter}}{_MARKS}", rf"'{_MARKS}"
    letter = rf"[[\p{{WB=ALetter}}\p{{WB=Hebrew_Letter}}]--[{_LATER_LETTERS}]]{_MARKS}"
    digit = rf"\p{{WB=Numeric}}{_MARKS}"
    in_word = rf"[\p{{WB=MidLetter}}\p{{WB=MidNumLet}}']{_MARKS}"
    in_number = rf"[\p{{WB=MidNum}}\p{{WB=MidNumLet}}']{_MARKS}"
    joiner = rf"\p{{WB=ExtendNumLet}}{_MARKS}"
    unit = (
        rf'(?:(?:\p{{WB=Katakana}}{_MARKS})++|(?:{hebrew}(?:"{_MARKS}{hebrew}|{quote})'
        rf"|{letter}(?:{in_word}{letter})*|{digit}(?:{in_number}{digit})*)+)"
    )
    word = rf"(?:{joiner})*{unit}(?:(?:{joiner})+{unit})*(?:{joiner})*"
    plain_marks = r"[[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]--[\uFE0E\uFE0F]]*"
    picture = rf"(?:[{_PICTOGRAPHS}\p{{Emoji_Modifier}}]{plain_marks}+)"
    zwj = r"\u200D"
    emoji = rf"{zwj}*{picture}(?:(?:\uFE0F{zwj}+|(?<={zwj})){picture})*\uFE0F?(?:[\U000E0020-\U000E007E]+\U000E007F)?"
    keycap = rf"[#*]{plain_marks}\uFE0F?\u20E3{plain_marks}"
    flag = rf"(?:\p{{WB=Regional_Indicator}}{_MARKS}){{2}}"
    south_east_asian = rf"(?:\p{{LB=SA}}{_MARKS})++"
    ideograph = rf"[\p{{Script=Han}}\p{{Script=Hiragana}}]{_MARKS}"
    alternatives = [word, emoji, keycap, flag, south_east_asian, ideograph]
    return regex.compile("|".join(alternatives), regex.V1)
