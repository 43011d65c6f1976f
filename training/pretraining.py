"""Training a sentence encoder on a corpus that has no queries: the recipe, from documents to a model.

Chang et al.: Pre-training Tasks for Embedding-based Large-scale Retrieval, ICLR 2020 (arXiv:2002.03932), with in-batch
negatives only. Killed at any moment, it goes on from its last checkpoint when it is run again.

Left out of the paper: its baseline, a masked language model on the same texts, and projections of queries and documents
of their own, since one encoder serves both here. No corpus with links is at hand: the recipe that is shipped has ICT
alone, and no result of BFS or WLP is reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rankloom.corpus import Corpus
from rankloom.errors import DataError, NotFoundError
from rankloom.eval.collections import cached_corpus
from rankloom.eval.sources import data_folder
from rankloom.session import Session
from rankloom.training.contrasts import Row
from rankloom.training.encoder_training import train_encoder
from rankloom.training.pages import Pages
from rankloom.training.pool import Pool
from rankloom.training.pretraining_config import CorpusSource, PretrainingRecipe, Tasks
from rankloom.training.pretraining_tasks import PseudoPair, body_first, inverse_cloze, link_prediction
from rankloom.training.training_folder import Trained, TrainingFolder, require_training

_STAGE = "training"


def train(recipe: PretrainingRecipe, session: Session, *, output: Path) -> Trained:
    """Carry a recipe out, or go on with it.

    Args:
        recipe: What to do.
        session: Where corpora are cached, and whether the network may be used.
        output: Folder of checkpoints, the model and the manifest.

    Raises:
        NotFoundError: A corpus or the encoder is not there.
        DataError: A corpus has not what a task needs, or the folder holds another training.
        MissingExtraError: The extra `train` is not installed.
    """
    folder = TrainingFolder(recipe, output)
    require_training()
    rows: list[Row] = []
    pool = Pool()
    data: list[dict[str, Any]] = []
    for source in recipe.sources:
        corpus = read_corpus(source, session)
        counts = Counter({"documents": len(corpus)})
        for task, pairs, skipped in task_pairs(recipe.tasks, corpus, source, counts, seed=recipe.seed):
            held = _held_out(pairs, source, task, pool)
            kept = [_row(pair, f"{source.name} {task}") for pair in pairs if pair.group not in held]
            counts[f"{task} pairs"], counts[f"{task} pairs held out"] = len(kept), len(held)
            counts.update({f"{task}: {why}": number for why, number in skipped.items()})
            rows.extend(kept)
        data.append({"name": source.name, "licence": source.licence, "counts": dict(+counts)})
    if not rows:
        raise DataError("the corpora give no pair", stage=_STAGE, value=[one.name for one in recipe.sources])
    return train_encoder(folder, recipe, rows, pool, data=data, session=session)


def read_corpus(source: CorpusSource, session: Session) -> Corpus:
    """The corpus of a source, in the session's cache.

    Raises:
        NotFoundError: It is not there.
    """
    path = Path(source.corpus)
    root = data_folder()
    if not path.exists() and root is not None:
        path = root / source.corpus
    if not path.exists():
        raise NotFoundError(
            "there is no such corpus", stage=_STAGE, value=source.corpus, fix="let RANKLOOM_DATA name its folder"
        )
    return cached_corpus(path, session)


def task_pairs(
    tasks: Tasks, corpus: Corpus, source: CorpusSource, counts: Counter[str], *, seed: int
) -> Iterator[tuple[str, Iterator[PseudoPair], Counter[str]]]:
    """Tasks, their pairs, and counts of what gave a task none, which are whole when its pairs are read.

    Args:
        tasks: Which, and how many pairs.
        corpus: The passages.
        source: Where metadata tells pages.
        counts: Counts what no task can learn from, once for all of them.
        seed: Of every draw.

    Raises:
        DataError: The corpus has not what a task needs.
    """
    if tasks.ict is not None:
        ict, skipped = tasks.ict, Counter[str]()
        pairs = inverse_cloze(corpus, keep=ict.keep, each=ict.each, shortest=ict.shortest, seed=seed, skipped=skipped)
        yield "ict", islice(pairs, ict.limit), skipped
    if tasks.bfs is None and tasks.wlp is None:
        return
    linked = tasks.wlp is not None
    pages = Pages(corpus, linked=linked, keys=source.keys, task="wlp" if linked else "bfs")
    counts.update(pages.skipped)
    for task, how, make in (("bfs", tasks.bfs, body_first), ("wlp", tasks.wlp, link_prediction)):
        if how is not None:
            skipped = Counter()
            pairs = make(corpus, pages, each=how.each, shortest=how.shortest, seed=seed, skipped=skipped)
            yield task, islice(pairs, how.limit), skipped


def _held_out(pairs: Iterator[PseudoPair], source: CorpusSource, task: str, pool: Pool) -> set[str]:
    """The groups of the first pairs, one of each group, which go into the pool."""
    held: dict[str, PseudoPair] = {}
    while len(held) < source.validation:
        pair = next(pairs, None)
        if pair is None:
            break
        held.setdefault(pair.group, pair)
    name = f"{source.name} {task}"
    for group, pair in held.items():
        answers = [other.document_from for other in held.values() if other.shown in pair.relevant]
        pool.put(name, group, pair.query, answers)
        pool.documents[f"{name}\t{pair.document_from}"] = pair.document
    return set(held)


def _row(pair: PseudoPair, name: str) -> Row:
    """A pair as it is trained on; its negatives are the other documents of the batch."""
    return Row(pair.query, pair.document, (), name, frozenset([pair.shown]), pair.relevant)
