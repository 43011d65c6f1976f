"""Blocks: every sentence once and in order, none larger than the room, and what is cut is counted."""

from hypothesis import given
from hypothesis import strategies as st

from rankloom.rerank.pruning.blocks import Block, in_blocks


@given(st.integers(0, 40), st.lists(st.integers(0, 30), max_size=12), st.integers(2, 40))
def test_sentences_are_read_once_and_in_order(question, sentences, room):
    found = in_blocks(question, sentences, room)
    left = room - found.question
    assert found.blocks
    places = [place for block in found.blocks for place in range(block.first, block.first + len(block.lengths))]
    assert places == list(range(len(sentences)))
    read = [length for block in found.blocks for length in block.lengths]
    assert read == [min(length, left) for length in sentences]
    assert all(sum(block.lengths) <= left for block in found.blocks)
    assert found.truncated == question + sum(sentences) - found.question - sum(read)
    assert all(one.lengths for one in found.blocks) or len(found.blocks) == 1
    for one, following in zip(found.blocks, found.blocks[1:], strict=False):  # none could have been taken along
        assert sum(one.lengths) + following.lengths[0] > left


@given(st.integers(0, 20), st.lists(st.integers(0, 9), max_size=6), st.integers(2, 60))
def test_what_fits_is_one_block_and_whole(question, sentences, room):
    found = in_blocks(question, sentences, room)
    if question + sum(sentences) <= room:
        assert found == (question, (Block(0, tuple(sentences)),), 0)
    assert found.question >= min(question, room // 2)


def test_a_long_question_leaves_half_of_the_room():
    assert in_blocks(100, [3, 9], 10) == (5, (Block(0, (3,)), Block(1, (5,))), 95 + 4)
    assert in_blocks(100, [2], 10) == (8, (Block(0, (2,)),), 92)
