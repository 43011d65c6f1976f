"""Prompts and what a model reads: found out before the first of them is paid for.

A prompt that shows passages shows fewer words of them where the model has no room for all, as RankGPT does, and the
stage notes it. One that has no room even so, and one that shows nothing that could be cut, is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from rankloom.cache import Cache
from rankloom.codec import pack, unpack
from rankloom.errors import DataError
from rankloom.fingerprint import digest
from rankloom.language_model import LanguageModel, Prompt
from rankloom.session import Session

_FORMAT = "words with room 1"  # part of every key
#: How long some texts are, in any unit.
Size = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True, slots=True)
class Showing:
    """Prompts that show the beginnings of passages.

    Args:
        about: The query or document that they are about, for errors.
        passages: How many passages one shows.
        longest: The longest of them, given how many words it may show of each passage, and how the lengths of texts are
            told, by which it finds the longest passages.
        key: A digest of all that they depend on besides the model, to be remembered by; empty where it is not worth it.
    """

    about: str
    passages: int
    longest: Callable[[int, Size], Prompt]
    key: str = ""


def words_with_room(
    model: LanguageModel, showings: Sequence[Showing], *, words: int, max_tokens: int, session: Session, stage: str
) -> list[int]:
    """How many words of each passage prompts can show, so that the longest of them fits the model.

    Args:
        model: Who is going to read them.
        showings: Some prompts.
        words: How many are wanted.
        max_tokens: Limit of an output, which some models need room for.
        session: To load a model that knows its limit; its cache remembers what has a key, so that a run that has its
            answers from there loads nothing.
        stage: Who asks, for errors.

    Returns:
        For each showing, a number from 1 to `words`: that, if nobody knows what the model reads.

    Raises:
        DataError: A prompt does not fit even with a single word of each passage.
    """
    if not model.knows_room:
        return [words for _ in showings]
    model.resolve(session)
    common = digest(_FORMAT, model, model.context_tokens, words, max_tokens)
    keys = [digest(common, one.key, one.passages) if one.key else "" for one in showings]
    known = _known(session.cache, [key for key in keys if key])
    fresh: dict[str, bytes] = {}
    found = []
    for one, key in zip(showings, keys, strict=True):
        if not one.passages:
            found.append(words)
        elif key not in known:
            fitting = _fitting(model, one, words=words, max_tokens=max_tokens, session=session, stage=stage)
            found.append(fitting)
            fresh |= {key: pack({"words": fitting}, {})} if key else {}
        else:
            found.append(known[key])
    if session.cache is not None and fresh:
        session.cache.put(fresh, stage=stage)
    return found


def check_room(
    model: LanguageModel,
    asked: Sequence[tuple[str, Prompt]],
    *,
    max_tokens: int,
    session: Session,
    stage: str,
    fix: str = "a shorter prompt, a shorter output (max_tokens), or a model that reads more",
) -> None:
    """Refuse prompts that do not fit the model, before any is paid for.

    Args:
        model: Who is going to read them.
        asked: What each is about, for the error, and the prompt.
        max_tokens: Limit of an output, which some models need room for.
        session: To load a model that knows its limit.
        stage: Who asks, for the error.
        fix: What can be done.

    Raises:
        DataError: Names what the prompt is about, how long it is, and what the model reads.
    """
    room = model.room(max_tokens, session) if asked and model.knows_room else None
    if room is None:
        return
    for (about, _), tokens in zip(asked, model.prompt_tokens([prompt for _, prompt in asked], session), strict=True):
        if tokens > room:
            raise _no_room(tokens, room, about=about, besides="", fix=fix, stage=stage)


def _fitting(model: LanguageModel, one: Showing, *, words: int, max_tokens: int, session: Session, stage: str) -> int:
    """The most words of a passage with which the longest prompt fits.

    Raises:
        DataError: Not even one does.
    """
    room = model.room(max_tokens, session)
    longest = one.longest(words, _most_tokens)
    frame = model.prompt_tokens([Prompt("x", "x")], session)[0]  # what a chat template adds
    if room is None or sum(_most_tokens([longest.text, longest.system])) + frame <= room:
        return words
    fits, too_many, tried = 0, words + 1, words
    while fits + 1 < too_many:
        if _tokens(model, one, tried, session) <= room:
            fits = tried
        else:
            too_many = tried
        tried = (fits + too_many) // 2
    if not fits:
        needed = _tokens(model, one, 1, session)
        fix = "fewer passages in a prompt, a shorter query, a shorter output, or a model that reads more"
        raise _no_room(needed, room, about=one.about, besides=" with a word of each passage", fix=fix, stage=stage)
    return fits


def _tokens(model: LanguageModel, one: Showing, words: int, session: Session) -> int:
    """How long the longest prompt may be; a passage may have a token more in other company."""

    def tokens(texts: Sequence[str]) -> list[int]:
        return model.prompt_tokens([Prompt(text) for text in texts], session)

    return model.prompt_tokens([one.longest(words, tokens)], session)[0] + one.passages


def _known(cache: Cache | None, keys: Sequence[str]) -> dict[str, int]:
    """The numbers of words that the cache holds; a damaged one is found out again."""
    known: dict[str, int] = {}
    if cache is None or not keys:
        return known
    damaged = []
    for key, data in cache.get(keys).items():
        try:
            values, _ = unpack(data)
        except DataError:
            damaged.append(key)
            continue
        known[key] = int(values["words"])  # type: ignore[call-overload]  # as packed
    cache.drop(damaged)
    return known


def _most_tokens(texts: Sequence[str]) -> list[int]:
    """How many tokens texts have at most: as many as bytes, also where a tokenizer normalises them before (NFKC)."""
    return [max(_bytes(text), 0 if text.isascii() else _bytes(normalize("NFKD", text))) for text in texts]


def _bytes(text: str) -> int:
    """The bytes of a text."""
    return len(text.encode("utf-8", "replace"))


def _no_room(needed: int, room: int, *, about: str, besides: str, fix: str, stage: str) -> DataError:
    """The error of a prompt that is too long."""
    problem = f"a prompt has {needed} tokens{besides}, and the model reads {max(0, room)} besides its output"
    return DataError(problem, stage=stage, value=about, fix=f"{fix}; nothing has been asked")
