"""Blocks: every sentence once and in order, none larger than the room, and what a question leaves."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from rankloom.rerank.pruning.blocks import Block, Piece, in_blocks


def all_pieces(found):
    return [piece for block in found.blocks for piece in block.pieces]


@given(
    st.integers(0, 40),
    st.lists(st.integers(0, 30), max_size=12),
    st.integers(2, 40),
    st.one_of(st.none(), st.integers(1, 40)),
)
def test_sentences_are_read_once_and_in_order(question, sentences, room, longest):
    found = in_blocks(question, sentences, room, longest=longest)
    left = room - found.question
    assert found.blocks
    assert all(sum(block.lengths) <= left for block in found.blocks)
    assert all(block.pieces for block in found.blocks) or len(found.blocks) == 1
    assert all(block.first == block.pieces[0].sentence for block in found.blocks if block.pieces)
    by_sentence = {place: list(some) for place, some in groupby(all_pieces(found), lambda piece: piece.sentence)}
    assert list(by_sentence) == list(range(len(sentences)))
    for place, some in by_sentence.items():
        if longest is None:
            assert some == [Piece(place, 0, min(sentences[place], left))]
        else:  # all of it, in pieces of which none but the last is short
            assert [piece.start for piece in some] == [min(longest, left) * number for number in range(len(some))]
            assert sum(piece.length for piece in some) == sentences[place]
    for one, following in zip(found.blocks, found.blocks[1:], strict=False):  # none could have been taken along
        assert sum(one.lengths) + following.lengths[0] > left


@given(st.integers(0, 20), st.lists(st.integers(0, 9), max_size=6), st.integers(2, 60))
def test_what_fits_is_one_block_and_whole(question, sentences, room):
    found = in_blocks(question, sentences, room)
    if question + sum(sentences) <= room:
        assert found == (question, (Block(tuple(Piece(place, 0, length) for place, length in enumerate(sentences))),))


@given(st.integers(0, 60), st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(2, 40))
def test_a_question_is_cut_only_as_far_as_the_longest_sentence_needs(question, sentences, room):
    asked = in_blocks(question, sentences, room).question
    assert asked >= min(question, room - room // 2)
    assert asked == question or room - asked == min(max(sentences), room // 2)
    more = in_blocks(question, [*sentences, *sentences], room).question
    assert more == asked  # a longer text of the same sentences costs the question nothing


def test_a_long_question_leaves_half_of_the_room():
    assert in_blocks(100, [3, 9], 10) == (5, (Block((Piece(0, 0, 3),)), Block((Piece(1, 0, 5),))))
    assert in_blocks(100, [2], 10) == (8, (Block((Piece(0, 0, 2),)),))
    assert in_blocks(100, [2], 10, longest=1) == (9, (Block((Piece(0, 0, 1),)), Block((Piece(0, 1, 1),))))
