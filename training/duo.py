"""Training a model that compares two documents: the recipe, from queries to an adapter.

Nogueira et al.: Multi-Stage Document Ranking with BERT, 2019 (arXiv:1910.14424), duoBERT. Killed at any moment, a
training goes on from its last checkpoint when it is run again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rankloom.cross_encoder_adapter import save_adapter
from rankloom.files import MANIFEST, write_json
from rankloom.rerank.duo_input import token_ids
from rankloom.rerank.duo_model import encoder_frame
from rankloom.session import Session
from rankloom.training.contrasts import Row
from rankloom.training.cross_encoder import learn
from rankloom.training.duo_card import duo_card
from rankloom.training.duo_config import DuoRecipe
from rankloom.training.encoder_training import some_of
from rankloom.training.training_folder import Trained, require_training

_SAMPLE = 2000  # rows whose lengths are looked at
_log = logging.getLogger("rankloom")


def train(recipe: DuoRecipe, session: Session, *, output: Path) -> Trained:
    """Carry a recipe out, or go on with it.

    Args:
        recipe: What to do.
        session: Where pipelines keep their indexes, and whether the network may be used.
        output: Folder of checkpoints, the adapter, and the manifest.

    Raises:
        NotFoundError: A source or a model is not there.
        DataError: The sources give no example, the adapter to start from is of other sizes, or the folder holds another
            training.
        MissingExtraError: The extra `train` is not installed.
    """
    require_training()
    from rankloom.training.duo_fit import fit, measured

    learnt = learn(recipe, session, output, share_cut=_cut, measure=partial(measured, depth=recipe.depth), fit=fit)
    compares, manifest = replace(learnt.settings, documents=2), learnt.manifest
    save_adapter(learnt.model, output / "adapter", compares, card=duo_card(manifest), manifest=manifest)
    write_json(output / MANIFEST, manifest)
    return Trained(output / "adapter", "duo", manifest)


def _cut(model: Any, rows: Sequence[Row], seed: int) -> float:
    """The share of relevant documents that are longer than what is read of them, of some; told where there are any."""
    drawn, frame = some_of(rows, _SAMPLE, seed=seed), encoder_frame(model.tokenizer, model.max_seq_length)
    queries = token_ids(model.tokenizer, [row.query for row in drawn])
    documents = token_ids(model.tokenizer, [row.positive for row in drawn])
    longer = [
        len(document) > frame.document_share(len(query)) for query, document in zip(queries, documents, strict=True)
    ]
    share = sum(longer) / len(longer)
    if share:
        _log.warning(
            "training reads %s tokens of a query and two documents; %.0f%% of the relevant documents are longer than"
            " their part",
            model.max_seq_length,
            100 * share,
        )
    return share
