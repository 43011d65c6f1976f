"""Terms and document lengths: the small parts of an index."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.retrieval.document_length import LENGTHS, length_codes
from rankloom.retrieval.vocabulary import Vocabulary


@settings(deadline=None)
@given(st.sets(st.text()), st.text())
def test_vocabulary_is_sorted_and_finds(terms, other):
    vocabulary, numbers = Vocabulary.number(list(terms))
    assert vocabulary.take(numbers) == list(terms)
    assert vocabulary.take(range(len(terms))) == sorted(terms)
    asked = [*terms, other, "\ud800"]
    assert vocabulary.numbers(asked).tolist() == [sorted(terms).index(one) if one in terms else -1 for one in asked]
    for term in [*terms, other]:
        assert vocabulary.find(term) == (sorted(terms).index(term) if term in terms else None)


def lucene_code(length):
    """SmallFloat.intToByte4, bit by bit."""

    def int4(value):
        bits = value.bit_length()
        return value if bits < 4 else (value >> (bits - 4)) & 7 | (bits - 3) << 3

    free = 255 - int4(2**31 - 1)
    return length if length < free else free + int4(length - free)


@settings(deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_length_codes_are_lucenes(length):
    code = int(length_codes(np.array([length], dtype=np.int32))[0])
    assert code == lucene_code(length)
    assert LENGTHS[code] <= length
    assert code == 255 or LENGTHS[code + 1] > length


def test_short_lengths_are_exact():
    assert LENGTHS[length_codes(np.arange(40, dtype=np.int32))].tolist() == list(range(40))
