"""How well a query encoder that reads feedback searches, on queries that were held out from training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rankloom.eval.measures import evaluate
from rankloom.models import LoadedModel
from rankloom.prf.feedback_encoder import Tokens, sequence_vectors
from rankloom.prf.feedback_layout import FeedbackLayout, Rendered, Special, render
from rankloom.prf.vector import VectorPRF
from rankloom.retrieval.dense import Dense
from rankloom.run import Run
from rankloom.session import Session
from rankloom.training.prf_examples import FeedbackData, HeldOut

METRIC = "nDCG@10"
_CUT = 10


class Reader:
    """Lays queries and documents out for an encoder, and brings what it gives to the length of its kind.

    Args:
        encoder: A model of `rankloom.prf.feedback_model.feedback_model`.
        layout: What it reads.
    """

    def __init__(self, encoder: Any, layout: FeedbackLayout) -> None:
        tokenizer = encoder[0].tokenizer
        self.layout, self.special = layout, Special.of(tokenizer, stage="training")
        self.padding = int(tokenizer.pad_token_id or 0)
        self.normalized = encoder.similarity_fn_name == "cosine"
        self._tokens = Tokens(tokenizer)

    def sequence(self, query: str, documents: Sequence[str]) -> Rendered:
        """What the encoder reads."""
        tokens = [self._tokens.of(text) for text in documents]
        return render(self._tokens.of(query), tokens, self.layout, self.special)

    def brought(self, vectors: Tensor) -> Tensor:
        """Vectors as they are compared: of length 1 where that is by cosine."""
        return torch.nn.functional.normalize(vectors.float()) if self.normalized else vectors.float()

    def vectors(self, encoder: Any, queries: Sequence[str], documents: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """Vectors of queries with feedback; of those without any, of the query alone in the same layout."""
        sequences = [self.sequence(query, texts) for query, texts in zip(queries, documents, strict=True)]
        loaded = LoadedModel(encoder, str(encoder.device))
        return sequence_vectors(loaded, sequences, normalize=self.normalized)[0]


def measured(encoder: Any, data: FeedbackData, reader: Reader) -> dict[str, float]:
    """`nDCG@10` of the held-out queries, in all documents of their source; nothing if none was held out."""
    training = encoder.training
    encoder.eval()

    def ranked(stage: Dense, held_out: HeldOut) -> Run:
        texts = [query.text for query in held_out.queries]
        vectors = reader.vectors(encoder, texts, held_out.feedback)
        queries = [query.with_vector(stage.space, one) for query, one in zip(held_out.queries, vectors, strict=True)]
        return stage.run(queries, session=_SESSION)

    found = _mean(data, ranked)
    encoder.train(training)
    return found


def others(data: FeedbackData, docs: int) -> dict[str, dict[str, float]]:
    """The same of what training is to beat: the first stage alone, and with the average of its vectors (Vector PRF).

    Args:
        data: Held-out queries and first stages.
        docs: Feedback documents.
    """
    return {
        "without feedback": _mean(data, lambda stage, held_out: stage.run(held_out.queries, session=_SESSION)),
        f"average of {docs}": _mean(
            data,
            lambda stage, held_out: (stage.at_depth(docs) >> VectorPRF(docs=docs) >> stage).run(
                held_out.queries, session=_SESSION
            ),
        ),
    }


_SESSION = Session(offline=True)


def _mean(data: FeedbackData, ranked: Callable[[Dense, HeldOut], Run]) -> dict[str, float]:
    """The mean over the queries of all sources."""
    values: list[float] = []
    for name, held_out in data.held_out.items():
        run = ranked(data.stages[name].at_depth(_CUT), held_out)
        values.extend(evaluate(run, held_out.relevant, [METRIC]).per_query[METRIC].values())
    return {METRIC: round(float(np.mean(values)), 4)} if values else {}
