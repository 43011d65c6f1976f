"""A training that is killed after its first checkpoint."""

import json
import os
import signal
import subprocess
import sys
import time

from rankloom.training.loop import last_checkpoint

# it waits after its first checkpoint, so that it is killed before its end, however fast it is
_RUN = """
import json, sys, time
from pathlib import Path
from rankloom import Session
from rankloom.training import loop
from rankloom.training.recipes import KINDS, carry_out
def wait(self, args, state, control, **more):
    if loop.last_checkpoint(Path(args.output_dir)) is not None and args.output_dir.endswith(sys.argv[3]):
        time.sleep(600)
loop._Reporting.on_step_begin = wait
values = json.loads(Path(sys.argv[1]).read_text())
recipe = KINDS[values["kind"]].recipe.model_validate(values)
carry_out(recipe, Session(offline=True), output=Path(sys.argv[2]))
"""


def begin_and_kill(recipe, folder, *, checkpoints="checkpoints"):
    """Begin a recipe in a process of its own, in `folder / "out"`; returns that folder."""
    told, output = folder / "recipe.json", folder / "out"
    told.write_text(json.dumps(recipe.model_dump()))
    command = [sys.executable, "-c", _RUN, str(told), str(output), checkpoints]
    said = folder / "stderr.txt"
    with said.open("w") as stderr:
        killed = subprocess.Popen(command, env=os.environ | {"PYTHONUNBUFFERED": "1"}, stderr=stderr)
    deadline = time.monotonic() + 300
    while last_checkpoint(output / checkpoints) is None and time.monotonic() < deadline:
        assert killed.poll() is None, f"the training ended before it could be killed: {said.read_text()}"
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert last_checkpoint(output / checkpoints) is not None
    return output
