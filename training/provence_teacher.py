"""A cross-encoder's scores of the passages that a Provence model learns from: asked for once, and kept."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rankloom.corpus import MemoryDocuments
from rankloom.eval.labelled_sentences import LabelledText
from rankloom.files import write_json
from rankloom.fingerprint import digest
from rankloom.records import Document, Query
from rankloom.rerank import CrossEncoder
from rankloom.run import Run
from rankloom.session import Session

_log = logging.getLogger("rankloom")


class TeacherScores(NamedTuple):
    """What a teacher says of passages.

    Args:
        scores: Of each.
        cut: How many it does not read to their ends.
    """

    scores: list[float]
    cut: int


def teacher_scores(passages: Sequence[LabelledText], model: str, session: Session, memory: Path) -> TeacherScores:
    """The raw score of each passage for its question, with its title before it as rerankers read it.

    Args:
        passages: What is to be scored.
        model: A model of the stage `cross_encoder`.
        session: How it is carried out; its cache keeps scores too.
        memory: A file for the scores; those of the same passages by the same model are read from it.

    Raises:
        NotFoundError: The model is not to be had.
        DataError: It is no cross-encoder.
    """
    by_question: dict[str, list[int]] = {}
    for place, passage in enumerate(passages):
        by_question.setdefault(passage.question, []).append(place)
    deepest = max(len(places) for places in by_question.values())
    stage = CrossEncoder(model, precision="float32", depth=deepest)
    made_of = digest("cut", stage.identity(session), [digest(one) for one in passages])
    if memory.is_file():
        known = json.loads(memory.read_text(encoding="utf-8"))
        if known["made_of"] == made_of:
            return TeacherScores(known["scores"], known["cut"])
    documents = MemoryDocuments(Document(str(n), one.text, title=one.title) for n, one in enumerate(passages))
    queries = [Query(str(number), question) for number, question in enumerate(by_question)]
    asked = {
        query.id: {str(place): 0.0 for place in places}
        for query, places in zip(queries, by_question.values(), strict=True)
    }
    run = Run.from_dict(asked, queries=queries, documents=documents, session=session)
    told = stage.run(run, session=session)
    if cut := told.ledger.counts().get("truncated", 0):
        _log.warning("the teacher %s does not read %s of %s passages to their ends", model, cut, len(passages))
    found = {int(doc_id): score for some in told.to_dict().values() for doc_id, score in some.items()}
    scores = [found[place] for place in range(len(passages))]
    write_json(memory, {"made_of": made_of, "model": model, "scores": scores, "cut": cut})
    return TeacherScores(scores, cut)
