"""The logs of a training that goes on from a checkpoint."""

import json
from types import SimpleNamespace

import pytest

from rankloom.progress import Silent
from rankloom.training.loop import last_checkpoint, run_loop


class Told:
    """A trainer that trains nothing, and logs as that of the library does."""

    def __init__(self, steps):
        self.args = SimpleNamespace(max_steps=steps)
        self.model = SimpleNamespace(eval=lambda: None)
        self.accelerator = SimpleNamespace(unwrap_model=lambda *_, **__: None)
        self.callbacks = []
        self.add_callback, self.remove_callback = self.callbacks.append, lambda _: None

    def train(self, resume_from_checkpoint):
        done = int(resume_from_checkpoint.rpartition("-")[2]) if resume_from_checkpoint else 0
        logged = [(step, {"loss": step / 10}) for step in range(done + 10, self.args.max_steps + 1, 10)]
        for step, logs in [*logged, (self.args.max_steps, {"train_runtime": 1.0})]:
            for callback in self.callbacks:
                callback.on_log(None, SimpleNamespace(global_step=step), None, logs=logs)


def steps(log):
    return [record["step"] for record in map(json.loads, log.read_text().splitlines()) if "loss" in record]


@pytest.mark.parametrize("checkpoint", [None, 20])
def test_steps_that_are_done_again_stand_in_the_logs_once(tmp_path, checkpoint):
    log, other = tmp_path / "losses.jsonl", tmp_path / "validation.jsonl"
    killed = "".join(json.dumps({"step": step, "loss": 0.0}) + "\n" for step in (10, 20, 30, 40))
    log.write_text(killed + '{"step": 50, "lo')
    other.write_text(killed)
    if checkpoint:
        (tmp_path / f"checkpoint-{checkpoint}").mkdir()
        (tmp_path / f"checkpoint-{checkpoint}" / "trainer_state.json").write_text("{}")
    run_loop(Told(60), tmp_path, Silent())
    assert steps(log) == [10, 20, 30, 40, 50, 60]
    assert steps(other) == ([10, 20] if checkpoint else [])


def test_a_finished_training_that_is_asked_for_again_ends_once(tmp_path):
    run_loop(Told(20), tmp_path, Silent())
    (tmp_path / "checkpoint-20").mkdir()
    (tmp_path / "checkpoint-20" / "trainer_state.json").write_text("{}")
    run_loop(Told(20), tmp_path, Silent())
    log = tmp_path / "losses.jsonl"
    assert steps(log) == [10, 20]
    assert log.read_text().count("train_runtime") == 1


@pytest.mark.parametrize("left", ["", '{"global_step": 3'])
def test_a_checkpoint_whose_last_file_was_cut_off_is_none(tmp_path, left):
    for step, state in ((20, "{}"), (40, left)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-20"
