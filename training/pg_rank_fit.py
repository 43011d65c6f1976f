"""One training of a policy by the gradient of its expected nDCG, by the trainer of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from rankloom.errors import StageError
from rankloom.progress import Progress
from rankloom.training.candidate_lists import CandidateList
from rankloom.training.encoder_fit import TrainedAlone
from rankloom.training.loop import common_arguments, run_loop
from rankloom.training.pg_rank_config import PgRankRecipe, PolicyGradient
from rankloom.training.plackett_luce import ndcg, pg_rank, sampled_rankings
from rankloom.training.policies import Policy
from rankloom.training.pool import Pool

_METRIC = "nDCG@10"
_SAMPLES = 64  # rankings of each list by which utility is told


class _Lists(Dataset[CandidateList]):
    """Lists by number."""

    def __init__(self, lists: Sequence[CandidateList]) -> None:
        self.lists = lists

    def __len__(self) -> int:
        """How many there are."""
        return len(self.lists)

    def __getitem__(self, place: int) -> CandidateList:
        """One of them."""
        return self.lists[place]


class PolicyTrainer(TrainedAlone, Trainer):
    """The trainer of transformers for a policy.

    Args:
        how: The loss.
        held_out: Measured at every checkpoint.
        options: The library's.
    """

    def __init__(self, *, how: PolicyGradient, held_out: Pool, **options: Any) -> None:
        super().__init__(**options)
        self.how, self.held_out = how, held_out

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002  # the library's
    ) -> Any:
        """The loss of a batch; its value is minus the mean nDCG of the rankings that were drawn."""
        scores = model(inputs["queries"], inputs["documents"]).float()
        loss = pg_rank(scores, inputs["gains"], samples=self.how.samples, k=self.how.k)
        if not torch.isfinite(scores).all():
            raise StageError(
                "a score is not a finite number",
                stage="training",
                fix="lower training.learning_rate, and train into another folder",
            )
        return (loss, scores) if return_outputs else loss

    def evaluate(self, *given: Any, **more: Any) -> dict[str, float]:  # noqa: ARG002  # the library's
        """Measure the held-out queries."""
        metrics = {f"eval_{name}": value for name, value in self.model.measured(self.held_out).items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _load_best_model(self) -> None:
        """Go back to the best checkpoint."""
        self._load_from_checkpoint(str(self.state.best_model_checkpoint))


def fit(
    policy: Policy,
    lists: Sequence[CandidateList],
    recipe: PgRankRecipe,
    *,
    pool: Pool,
    checkpoints: Path,
    progress: Progress,
) -> None:
    """Train a policy, from the last checkpoint where there is one; its best checkpoint is what remains.

    Args:
        policy: What to train.
        lists: All of as many documents.
        recipe: Loss, steps, rates.
        pool: Measured at every checkpoint, to tell the best; if it is empty, the last one is.
        checkpoints: Folder of checkpoints, and of `losses.jsonl`, whose losses are minus the mean nDCG of the rankings
            that were drawn.
        progress: Told of every step.
    """
    chosen: dict[str, Any] = {}
    if len(pool):
        chosen = {
            "eval_strategy": "steps",
            "eval_steps": recipe.training.checkpoint,
            "load_best_model_at_end": True,
            "metric_for_best_model": f"eval_{_METRIC}",
            "greater_is_better": True,
        }
    examples = _Lists(lists)
    trainer = PolicyTrainer(
        how=recipe.loss,
        held_out=pool,
        model=policy,
        args=TrainingArguments(**common_arguments(recipe, checkpoints), **chosen, remove_unused_columns=False),
        train_dataset=examples,
        eval_dataset=examples,  # never read: `evaluate` measures what is held out
        data_collator=_batch,
    )
    run_loop(trainer, checkpoints, progress)


def utility(policy: Policy, lists: Sequence[CandidateList], how: PolicyGradient, *, seed: int) -> dict[str, float]:
    """What training raises, of the same lists and draws each time, and without dropout: the mean nDCG of rankings.

    Args:
        policy: Who ranks.
        lists: Some of those that are trained on.
        how: Depth of nDCG.
        seed: Of the draws, so that two policies are compared on the same.

    Returns:
        `sampled nDCG`, and `nDCG` of the rankings by score, both at the depth of `how`.
    """
    training = policy.training
    policy.eval()
    with torch.inference_mode():
        scores = torch.cat([policy([one.query], one.texts).float().cpu() for one in lists])
    policy.train(training)
    gains = torch.tensor([one.gains for one in lists])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = ndcg(gains, sampled_rankings(scores, _SAMPLES), how.k).mean()
    by_score = ndcg(gains, scores.argsort(dim=-1, descending=True)[None], how.k).mean()
    return {
        f"sampled nDCG@{how.k}": round(float(drawn), 4),
        f"nDCG@{how.k}": round(float(by_score), 4),
    }


def _batch(lists: list[CandidateList]) -> dict[str, Any]:
    """Lists side by side."""
    gains: Tensor = torch.tensor([one.gains for one in lists])
    return {
        "queries": [one.query for one in lists],
        "documents": [text for one in lists for text in one.texts],
        "gains": gains,
    }
