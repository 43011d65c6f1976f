"""k-means within each text: against scikit-learn, its own inertia, and texts where it is easy to go wrong."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from rankloom.reduction import kmeans
from rankloom.reduction.kmeans import assignments, cluster_means
from tests.rankloom.reduction import plain_reductions as plain


def whole(vectors):
    """A mask in which all vectors count."""
    return torch.ones(vectors.shape[:2], dtype=torch.bool)


def clustered(vectors, count, **settings):
    """The clusters of a batch without pads, the same number for each text."""
    sizes = torch.full((len(vectors),), count)
    return assignments(vectors, whole(vectors), sizes, width=count, **settings)


def inertia(vectors, nearest):
    """The sum of squared distances to the mean of each one's cluster."""
    total = 0.0
    for cluster in nearest.unique():
        members = vectors[nearest == cluster].double()
        total += float((members - members.mean(dim=0)).square().sum())
    return total


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [2, 5, 9])
def test_clusters_that_lie_apart_are_those_of_scikit_learn(count):
    vectors = random(6, count, 1, 12, seed=1) * 20 + random(6, count, 15, 12, seed=2) * 0.1
    vectors = vectors.reshape(6, -1, 12)[:, torch.randperm(count * 15, generator=torch.Generator().manual_seed(3))]
    for text, nearest in zip(vectors, clustered(vectors, count), strict=True):
        theirs = KMeans(count, n_init=10, random_state=0).fit(text.numpy())
        assert adjusted_rand_score(theirs.labels_, nearest.numpy()) == 1.0
        assert inertia(text, nearest) == pytest.approx(theirs.inertia_, rel=1e-4)


def test_from_the_same_start_it_ends_where_scikit_learn_does():
    vectors = random(5, 80, 6, seed=4)
    centres, alive = kmeans._start(vectors, whole(vectors), torch.full((5,), 7), 7)
    assert alive.all()
    for text, start, nearest in zip(vectors, centres, clustered(vectors, 7, rounds=100), strict=True):
        theirs = KMeans(7, init=start.numpy(), n_init=1, max_iter=100, tol=0.0, algorithm="lloyd").fit(text.numpy())
        assert nearest.tolist() == theirs.labels_.tolist()


def test_it_is_about_as_good_as_scikit_learn_on_what_has_no_clusters():
    vectors = torch.nn.functional.normalize(random(8, 150, 32, seed=5), dim=2)
    ours = [inertia(text, nearest) for text, nearest in zip(vectors, clustered(vectors, 16), strict=True)]
    theirs = [KMeans(16, n_init=1, random_state=seed).fit(text.numpy()).inertia_ for seed, text in enumerate(vectors)]
    assert np.mean(ours) < 1.03 * np.mean(theirs)


def test_no_round_makes_it_worse():
    vectors = random(3, 60, 5, seed=6)
    by_round = [clustered(vectors, 8, rounds=rounds) for rounds in (0, 1, 2, 3, 5, 8, 25)]
    for number, text in enumerate(vectors):
        course = [inertia(text, nearest[number]) for nearest in by_round]
        assert course == sorted(course, reverse=True)
        assert course[-1] < 0.95 * course[0]


def test_starts_are_drawn_in_proportion_to_squared_distance(monkeypatch):
    """Of vectors at 0, 1 and 3 from the first, the second start is the third in 9 of 10 draws."""
    text = torch.tensor([[[0.0], [1.0], [3.0]]])
    seconds = []
    for seed in range(400):
        monkeypatch.setattr(kmeans, "SEED", seed)
        centres, _ = kmeans._start(text, whole(text), torch.tensor([2]), 2)
        if centres[0, 0] == 0:
            seconds.append(float(centres[0, 1]))
    assert 100 < len(seconds) < 170  # each is the first in a third of draws
    assert set(seconds) == {1.0, 3.0}
    assert 0.82 < seconds.count(3.0) / len(seconds) < 0.97


def test_more_starts_begin_with_the_same_ones():
    """A share of a text's length asks for more places where the batch is wider."""
    vectors = random(1, 300, 4, seed=7)
    few, _ = kmeans._start(vectors, whole(vectors), torch.tensor([5]), 5)
    many, alive = kmeans._start(vectors, whole(vectors), torch.tensor([5]), 200)
    assert torch.equal(many[:, :5], few)
    assert alive.sum() == 5


