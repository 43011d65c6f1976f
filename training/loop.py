"""The training loop of sentence-transformers as recipes run it: told of by progress, resumed from checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, TrainerCallback

from rankloom.files import write_text
from rankloom.models import resolve_device
from rankloom.progress import Advance, Progress
from rankloom.training.recipe_config import Recipe

_CHECKPOINTS = 2  # that are kept
_LOG_STEPS = 10
_LAST_WRITTEN = "trainer_state.json"  # of the files of a checkpoint


class _Reporting(TrainerCallback):
    """Tells a reporter of every step, and a file of the losses."""

    def __init__(self, advance: Advance, log: Path) -> None:
        self.advance = advance
        self.log = log

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002  # the library's
        """One step is done."""
        self.advance(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:  # noqa: ARG002  # the library's
        """The mean losses of the last steps."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, **(logs or {})}) + "\n")


def common_arguments(recipe: Recipe, checkpoints: Path) -> dict[str, Any]:
    """What the library's trainers are told by every recipe: keywords of their `TrainingArguments`."""
    how = recipe.training
    device = resolve_device(how.device, stage="training")
    return {
        "output_dir": str(checkpoints),
        "max_steps": how.steps,
        "per_device_train_batch_size": how.queries,
        "learning_rate": how.learning_rate,
        "warmup_steps": how.warm_up,
        "lr_scheduler_type": "linear",
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "bf16": how.bfloat16,
        "use_cpu": device == "cpu",
        "save_strategy": "steps",
        "save_steps": how.checkpoint,
        "save_total_limit": _CHECKPOINTS,
        "logging_steps": _LOG_STEPS,
        "disable_tqdm": True,
        "report_to": "none",
        "dataloader_drop_last": True,
        "dataloader_pin_memory": device != "cpu",
    }


def run_loop(trainer: Any, checkpoints: Path, progress: Progress) -> None:
    """Train to the last step, from the last checkpoint where there is one.

    Args:
        trainer: One of sentence-transformers, made with `common_arguments`.
        checkpoints: Folder of checkpoints, and of `losses.jsonl`. Lines of any such log about steps that are done
            again, because the training was killed after its last checkpoint, are dropped.
        progress: Told of every step.
    """
    trainer.remove_callback(PrinterCallback)
    last = last_checkpoint(checkpoints)
    done = 0 if last is None else int(last.name.rpartition("-")[2])
    checkpoints.mkdir(parents=True, exist_ok=True)
    for log in sorted(checkpoints.glob("*.jsonl")):
        drop_later(log, done)
    with progress.task("training", trainer.args.max_steps) as advance:
        advance(done)
        trainer.add_callback(_Reporting(advance, checkpoints / "losses.jsonl"))
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    # else the model would go on computing in half precision, and what is measured next would not be what is used
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    trainer.model.eval()


def last_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that was written to its end; None if there is none."""
    whole = [one.parent for one in folder.glob(f"checkpoint-*/{_LAST_WRITTEN}") if _is_json(one)]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def drop_later(log: Path, step: int) -> None:
    """Drop what a log says of steps after one that is gone on from, and of the end of a training."""
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    write_text(log, "".join(line for line in lines if _stays(line, step)))


def _stays(line: str, step: int) -> bool:
    """Whether a line was written to its end, and is of a step that is not done again."""
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return bool(record["step"] <= step and "train_runtime" not in record)


def _is_json(file: Path) -> bool:
    """Whether a file was written to its end: one that is killed while it writes leaves an empty one, or half of it."""
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True
