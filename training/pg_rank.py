"""Neural PG-RANK: a ranker trained further for nDCG itself: the recipe, from queries to a model.

Gao et al.: Policy-Gradient Training of Language Models for Ranking, 2023 (arXiv:2310.04407). Killed at any moment, a
training goes on from its last checkpoint when it is run again.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from rankloom.files import MANIFEST, write_json
from rankloom.models import model_identity
from rankloom.session import Session
from rankloom.training.candidate_lists import CandidateList, prepared
from rankloom.training.encoder_training import before_training, some_of
from rankloom.training.pg_rank_card import pg_rank_card
from rankloom.training.pg_rank_config import PgRankRecipe
from rankloom.training.training_folder import Trained, TrainingFolder, require_training

if TYPE_CHECKING:
    from rankloom.training.policies import Policy

_LISTS = 100  # of those trained on, by which it is told what training has raised
_log = logging.getLogger("rankloom")


def train(recipe: PgRankRecipe, session: Session, *, output: Path) -> Trained:
    """Carry a recipe out, or go on with it.

    Args:
        recipe: What to do.
        session: Where pipelines keep their indexes, and whether the network may be used.
        output: Folder of checkpoints, the model or adapter, and the manifest.

    Raises:
        NotFoundError: A source or a model is not there.
        DataError: The sources give no example, the model does not rank, or the folder holds another training.
        MissingExtraError: The extra `train` is not installed.
    """
    import torch

    folder = TrainingFolder(recipe, output)
    require_training()
    from rankloom.training.pg_rank_fit import fit, utility
    from rankloom.training.policies import ORGANISATION, load_policy

    lists, pool, data = prepared(recipe, session, output)
    torch.manual_seed(recipe.seed)
    policy = load_policy(recipe, session)
    folder.mark(
        [*lists, pool.queries, pool.documents, pool.relevant, pool.candidates],
        model=model_identity(recipe.encoder.model, stage="training", organisation=ORGANISATION[policy.stage]),
    )
    cut = _cut(policy, lists, seed=recipe.seed)
    some = some_of(lists, _LISTS, seed=recipe.seed)

    def trained_on() -> dict[str, float]:
        return utility(policy, some, recipe.loss, seed=recipe.seed)

    start = before_training(output / "start.json", lambda: policy.measured(pool))
    start_on = before_training(output / "start-trained-on.json", trained_on)
    if recipe.training.steps:
        fit(policy, lists, recipe, pool=pool, checkpoints=output / "checkpoints", progress=session.progress)
    manifest = folder.manifest(
        data,
        examples=len(lists),
        held_out=len(pool),
        documents_cut=cut,
        start=start,
        end=policy.measured(pool),
        trained_on={"lists": len(some), "start": start_on, "end": trained_on()},
    )
    trained = output / policy.folder
    policy.save(trained, card=pg_rank_card(manifest, stage=policy.stage), manifest=manifest)
    write_json(output / MANIFEST, manifest)
    return Trained(trained, policy.stage, manifest)


def _cut(policy: Policy, lists: list[CandidateList], *, seed: int) -> float:
    """The share of documents that are longer than is read; told where there are any."""
    share = policy.share_cut([one.query for one in lists], [one.texts[0] for one in lists], seed=seed)
    if share:
        _log.warning("training reads the beginning of documents; %.0f%% of them are longer", 100 * share)
    return share
