"""A training that is killed after its first checkpoint."""

import time

import torch

from rankloom import Session
from rankloom.training import loop
from rankloom.training.loop import last_checkpoint
from rankloom.training.recipes import carry_out
from tests import forked


def begin_and_kill(recipe, folder, *, checkpoints="checkpoints"):
    """Begin a recipe in a process of its own, in `folder / "out"`; returns that folder."""
    output, said = folder / "out", folder / "stderr.txt"
    # as many threads as here: sums of other numbers of threads differ in their last bits, and so would the weights
    process = forked.start(_begin, recipe, output, checkpoints, torch.get_num_threads(), said=said)
    deadline = time.monotonic() + 600
    while last_checkpoint(output / checkpoints) is None:
        assert process.is_alive(), f"the training ended before it could be killed: {said.read_text()}"
        assert time.monotonic() < deadline, f"the training has made no checkpoint in ten minutes: {said.read_text()}"
        time.sleep(0.005)
    process.kill()
    process.join()
    return output


def _begin(recipe, output, checkpoints, threads):
    torch.set_num_threads(threads)

    def wait(self, args, state, control, **more):  # noqa: ARG001  # the library's
        """Go no further than the first checkpoint: however fast the training, it is killed before its end."""
        if last_checkpoint(output / checkpoints) is not None and args.output_dir.endswith(checkpoints):
            time.sleep(600)

    loop._Reporting.on_step_begin = wait
    carry_out(recipe, Session(offline=True), output=output)
