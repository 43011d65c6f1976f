"""Processes that have imported what is slow to import before they begin: forks of one that did so once."""

import multiprocessing
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

_IMPORTED = ["torch", "sentence_transformers", "transformers.trainer", "peft", "numba", "rankloom.eval", "rankloom.cli"]


def start(function, *arguments, said):
    """Start a function of a module in a process of its own.

    Args:
        function: What it does; fit to be pickled, like its arguments.
        arguments: What it is given.
        said: Path of a file that gets what the process writes to stderr.

    Returns:
        The process, as `multiprocessing` has it: `kill()` is signal 9.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    process = context.Process(target=_run, args=(function, arguments, Path(said)))
    process.start()
    return process


def rankloom(words, *, said, environment=None, path=None):
    """Start the command line in a process of its own.

    Args:
        words: What comes after `rankloom`.
        said: Path of a file that gets what the process writes to stderr.
        environment: Variables to set.
        path: A folder to import modules from.
    """
    return start(_command, [str(word) for word in words], environment or {}, path, said=said)


def _run(function, arguments, said):
    with said.open("w", buffering=1) as stderr, redirect_stderr(stderr):
        sys.exit(function(*arguments))


def _command(words, environment, path):
    from rankloom.cli import main

    os.environ.update(environment)
    if path is not None:
        sys.path.insert(0, str(path))
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        return main(words)
