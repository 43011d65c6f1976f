"""How many model calls sorting takes, beside the reference implementation of pairwise and setwise prompting.

    python benchmarks/sorting_calls.py --reference FOLDER   # a checkout of https://github.com/ielab/llm-rankers

Both sort the same lists with the same answers: a comparator that knows the true order, so that the ten best are the
same, and one that errs. Of the reference its own code is run, with a `compare` that asks the comparator; the calls of
its all-pair loop are counted. A call is a prompt: a pair takes two, one for each order.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any
from unittest.mock import MagicMock

from rankloom.rerank.sorting import (
    AllPair,
    Answered,
    Bubblesort,
    Heapsort,
    Order,
    Sorting,
    Tournament,
    best_by_pairs,
    best_of_set,
    sort_hits,
)

HITS, BEST, LISTS = 100, 10, 43
LABELS = "ABCDEFGHIJKLMNOPQRSTUVW"


class Truth:
    """Knows a list's true order; errs on a share of the questions, always in the same way."""

    def __init__(self, order: list[int], errs: float, seed: int) -> None:
        self.rank = {hit: place for place, hit in enumerate(order)}
        self.errs, self.seed, self.calls_each = errs, seed, 1

    def best(self, members: tuple[int, ...]) -> int:
        """The best of some hits."""
        ranked = sorted(members, key=self.rank.__getitem__)
        chance = random.Random(f"{self.seed} {sorted(members)}")
        return chance.choice(ranked) if chance.random() < self.errs else ranked[0]

    def answer(self, asked: list[Any]) -> Answered:
        """Answers to questions of rankloom."""
        answers = []
        for one in asked:
            members = one.question.members
            order = tuple(sorted(members, key=self.rank.__getitem__))
            answers.append(order if isinstance(one.question, Order) else (self.best(members),))
        return Answered(answers, calls=len(asked))


def lists(errs: float) -> list[Truth]:
    """Lists whose first stage is somewhat right: a hit stands some thirty places from where it belongs."""
    found = []
    for seed in range(LISTS):
        chance = random.Random(seed)
        found.append(Truth(sorted(range(HITS), key=lambda hit: hit + chance.gauss(0, 30)), errs, seed))
    return found


@dataclass(frozen=True)
class Setting:
    """An algorithm in both implementations.

    Args:
        name: What it is called in the table.
        each: Calls that a question takes.
        make: Makes it, given the number of hits.
        reference: Sorts by the reference; None where it has no such method.
    """

    name: str
    each: int
    make: Callable[[int], Sorting]
    reference: Callable[[Truth], tuple[list[int], int]] | None


def ours(make: Callable[[int], Sorting], truth: Truth) -> tuple[list[int], int]:
    """The best hits of a sorting of rankloom, and its questions."""
    sorting = make(HITS)
    outcome = sort_hits([sorting], truth, stage="benchmark")
    return sorting.order()[:BEST], outcome.questions


def reference(folder: Path) -> tuple[Any, Any]:
    """The rankers of the reference, imported without the packages that only its models need."""
    for name in ("tiktoken", "openai", "torch", "torch.utils", "torch.utils.data", "transformers", "tqdm"):
        sys.modules[name] = MagicMock(spec=types.ModuleType(name), __path__=[], name=name)
    for name in ("Dataset", "DataLoader"):
        setattr(sys.modules["torch.utils.data"], name, type(name, (), {}))
    for name in (
        "T5Tokenizer",
        "T5ForConditionalGeneration",
        "AutoConfig",
        "AutoTokenizer",
        "AutoModelForCausalLM",
        "DataCollatorWithPadding",
    ):
        setattr(sys.modules["transformers"], name, type(name, (), {}))
    sys.modules["tqdm"].tqdm = lambda some: some  # type: ignore[attr-defined]
    package = types.ModuleType("llmrankers")
    package.__path__ = [str(folder / "llmrankers")]
    sys.modules["llmrankers"] = package
    return (
        importlib.import_module("llmrankers.pairwise").PairwiseLlmRanker,
        importlib.import_module("llmrankers.setwise").SetwiseLlmRanker,
    )


