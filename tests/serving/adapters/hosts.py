"""What the tests of all adapters share: stages, also ones that wait or fail, and what must come back."""

import asyncio
import threading

from rankloom.ranking import Ranking, ScoreKind
from rankloom.stage import Reranker
from tests.rankloom.stages_for_tests import Lengths, Sentences, Words

#: Everything that a stage of an adapter may do, without a model: search, rerank, prune.
QUESTION = "blue sky"
SEARCH = Words()
RERANK = Lengths(depth=10)
PRUNE = Sentences(threshold=0.9)


class Opaque:
    """Metadata that can neither be written as JSON nor be copied."""

    def __init__(self):
        self.lock = threading.Lock()


class Waits:
    """Lets a stage go on only when the event loop has set it free."""

    def __init__(self):
        self.free = threading.Event()

    def fingerprint(self):
        return "waits"


class WaitingWords(Words):
    """Searches when it may."""

    name = "waiting_words"

    def __init__(self, *, waits, k=1000):
        super().__init__(k=k)
        self.waits = waits

    def __call__(self, run):
        assert self.waits.free.wait(timeout=20)
        return super().__call__(run)


class WaitingLengths(Lengths):
    """Reranks when it may."""

    name = "waiting_lengths"

    def __init__(self, *, waits):
        super().__init__(depth=10)
        self.waits = waits

    def __call__(self, run):
        assert self.waits.free.wait(timeout=20)
        return super().__call__(run)


class Breaks(Reranker):
    """Fails."""

    name = "breaks"

    def __call__(self, _run):
        raise ZeroDivisionError("oops")


class Zeros(Reranker):
    """Scores everything 0, as ranks would begin."""

    name = "zeros"

    def __call__(self, run):
        hits = run.hits(stage=self.name)
        lists = [[(doc_id, 0.0) for doc_id in hits.doc_ids(number)] for number in range(len(run))]
        return run.ranked(Ranking.from_lists(lists, stage=self.name, kind=ScoreKind.PROBABILITY))


async def finishes_when_freed(waits, work):
    """The result of some work that waits; the event loop must be free meanwhile, or nobody could free it."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0.05)
    assert not task.done()
    waits.free.set()
    return await task


def pieces(hits):
    """What adapters must bring of each hit: id, text, scores, rank and offsets, as the pipeline itself has them."""
    return [
        (
            hit.doc_id,
            hit.pruned_text,
            hit.score,
            hit.rank,
            hit.trace[0].score,
            [] if hit.spans is None else [(span.start, span.end, span.probability, span.kept) for span in hit.spans],
        )
        for hit in hits
    ]


def told(doc_id, text, score, metadata):
    """The same of a host's document."""
    spans = [(one["start"], one["end"], one["probability"], one["kept"]) for one in metadata.get("spans", [])]
    return (doc_id, text, score, metadata["rank"], metadata["retrieval_score"], spans)
