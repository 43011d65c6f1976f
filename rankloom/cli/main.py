"""The entry point: runs a verb and turns whatever comes back into an exit code."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rankloom.errors import RankloomError

_FAILURE, _INTERRUPTED = 6, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after the program's name; those of this process by default.

    Returns:
        The exit code.
    """
    from rankloom.cli.app import app

    words, debug = _without_debug(list(sys.argv[1:] if arguments is None else arguments))
    with _warnings_on_stderr():
        try:
            app(words, prog_name="rankloom")
        except SystemExit as done:  # typer ends every command this way, usage errors (2) and Ctrl-C (130) too
            if done.code == _INTERRUPTED:
                sys.stderr.write("interrupted; the same command goes on where it stopped\n")
            return done.code if isinstance(done.code, int) else int(done.code is not None)
        except RankloomError as error:
            return _reported(str(error), error.exit_code, debug=debug)
        except OSError as error:  # a full disk, a folder that may not be written
            return _reported(f"the system refused: {error}", _FAILURE, debug=debug)
        except Exception as error:
            text = f"{type(error).__name__}: {error} (this is a bug of rankloom; --debug shows where)"
            return _reported(text, _FAILURE, debug=debug)
    return 0


def _without_debug(words: list[str]) -> tuple[list[str], bool]:
    """The words without `--debug`, which may stand before or after the verb, and whether it was there."""
    options = words[: words.index("--")] if "--" in words else words
    return [*(word for word in options if word != "--debug"), *words[len(options) :]], "--debug" in options


def _reported(text: str, code: int, *, debug: bool) -> int:
    """Say what went wrong on standard error; returns the exit code."""
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"error: {text}\n")
    return code


class _OnStderr(logging.Handler):
    """Shows warnings as plain lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message to what standard error is now: a progress bar may have taken it over."""
        sys.stderr.write(f"{record.levelname.lower()}: {record.getMessage()}\n")


@contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    """Show the library's warnings while a command runs; a library sets up no handler of its own."""
    logger, handler = logging.getLogger("rankloom"), _OnStderr(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
