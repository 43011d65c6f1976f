"""k-means within each text of a padded batch: means of token vectors that lie close to one another.

Lloyd: Least squares quantization in PCM, 1982. Starts by k-means++: Arthur and Vassilvitskii, SODA 2007. Inside a
model's forward pass as in CRISP (arXiv:2505.11471): gradients flow through the means, the assignments are constants.

A text's clusters must not depend on the batch it is in. Matrix products differ in their last bits with the shape of a
batch, so no decision rests on those bits: distances that differ by less than a grain are equal, the first one wins,
and k-means++ draws with whole numbers. The same draws serve every text.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rankloom.reduction.tensors import pick, unit

ROUNDS = 25  # of Lloyd's, at most; texts of a few hundred tokens settle in fewer
SEED = 0
_GRAIN = 2.0**-16  # of squared distances, where the vectors of a text have length 1 on average
_DRAW_BITS = 20


def cluster_means(
    vectors: Tensor, mask: Tensor, sizes: Tensor, *, width: int, normalize: bool = True, rounds: int = ROUNDS
) -> tuple[Tensor, Tensor]:
    """The means of the clusters of each text. A text with no more vectors than clusters keeps them as they are.

    Takes memory for texts x tokens x (tokens + 2 x clusters) numbers.

    Args:
        vectors: Any float type, of shape (texts, tokens, dimensions), at least one token; half precision is clustered
            in float32.
        mask: Which of them count, bool of shape (texts, tokens).
        sizes: Clusters of each text, int64 of shape (texts,). There are fewer where vectors are equal.
        width: Places for clusters, as many as the text with most has, or more.
        normalize: Bring means to length 1. Vectors that stay as they are, are not touched.
        rounds: Of Lloyd's algorithm, at most; it ends once nothing moves.

    Returns:
        Means of the same type and shape (texts, width, dimensions), and their mask.
    """
    exact = vectors.float() if vectors.dtype in (torch.float16, torch.bfloat16) else vectors
    exact = exact.masked_fill(~mask[:, :, None], 0.0)
    counts = mask.sum(dim=1)
    with torch.autocast(vectors.device.type, enabled=False):  # it would make the products below half precision
        nearest = assignments(exact.detach(), mask, sizes, width=width, rounds=rounds)
        means, members = _means(exact, mask, nearest, width)
    means, found = pick(unit(means) if normalize else means, members > 0, width=width)
    unchanged, there = pick(exact, mask, width=width)
    few = counts <= sizes
    return (
        torch.where(few[:, None, None], unchanged, means).to(vectors.dtype),
        torch.where(few[:, None], there, found),
    )


@torch.no_grad()
def assignments(vectors: Tensor, mask: Tensor, sizes: Tensor, *, width: int, rounds: int = ROUNDS) -> Tensor:
    """The number of the cluster that each vector belongs to, int64 of shape (texts, tokens); of pads, any number.

    Args:
        vectors: float32 or float64 of shape (texts, tokens, dimensions), zeros where padded.
        mask: Which of them count.
        sizes: Clusters of each text, int64 of shape (texts,), at most `width`.
        width: Clusters of the text that has most.
        rounds: Of Lloyd's algorithm, at most.
    """
    usual = (vectors.square().sum(dim=(1, 2)) / mask.sum(dim=1).clamp(min=1)).sqrt()  # length of the text's vectors
    scaled = vectors / torch.where(usual > 0, usual, 1.0)[:, None, None]
    centres, alive = _start(scaled, mask, sizes, width)
    nearest = _nearest(scaled, centres, alive)
    for _ in range(rounds):
        centres, members = _means(scaled, mask, nearest, width)
        empty = alive & (members == 0)
        if bool(empty.any()):
            centres = _restart(scaled, mask, centres, nearest, empty)
        before, nearest = nearest, _nearest(scaled, centres, alive)
        if torch.equal(before, nearest):
            break
    return nearest


def _start(vectors: Tensor, mask: Tensor, sizes: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """First centres by k-means++: vectors drawn in proportion to the squared distance from those drawn before.

    Distances are counted in whole grains, so equal vectors are at distance 0 and are never drawn again, and sums are
    the same in whatever order a device adds them up.
    """
    products = torch.bmm(vectors, vectors.mT)
    squares = products.diagonal(dim1=1, dim2=2)
    weights = mask.long()  # the first draw: all vectors alike
    closest = torch.full_like(weights, torch.iinfo(torch.int64).max)
    chosen, alive = [], []
    draws = np.random.default_rng(SEED).integers(1 << _DRAW_BITS, size=width)  # a longer row begins like a shorter one
    for place, draw in enumerate(draws.tolist()):
        below = weights.cumsum(dim=1)
        total = below[:, -1:]
        drawn = torch.searchsorted(below, (total * draw) >> _DRAW_BITS, right=True).clamp(max=vectors.shape[1] - 1)
        chosen.append(drawn)
        alive.append((total[:, 0] > 0) & (place < sizes))
        row = products.gather(1, drawn[:, :, None].expand(-1, 1, vectors.shape[1]))[:, 0]
        distances = squares + squares.gather(1, drawn) - 2 * row
        closest = torch.minimum(closest, (distances / _GRAIN).round().clamp(min=0).long())
        weights = closest.masked_fill(~mask, 0)
    places = torch.cat(chosen, dim=1)[:, :, None].expand(-1, width, vectors.shape[2])
    return vectors.gather(1, places), torch.stack(alive, dim=1)


def _nearest(vectors: Tensor, centres: Tensor, alive: Tensor) -> Tensor:
    """The nearest living centre of each vector, the first of those that are equally near."""
    halves = (centres.square().sum(dim=2) / 2).masked_fill(~alive, torch.inf)
    # half of the squared distance, less half of the vector's own square, which is the same for all centres
    distances = torch.baddbmm(halves[:, None, :], vectors, centres.mT, alpha=-1)
    near = distances <= distances.amin(dim=2, keepdim=True) + _GRAIN / 2
    return near.to(torch.uint8).argmax(dim=2)


def _means(vectors: Tensor, mask: Tensor, nearest: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The mean of each cluster, of one without members zero; and how many members each has."""
    members = vectors.new_zeros(*mask.shape, width).scatter_(2, nearest[:, :, None], mask[:, :, None].to(vectors.dtype))
    counts = members.sum(dim=1)
    return torch.bmm(members.mT, vectors) / counts.clamp(min=1)[:, :, None], counts


def _restart(vectors: Tensor, mask: Tensor, centres: Tensor, nearest: Tensor, empty: Tensor) -> Tensor:
    """Centres, the first empty one of each text moved to the vector that is farthest from its own centre.

    Others that are empty have their turn in the next rounds; one that nothing is far from stays empty.
    """
    own = centres.gather(1, nearest[:, :, None].expand_as(vectors))
    distances = (vectors - own).square().sum(dim=2).masked_fill(~mask, 0.0)
    near_farthest = distances >= distances.amax(dim=1, keepdim=True) - _GRAIN
    farthest = near_farthest.to(torch.uint8).argmax(dim=1)
    moved = vectors.gather(1, farthest[:, None, None].expand(-1, 1, vectors.shape[2]))
    first = empty & (empty.cumsum(dim=1) == 1)
    return torch.where(first[:, :, None], moved, centres)