def theirs(ranker: Any, truth: Truth, *, method: str, children: int = 0) -> tuple[list[int], int]:
    """The best hits of a ranker of the reference, and how often it has compared."""
    calls = 0

    def compare(_: str, docs: list[Any]) -> Any:
        nonlocal calls
        calls += 1
        if not children:
            won = truth.best((int(docs[0]), int(docs[1]))) == int(docs[0])
            return ["Passage A", "Passage B"] if won else ["Passage B", "Passage A"]
        members = [int(one.docid) for one in docs]
        if not members:  # it asks about windows that hold nothing
            return LABELS[0]
        return LABELS[members.index(truth.best(tuple(members)))]

    one = object.__new__(ranker)
    one.method, one.k, one.num_child, one.compare = method, BEST, children, compare
    hits = [types.SimpleNamespace(docid=str(hit), text=str(hit), score=0.0) for hit in range(HITS)]
    found = one.rerank("query", hits)
    return [int(hit.docid) for hit in found[:BEST]], calls


def settings(pairwise: Any, setwise: Any) -> list[Setting]:
    """The algorithms, and the methods of the reference that are the same."""
    found = [
        Setting("pairs, heapsort", 2, partial(Heapsort, k=BEST), partial(theirs, pairwise, method="heapsort")),
        Setting("pairs, sliding", 2, partial(Bubblesort, k=BEST), partial(theirs, pairwise, method="bubblesort")),
        Setting("pairs, tournament", 2, partial(Tournament, k=BEST, best_of=best_by_pairs), None),
    ]
    for c in (2, 3, 9, 19):
        sets: dict[str, Any] = {"k": BEST, "children": c, "best_of": best_of_set}
        found += [
            Setting(
                f"sets of {c + 1}, {method}",
                1,
                partial(sorting, **sets),
                partial(theirs, setwise, method=method, children=c),
            )
            for method, sorting in (("heapsort", Heapsort), ("bubblesort", Bubblesort))
        ]
        found.append(Setting(f"sets of {c + 1}, tournament", 1, partial(Tournament, k=BEST, size=c + 1), None))
    return found


def row(setting: Setting, some: list[Truth]) -> tuple[str, str, str]:
    """Mean calls of both, and for how many lists the best hits are the same."""
    mine = [ours(setting.make, truth) for truth in some]
    if any(
        truth.errs == 0 and best != sorted(truth.rank, key=truth.rank.__getitem__)[:BEST]
        for truth, (best, _) in zip(some, mine, strict=True)
    ):
        sys.exit(f"{setting.name}: true answers have not given the true best")
    own = f"{setting.each * mean(calls for _, calls in mine):.1f}"
    if setting.reference is None:
        return own, "-", "-"
    yours = [setting.reference(truth) for truth in some]
    same = sum(a[0] == b[0] for a, b in zip(mine, yours, strict=True))
    return own, f"{setting.each * mean(calls for _, calls in yours):.1f}", f"{same}/{len(some)}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True, help="a checkout of ielab/llm-rankers")
    pairwise, setwise = reference(parser.parse_args().reference)
    right, wrong = lists(0.0), lists(0.3)
    print(f"mean model calls a query; {LISTS} lists of {HITS} hits, the best {BEST}")
    print(f"{'':<24}{'true answers':>31}{'30% errors':>23}")
    print(f"{'':<24}{'rankloom':>10}{'reference':>11}{'same':>10}{'rankloom':>12}{'reference':>11}")
    every = Setting("pairs, all", 2, partial(AllPair, k=BEST), lambda _: ([], HITS * (HITS - 1) // 2))
    for setting in (every, *settings(pairwise, setwise)):
        own, yours, same = row(setting, right)
        own_wrong, yours_wrong, _ = row(setting, wrong)
        same = "-" if setting is every else same  # its loop is only counted
        print(f"{setting.name:<24}{own:>10}{yours:>11}{same:>10}{own_wrong:>12}{yours_wrong:>11}", flush=True)


if __name__ == "__main__":
    main()