@pytest.mark.parametrize("count", [6, 7, 100])
def test_no_more_vectors_than_clusters_stay_as_they_are(count):
    vectors = random(2, 9, 4, seed=8) * 3  # their lengths too
    mask = torch.arange(9) < torch.tensor([[6], [9]])
    means, found = cluster_means(vectors, mask, torch.full((2,), count), width=count)
    assert found.sum(dim=1).tolist() == [6, min(count, 9)]
    assert torch.equal(means[0, :6], vectors[0, :6])


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.integers(0, 4), min_size=1, max_size=20),
    count=st.integers(1, 12),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_equal_vectors_make_fewer_clusters(kinds, count, scale):
    different = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0], [0, 0, 0]]) * scale
    vectors = different[kinds][None]
    nearest = clustered(vectors, count)[0]
    pairs = {(kind, cluster) for kind, cluster in zip(kinds, nearest.tolist(), strict=True)}
    assert len(pairs) == len(set(kinds))  # equal ones are never parted
    assert nearest.unique().numel() == min(count, len(set(kinds)))
    means, found = cluster_means(vectors, whole(vectors), torch.tensor([count]), width=count)
    assert torch.isfinite(means).all()
    if len(kinds) > count:
        assert int(found.sum()) == min(count, len(set(kinds)))


def test_vectors_alike_but_for_noise_are_equal():
    vectors = torch.nn.functional.normalize(random(1, 1, 128, seed=9), dim=2) + random(1, 50, 128, seed=10) * 1e-8
    means, found = cluster_means(vectors, whole(vectors), torch.tensor([8]), width=8)
    assert int(found.sum()) == 1
    torch.testing.assert_close(means[0, 0], vectors[0, 0])


def test_one_very_long_vector_does_not_make_the_others_equal():
    """As first tokens of some transformers are."""
    vectors = torch.nn.functional.normalize(random(1, 100, 64, seed=11), dim=2)
    vectors[0, 0] *= 100
    _, found = cluster_means(vectors, whole(vectors), torch.tensor([20]), width=20)
    assert int(found.sum()) == 20


def test_an_empty_cluster_starts_again_at_the_farthest_vector():
    vectors = torch.tensor([[[0.0], [1.0], [5.0], [9.0]], [[0.0], [0.0], [0.0], [0.0]]])
    centres = torch.tensor([[[0.5], [7.0], [0.0], [0.0]]] * 2)
    nearest = torch.tensor([[0, 0, 1, 1], [2, 2, 2, 2]])
    empty = torch.tensor([[False, False, True, True], [True, True, False, False]])
    moved = kmeans._restart(vectors, whole(vectors), centres, nearest, empty)
    assert moved[0, :, 0].tolist() == [0.5, 7.0, 5.0, 0.0]  # the first of two that are equally far
    assert moved[1, 1:].tolist() == centres[1, 1:].tolist()


#: A text of which one of five clusters loses all its vectors on the way; found by trying many.
EMPTIED = [
    [-2.522, -0.049], [0.044, -1.147], [0.482, 0.545], [0.0, -1.653], [-2.782, 0.0], [1.487, -0.001], [-5.382, 0.004],
    [20.67, -2.770], [-2.910, 0.059], [0.332, 0.668], [-0.008, 0.984], [-0.039, -0.687],
]  # fmt: skip


def test_a_cluster_that_loses_all_its_vectors_is_not_lost(monkeypatch):
    vectors = torch.tensor([EMPTIED])
    mended = clustered(vectors, 5)
    assert mended.unique().numel() == 5
    assert mended[0].tolist() == plain.kmeans(list(np.array(EMPTIED)), 5)
    monkeypatch.setattr(kmeans, "_restart", lambda *given: given[2])  # centres as they are
    left = clustered(vectors, 5)
    assert left.unique().numel() == 4
    assert inertia(vectors[0], mended[0]) < inertia(vectors[0], left[0])


def test_vectors_of_length_0_have_a_mean_and_a_gradient_that_are_numbers():
    vectors = torch.zeros(1, 6, 3)
    vectors[0, 4:, 0] = torch.tensor([1.0, -1.0])  # with k = 1, the mean is zero as well
    for count in (1, 2, 3):
        some = vectors.clone().requires_grad_()
        means, _ = cluster_means(some, whole(some), torch.tensor([count]), width=count)
        means.sum().backward()
        assert torch.isfinite(means).all()
        assert torch.isfinite(some.grad).all()


def test_sizes_differ_by_text():
    vectors = random(3, 40, 6, seed=12)
    together, found = cluster_means(vectors, whole(vectors), torch.tensor([3, 11, 40]), width=40)
    assert found.sum(dim=1).tolist() == [3, 11, 40]
    for number, size in enumerate((3, 11, 40)):
        alone, _ = cluster_means(vectors[number : number + 1], whole(vectors[:1]), torch.tensor([size]), width=size)
        torch.testing.assert_close(together[number, :size], alone[0], atol=1e-6, rtol=0)
