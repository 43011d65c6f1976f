"""Reranking and pruning in one pass, beside reranking alone by the same weights: how much longer it takes.

`python benchmarks/joint_pass.py` reads the 100 BM25 candidates of each of some queries of TREC DL 2019
(RANKLOOM_DATA/candidates/dl19) with `Provence` and with `CrossEncoder`, on the processor, whole stages without a cache:
splitting into sentences, tokenising, the pass, and the choice of sentences. Candidates are passages of 80 tokens or so;
of a document that is longer than a block, `Provence` reads all of it and `CrossEncoder` the beginning, so that their
times are no longer to be compared.

The model is an adapter of `rankloom.provence_adapter` (`--model`, a folder or a name), or an untrained one on
all-MiniLM-L6-v2 whose second head reads below the last layer: the time does not depend on the weights. The
cross-encoder has the same backbone, changes and first head. The stages take turns on each query, in turns of order;
times are medians over queries and rounds, ratios the medians of theirs. `wall` is what a user waits for; `processor`
adds up all threads, and says more where others use the machine. Scores are checked to be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from rankloom import Document, Run, Session, Stage
from rankloom import cross_encoder_adapter as cross
from rankloom import provence_adapter as joint
from rankloom.adapter import read_weights, restore
from rankloom.encoders.sentence_model import sentence_model
from rankloom.models import resolve_model
from rankloom.rerank import CrossEncoder, Provence

ALONE, JOINT = "CrossEncoder", "Provence"


def untrained(folder: Path, session: Session) -> Path:
    """An adapter whose heads are arbitrary and whose changes are none yet."""
    import torch

    torch.manual_seed(0)
    found = resolve_model("all-MiniLM-L6-v2", offline=True, stage="benchmark")
    backbone = sentence_model(found, session, precision="float32", stage="benchmark").model
    settings = joint.ProvenceSettings(found.name, 512, below_last=True)
    joint.save_adapter(joint.adapted(backbone, settings), folder, settings)
    return folder


def cross_encoder_of(adapter: Path, folder: Path, session: Session) -> Path:
    """The cross-encoder inside a joint model, as an adapter of its own."""
    settings = joint.read_settings(adapter)
    shared = {name: getattr(settings, name) for name in cross.CrossEncoderSettings.__dataclass_fields__}
    own = cross.CrossEncoderSettings(**shared)
    found = resolve_model(own.backbone, offline=True, stage="benchmark")
    encoder = cross.adapted(sentence_model(found, session, precision="float32", stage="benchmark").model, own)
    weights = {name: one for name, one in read_weights(adapter).items() if not name.startswith("token_head.")}
    restore(cross.trained(encoder), weights, stage="benchmark")
    cross.save_adapter(encoder, folder, own)
    return folder


def candidates(folder: Path, queries: int, depth: int, session: Session) -> list[Run]:
    """A run of the best candidates for each query."""
    with (folder / "candidates" / "dl19" / "bm25.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(queries), strict=False)]
    return [
        Run.from_documents(
            row["query"], [Document(hit["doc_id"], hit["text"]) for hit in row["hits"][:depth]], session=session
        )
        for row in rows
    ]


def check(joint_run: Run, alone: Run) -> tuple[int, int]:
    """Refuse to time two stages that do not compute the same.

    Returns:
        How many scores were the same, and how many can not be, for the cross-encoder cuts the text.
    """
    (one,), (other,) = joint_run.values(), alone.values()
    cut = {note.doc_id for note in alone.ledger.notes if note.kind == "truncated"}
    expected = {hit.doc_id: hit.score for hit in other if hit.doc_id not in cut}
    found = {hit.doc_id: hit.score for hit in one if hit.doc_id not in cut}
    apart = max(abs(found[doc_id] - score) for doc_id, score in expected.items())
    if apart > 1e-3 * float(np.ptp(list(expected.values()))):
        raise SystemExit(f"the scores differ by {apart}")
    if not all(hit.spans for hit in one):
        raise SystemExit("a document has no sentences")
    return len(expected), len(cut)


def timed(stages: dict[str, Stage], runs: list[Run], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds, by the wall and of processors, of each stage on each query and round."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in stages}
    for turn in range(rounds):
        for number, run in enumerate(runs):
            order = list(stages.items())
            for name, stage in order if (turn + number) % 2 else reversed(order):
                wall, processor = time.perf_counter(), time.process_time()
                stage.run(run)
                seconds[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return seconds


def compared(own: list[tuple[float, float]], alone: list[tuple[float, float]], clock: int) -> str:
    """Cells: the median by a clock, and of the ratios to the cross-encoder's times."""
    ratio = statistics.median(one[clock] / other[clock] for one, other in zip(own, alone, strict=True))
    return f"{statistics.median(one[clock] for one in own):.3f} | {ratio:.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="an adapter; default: an untrained one")
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--depth", type=int, default=100, help="candidates of each query")
    parser.add_argument("--splitter", default="syntok")
    options = parser.parse_args()
    session = Session(offline=True, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        if options.model:
            adapter = resolve_model(options.model, offline=True, stage="benchmark").path
        else:
            adapter = untrained(Path(folder) / "joint", session)
        alone = cross_encoder_of(adapter, Path(folder) / "alone", session)
        stages: dict[str, Stage] = {
            ALONE: CrossEncoder(str(alone), precision="float32"),
            JOINT: Provence(str(adapter), splitter=options.splitter),
            "Provence, no pruning": Provence(str(adapter), prune=False, aggregate="first", splitter=options.splitter),
        }
        runs = candidates(
            Path(os.environ.get("RANKLOOM_DATA", "../shared/data")), options.queries, options.depth, session
        )
        checked = [check(stages[JOINT].run(run), stages[ALONE].run(run)) for run in runs]
        stages["Provence, no pruning"].run(runs[0])
        seconds = timed(stages, runs, options.rounds)
    equal, cut = (sum(numbers) for numbers in zip(*checked, strict=True))
    print(f"{equal} scores are the same; {cut} texts are longer than a block.\n")
    print("| stage | wall seconds a query | times CrossEncoder | processor seconds | times CrossEncoder |")
    print("|---|---:|---:|---:|---:|")
    for name, own in seconds.items():
        print(f"| {name} | {' | '.join(compared(own, seconds[ALONE], clock) for clock in (0, 1))} |")


if __name__ == "__main__":
    main()
