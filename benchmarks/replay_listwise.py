"""Published listwise runs from the recorded outputs of their models, and what had to be repaired.

    python benchmarks/replay_listwise.py         # RANKLOOM_DATA holds llm_transcripts and candidates

TREC DL 2019, BM25's first hundred (or twenty) passages of 43 queries, windows of 20, step 10. Each output is read by
rankloom and decides what the next window holds, so one that is read otherwise makes another ranking. Outputs stand in
the recordings query by query; the test suite also compares every prompt, to the letter.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rankloom import Run
from rankloom.eval import load_collection, sources
from rankloom.eval.candidates import read_candidates
from rankloom.rerank.llm.parsing import read_order
from rankloom.rerank.sorting import Answer, Answered, Asked, Windows, sort_hits

RECORDINGS = {
    "rankvicuna.top100": 100,
    "rankvicuna.top20": 20,
    "vicuna-7b.top100": 100,
    "vicuna-13b.top100": 100,
}
KINDS = ("repeated", "unknown", "missing", "unreadable")


class Recorded:
    """Answers from a recording; counts repairs."""

    calls_each = 1

    def __init__(self, responses: Sequence[str], queries: int) -> None:
        self.responses, self.windows = responses, len(responses) // queries
        self.asked: Counter[int] = Counter()
        self.repairs: Counter[str] = Counter()
        self.repaired = 0

    def answer(self, asked: Sequence[Asked]) -> Answered:
        """The next answer of each query."""
        return Answered([self._one(one) for one in asked])

    def _one(self, one: Asked) -> Answer:
        """One answer."""
        members = one.question.members
        found = read_order(self.responses[one.query * self.windows + self.asked[one.query]], len(members))
        self.asked[one.query] += 1
        repairs = dict(found.repairs) if found.order else {"unreadable": 1}
        self.repairs.update(repairs)
        self.repaired += bool(repairs)
        return tuple(members[place] for place in found.order)


def published(path: Path) -> dict[str, list[str]]:
    """Query id -> document ids of a published run; nothing if there is none."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        query_id, _, doc_id, *_ = line.split()
        found.setdefault(query_id, []).append(doc_id)
    return found


def main() -> None:
    """Print the table."""
    folder = sources.data_folder()
    first = read_candidates(folder / "candidates" / "dl19" / "bm25.jsonl")
    collection = load_collection("candidates/dl19/bm25")
    print(f"{'recording':<20}{'nDCG@10':>9}{'as published':>14}{'outputs':>9}{'repaired':>10}", end="")
    print("".join(f"{kind:>12}" for kind in KINDS))
    for name, depth in RECORDINGS.items():
        lines = (folder / "llm_transcripts" / f"dl19.{name}.jsonl").read_text().splitlines()
        recorded = Recorded([json.loads(line)["response"] for line in lines], len(first))
        sortings = [Windows(depth) for _ in first.queries]
        outcome = sort_hits(sortings, recorded, stage="replay")
        ids = {query_id: list(hits.doc_ids) for query_id, hits in first.items()}
        orders = {
            query_id: [found[place] for place in sorting.order()] + found[depth:]
            for (query_id, found), sorting in zip(ids.items(), sortings, strict=True)
        }
        scores = {query_id: {doc: -float(rank) for rank, doc in enumerate(docs)} for query_id, docs in orders.items()}
        run = Run.from_dict(scores, queries={query.id: query.text for query in first.queries})
        ndcg = collection.evaluate(run, ["nDCG@10"]).means["nDCG@10"]
        wanted = published(folder / "llm_transcripts" / f"dl19.{name}.run.txt")
        same = f"{sum(orders[one] == docs for one, docs in wanted.items())}/{len(wanted)}" if wanted else "-"
        print(f"{name:<20}{ndcg:>9.4f}{same:>14}{outcome.questions:>9}{recorded.repaired:>10}", end="")
        print("".join(f"{recorded.repairs[kind]:>12}" for kind in KINDS))


if __name__ == "__main__":
    main()
