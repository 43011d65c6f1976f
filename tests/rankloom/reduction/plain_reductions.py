"""Every reduction of one text once more, in plain loops and float64, for tests."""

import itertools
import math

import numpy as np

GRAIN = 2.0**-16
SEED, DRAW_BITS, ROUNDS = 0, 20, 25


def unit(vector):
    length = math.sqrt(sum(value * value for value in vector))
    return vector / length if length > 1e-6 else vector


def square(one, other):
    return float(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)))


def first_least(values, tolerance):
    return next(place for place, value in enumerate(values) if value <= min(values) + tolerance)


def means(vectors, nearest, count):
    groups = [
        [vector for vector, cluster in zip(vectors, nearest, strict=True) if cluster == own] for own in range(count)
    ]
    return [sum(group) / len(group) if group else None for group in groups]


def starts(vectors, count):
    """The places of first centres, by k-means++."""
    draws = np.random.default_rng(SEED).integers(1 << DRAW_BITS, size=count)
    weights, chosen = [1] * len(vectors), []
    for draw in draws.tolist():
        if not sum(weights):
            break
        threshold, below = (sum(weights) * draw) >> DRAW_BITS, 0
        for place, weight in enumerate(weights):
            below += weight
            if below > threshold:
                chosen.append(place)
                break
        weights = [round(min(square(vector, vectors[one]) for one in chosen) / GRAIN) for vector in vectors]
    return chosen


def kmeans(vectors, count):
    """The cluster of each vector."""
    usual = math.sqrt(sum(square(vector, 0 * vector) for vector in vectors) / len(vectors))
    vectors = [vector / (usual or 1.0) for vector in vectors]
    centres = [vectors[place] for place in starts(vectors, count)]

    def assign():
        return [first_least([square(vector, one) for one in centres], GRAIN) for vector in vectors]

    nearest = assign()
    for _ in range(ROUNDS):
        found = means(vectors, nearest, len(centres))
        if any(one is None for one in found):
            known = [np.zeros_like(vectors[0]) if one is None else one for one in found]
            away = [-square(vector, known[own]) for vector, own in zip(vectors, nearest, strict=True)]
            found = known
            if -min(away) >= 0:
                empty = next(own for own in range(len(centres)) if own not in nearest)
                found[empty] = vectors[first_least(away, GRAIN)]
        centres, before = found, nearest
        nearest = assign()
        if before == nearest:
            break
    return nearest


def clusters(vectors, count):
    if len(vectors) <= count:
        return vectors
    return [unit(one) for one in means(vectors, kmeans(vectors, count), count) if one is not None]


def spacing(vectors, step):
    return [vector for place, vector in enumerate(vectors) if place % step == 0]


def tail(vectors, count):
    return [vector for place, vector in enumerate(vectors) if place >= len(vectors) - count]


def pooling(vectors, factor):
    """The first vector, and the others joined by Ward's criterion on 1 - cosine (Lance and Williams' update)."""
    groups = [[vector] for vector in vectors[1:]]
    pairs = itertools.combinations(range(len(groups)), 2)
    apart = {(i, j): (1 - float(vectors[i + 1] @ vectors[j + 1])) ** 2 for i, j in pairs}
    alive = list(range(len(groups)))
    while len(alive) > max(math.floor((len(vectors) - 1) / factor), 1):
        a, b = min(((i, j) for i in alive for j in alive if i < j), key=lambda pair: apart[pair])
        sizes = {one: len(groups[one]) for one in alive}
        for other in alive:
            if other in (a, b):
                continue
            near, far = (min(a, other), max(a, other)), (min(b, other), max(b, other))
            apart[near] = (
                (sizes[a] + sizes[other]) * apart[near]
                + (sizes[b] + sizes[other]) * apart[far]
                - sizes[other] * apart[a, b]
            ) / (sizes[a] + sizes[b] + sizes[other])
        groups[a] += groups[b]
        alive.remove(b)
    return [unit(vector) for vector in vectors[:1]] + [unit(sum(groups[one]) / len(groups[one])) for one in alive]


def reduce(vectors, word):
    """The document side of a word, by plain loops."""
    vectors = list(np.asarray(vectors, dtype=np.float64))
    if word == "none" or not vectors:
        return vectors
    kind, number = word[0], word[1:]
    if kind == "p":
        return pooling(vectors, float(word.removeprefix("pool")))
    if kind == "K":
        return spacing(vectors, int(number))
    if kind == "T":
        return tail(vectors, int(number.split("x")[1]))
    count = int(number.split("x")[1]) if "x" in number else math.ceil(len(vectors) * int(number) / 100)
    return clusters(vectors, count)
