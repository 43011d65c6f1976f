import numpy as np
import pytest

from rankloom import ScoreKind
from rankloom.prf.document_weights import document_weights


@pytest.mark.parametrize("kind", [ScoreKind.SIMILARITY, ScoreKind.PROBABILITY])
def test_scores_as_they_are(kind):
    assert document_weights(np.float32([3, 1, 0]), kind).tolist() == [3, 1, 0]


def test_positions_weigh_the_same():
    assert document_weights(np.float32([0, -1]), ScoreKind.RANK).tolist() == [1, 1]


@pytest.mark.parametrize(("scores", "kind"), [([2, 1], ScoreKind.LOGIT), ([0.5, -0.5], ScoreKind.SIMILARITY)])
def test_softmax_where_a_sum_would_be_senseless(scores, kind):
    assert document_weights(np.float32(scores), kind).tolist() == pytest.approx([1, np.exp(-1)])


def test_scores_of_nothing_but_zeros():
    assert document_weights(np.float32([0, 0]), ScoreKind.SIMILARITY).tolist() == [1, 1]
