"""The Porter stemmer, as Lucene has it.

M. F. Porter, An algorithm for suffix stripping, Program 14(3), 1980, with the author's later changes that Lucene's
version carries: `bli` becomes `ble`, `logi` becomes `log`, words of one or two letters stay as they are, and any
doubled consonant but l, s and z is undone. (Snowball's "porter" differs in all of these, and conflates other words.)
Characters that are not English vowels, digits and other scripts' letters among them, count as consonants.
"""

from __future__ import annotations

Rules = dict[str, tuple[tuple[str, str], ...]]

# Rules by the last letter but one (step 2) or the last letter (step 3). Only the first suffix that fits is tried.
_STEP_2: Rules = {
    "a": (("ational", "ate"), ("tional", "tion")),
    "c": (("enci", "ence"), ("anci", "ance")),
    "e": (("izer", "ize"),),
    "l": (("bli", "ble"), ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous")),
    "o": (("ization", "ize"), ("ation", "ate"), ("ator", "ate")),
    "s": (("alism", "al"), ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous")),
    "t": (("aliti", "al"), ("iviti", "ive"), ("biliti", "ble")),
    "g": (("logi", "log"),),
}
_STEP_3: Rules = {
    "e": (("icate", "ic"), ("ative", ""), ("alize", "al")),
    "i": (("iciti", "ic"),),
    "l": (("ical", "ic"), ("ful", "")),
    "s": (("ness", ""),),
}
_STEP_4: dict[str, tuple[str, ...]] = {
    "a": ("al",),
    "c": ("ance", "ence"),
    "e": ("er",),
    "i": ("ic",),
    "l": ("able", "ible"),
    "n": ("ant", "ement", "ment", "ent"),
    "o": ("sion", "tion", "ou"),
    "s": ("ism",),
    "t": ("ate", "iti"),
    "u": ("ous",),
    "v": ("ive",),
    "z": ("ize",),
}


def stem(word: str) -> str:
    """The stem of a lower-case word.

    Example:
        >>> [stem(word) for word in ("relational", "trekked", "etymology", "terribly", "is")]
        ['relat', 'trek', 'etymolog', 'terribl', 'is']
    """
    if len(word) <= 2:
        return word
    word = _plural_and_past(word)
    if word[-1] == "y" and "v" in _form(word[:-1]):
        word = word[:-1] + "i"
    word = _replace_suffix(word, _STEP_2.get(word[-2:-1], ()))
    word = _replace_suffix(word, _STEP_3.get(word[-1:], ()))
    return _final_e_and_l(_drop_suffix(word))


def _form(word: str) -> str:
    """Vowels as `v`, consonants as `c`; a y is a vowel after a consonant."""
    form = ""
    for letter in word:
        vowel = letter in "aeiou" or (letter == "y" and form[-1:] == "c")
        form += "v" if vowel else "c"
    return form


def _measure(word: str) -> int:
    """How many times a vowel is followed by a consonant: Porter's m."""
    return _form(word).count("vc")


def _ends_short(word: str) -> bool:
    """Whether a word ends consonant, vowel, consonant other than w, x, y: Porter's *o."""
    return _form(word)[-3:] == "cvc" and word[-1] not in "wxy"


def _doubled(word: str) -> bool:
    """Whether a word ends in a doubled consonant: Porter's *d."""
    return len(word) > 1 and word[-1] == word[-2] and _form(word)[-1] == "c"


def _plural_and_past(word: str) -> str:
    """Steps 1a and 1b: plurals, -ed and -ing."""
    if word.endswith(("sses", "ies")):
        word = word[:-2]
    elif word[-1] == "s" and word[-2] != "s":
        word = word[:-1]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    kept = word[:-2] if word.endswith("ed") else word[:-3] if word.endswith("ing") else ""
    if "v" not in _form(kept):
        return word
    if kept.endswith(("at", "bl", "iz")):
        return kept + "e"
    if _doubled(kept):
        return kept if kept[-1] in "lsz" else kept[:-1]
    return kept + "e" if _measure(kept) == 1 and _ends_short(kept) else kept


def _replace_suffix(word: str, rules: tuple[tuple[str, str], ...]) -> str:
    """Steps 2 and 3: one derivational suffix for a shorter one, where a syllable is left."""
    for suffix, replacement in rules:
        if word.endswith(suffix):
            kept = word[: -len(suffix)]
            return kept + replacement if _measure(kept) > 0 else word
    return word


def _drop_suffix(word: str) -> str:
    """Step 4: a last suffix, where two syllables are left."""
    for suffix in _STEP_4.get(word[-2:-1], ()):
        if word.endswith(suffix):
            # of -sion and -tion, only -ion goes
            kept = word[:-3] if suffix in ("sion", "tion") else word[: -len(suffix)]
            return kept if _measure(kept) > 1 else word
    return word


def _final_e_and_l(word: str) -> str:
    """Step 5: a final e, and one l of two."""
    measure = _measure(word)
    if word[-1] == "e" and (measure > 1 or (measure == 1 and not _ends_short(word[:-1]))):
        word = word[:-1]
    return word[:-1] if word[-1] == "l" and measure > 1 and _doubled(word) else word
