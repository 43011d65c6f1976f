"""PreTTR: reranking by a cross-encoder of which the documents' part can be computed ahead.

MacAvaney et al.: Efficient Document Re-Ranking for Transformers by Precomputing Term Representations, SIGIR 2020
(arXiv:2004.14255).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.codec import pack, unpack
from rankloom.errors import DataError
from rankloom.fingerprint import digest
from rankloom.parameter_kinds import ModelName
from rankloom.rerank.model_reranker import Batch, ModelReranker
from rankloom.session import Session

_VERSION = 1  # of stored states


class PreTTR(ModelReranker):
    """Rerank by a PreTTR model; `rankloom train` makes one (`student: {architecture: prettr}`).

    Args:
        model: The folder of a model, or its name; see `rankloom.models.resolve_model`.
        depth: How many hits of each query are scored.
        batch_size: Pairs in one batch. Scores depend on it only by float noise.
        store_documents: Whether the session's cache keeps what the lower layers make of each document, in half
            precision (100 KB for 128 tokens of 384 numbers), for all queries to come. States are rounded whether they
            come from the cache or not, so scores do not depend on it.

    Raises:
        UsageError: A parameter is out of range.
    """

    name = "prettr"

    def __init__(
        self, model: ModelName, *, depth: int = 100, batch_size: int = 32, store_documents: bool = False
    ) -> None:
        super().__init__(model, depth=depth, batch_size=batch_size)
        self.store_documents = store_documents

    @staticmethod
    def load_model(folder: str, device: str, dtype: Any) -> Any:
        """See `ModelReranker.load_model`."""
        from rankloom.rerank.prettr_model import PreTTRModel

        return PreTTRModel.load(folder, dtype).to(device)

    def score_batch(self, model: Any, queries: list[str], documents: list[str], session: Session) -> Batch:
        """See `ModelReranker.score_batch`."""
        import torch

        with torch.inference_mode():
            left, right = model.tokens(queries, "query"), model.tokens(documents, "document")
            if self.store_documents:
                states = self._stored(model, documents, session)
            else:
                states = model.documents(right, left.mask)
            scores = model.upper(model.lower(left, "query"), left.mask, states, right.mask)
            read = left.mask.sum(dim=1) + right.mask.sum(dim=1)
        return Batch(scores.float().cpu().numpy(), read.cpu().numpy(), np.array(left.cut) + np.array(right.cut))

    def _stored(self, model: Any, documents: Sequence[str], session: Session) -> Any:
        """States of documents below the split, from the cache as far as it has them, padded to one length."""
        import torch

        space = digest("prettr states", _VERSION, self.identity(session), session.numerics())
        keys = {text: digest(space, text) for text in documents}
        known = _known(session, list(keys.values()))
        missing = [text for text, key in keys.items() if key not in known]
        if missing:
            tokens = model.tokens(missing, "document")
            states = model.documents(tokens).half().cpu().numpy()
            lengths = tokens.mask.sum(dim=1).tolist()
            fresh = {keys[text]: states[place, : lengths[place]] for place, text in enumerate(missing)}
            if session.cache is not None:
                session.cache.put({key: pack({}, {"states": one}) for key, one in fresh.items()}, stage=self.name)
            known.update(fresh)
        rows = [torch.from_numpy(known[keys[text]]) for text in documents]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return padded.to(model.model.device, model.model.dtype)


def _known(session: Session, keys: list[str]) -> dict[str, NDArray[np.generic]]:
    """States that the cache holds; damaged ones are computed again."""
    known: dict[str, NDArray[np.generic]] = {}
    for key, data in (session.cache.get(keys) if session.cache is not None else {}).items():
        try:
            known[key] = unpack(data)[1]["states"]
        except DataError:
            continue
    return known
