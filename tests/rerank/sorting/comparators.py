"""Comparators that need no model: a perfect one, one that errs, and one whose answers contradict."""

import random

from rankloom.rerank.sorting import Answered, Best, Compare, Order, Preference


class Perfect:
    """Knows the true rank of every hit, and counts what it is asked."""

    calls_each = 1

    def __init__(self, *truths):
        self.truths = truths  # for each query, hit -> rank
        self.batches = []
        self.asked = []

    def answer(self, asked):
        self.batches.append(len(asked))
        self.asked.extend(asked)
        return Answered([self.one(one.query, one.question) for one in asked], calls=len(asked))

    def one(self, query, question):
        best_first = tuple(sorted(question.members, key=self.truths[query].__getitem__))
        return best_first if isinstance(question, Order) else best_first[:1]


class Noisy(Perfect):
    """Errs, ties and says nothing at random; an answer depends on its question alone, so pairs contradict."""

    def __init__(self, *truths, errs=0.3, seed=1):
        super().__init__(*truths)
        self.errs, self.seed = errs, seed

    def one(self, query, question):
        chance = random.Random(f"{self.seed} {query} {question}")
        if chance.random() > self.errs:
            return super().one(query, question)
        members = list(question.members)
        chance.shuffle(members)
        if isinstance(question, Order):
            return tuple(members)
        return tuple(members[:1]) if chance.random() < 0.5 else ()


class Graded(Noisy):
    """Errs as `Noisy` does, and tells of pairs how sure it is, at random."""

    def one(self, query, question):
        answer = super().one(query, question)
        if not isinstance(question, Compare) or not answer:
            return answer
        return Preference(answer[0], random.Random(f"{self.seed} {query} {question} sure").uniform(1e-9, 1))


class Circular(Perfect):
    """Rock, paper, scissors: each hit beats its follower, and no order is right."""

    def one(self, query, question):  # noqa: ARG002
        members = question.members
        if isinstance(question, Compare):
            a, b = members
            return (a,) if (b - a) % 3 == 1 else (b,) if (a - b) % 3 == 1 else ()
        if isinstance(question, Best):
            return (max(members, key=lambda hit: (hit % 3, hit)),)
        return members[::-1]
