"""What tests of feedback over terms compute over again, from the texts alone."""

from hypothesis import assume
from hypothesis import strategies as st

_WORDS = ["aa", "bb", "cc", "dd", "ee", "ff", "gg"]
#: Texts of one to twelve of seven words, as lists of words.
CORPORA = st.lists(st.lists(st.sampled_from(_WORDS), min_size=1, max_size=12), min_size=3, max_size=9)


def texts_of(corpus):
    return {f"d{number}": " ".join(words) for number, words in enumerate(corpus)}


def heaviest(weights, size):
    """The heaviest terms; no example where weights tie at the cut but for rounding, as it would test rounding."""
    ordered = sorted(weights.items(), key=lambda item: -item[1])
    assume(len(ordered) <= size or ordered[size - 1][1] - ordered[size][1] > 1e-9)
    return dict(ordered[:size])
