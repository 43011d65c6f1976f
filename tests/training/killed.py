"""A training that is killed after its first checkpoint."""

import json
import os
import signal
import subprocess
import sys
import time

from rankloom.training.loop import last_checkpoint

_RUN = """
import json, sys
from pathlib import Path
from rankloom import Session
from rankloom.training.recipes import KINDS, carry_out
values = json.loads(Path(sys.argv[1]).read_text())
recipe = KINDS[values["kind"]].recipe.model_validate(values)
carry_out(recipe, Session(offline=True), output=Path(sys.argv[2]))
"""


def begin_and_kill(recipe, folder):
    """Begin a recipe in a process of its own, in `folder / "out"`; returns that folder."""
    told, output = folder / "recipe.json", folder / "out"
    told.write_text(json.dumps(recipe.model_dump()))
    command = [sys.executable, "-c", _RUN, str(told), str(output)]
    killed = subprocess.Popen(command, env=os.environ | {"PYTHONUNBUFFERED": "1"}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while last_checkpoint(output / "checkpoints") is None and time.monotonic() < deadline:
        assert killed.poll() is None, "the training ended before it could be killed"
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert last_checkpoint(output / "checkpoints") is not None
    return output
