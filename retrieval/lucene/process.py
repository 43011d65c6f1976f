"""The process that Lucene runs in: started on first use, asked one question at a time, never waited for in vain.

Questions and answers are lines of JSON on its standard input and output. A process that ends, or does not answer in
time, is an error that shows its last words; the next question starts a fresh one. One process serves all Lucene
indexes of a Python process, and ends with the last of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from typing import IO, Any

from rankloom.errors import DamagedIndexError, RankloomError, StageError
from rankloom.retrieval.lucene.java import find_jar, find_java

PATIENCE = 1800.0  # seconds for an answer; the longest question is to merge an index of millions of documents
_LAST_WORDS = 2000  # characters of standard error that an error shows
_WORKER = "rankloom.retrieval.lucene.worker"
_lock = threading.Lock()
_processes: weakref.WeakValueDictionary[int, LuceneProcess] = weakref.WeakValueDictionary()


def lucene_process() -> LuceneProcess:
    """The process of this Python process, started if it is not running; it lives as long as somebody holds it.

    Raises:
        MissingExtraError: Java or pyserini is missing; the error says how to get it.
        StageError: It does not start.
    """
    with _lock:
        process = _processes.get(os.getpid())  # after a fork, the parent's process is not ours to talk to
        if process is None or not process.running:
            process = LuceneProcess()
            _processes[os.getpid()] = process
        return process


class LuceneProcess:
    """One running Lucene.

    Args:
        patience: Seconds to wait for an answer before the process is killed.

    Raises:
        MissingExtraError: Java or pyserini is missing.
        StageError: It does not start.
    """

    def __init__(self, *, patience: float = PATIENCE) -> None:
        java, jar = find_java(), find_jar()
        self._patience, self._late = patience, False
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        self._popen = subprocess.Popen(  # noqa: S603  # this Python on a module of ours
            [sys.executable, "-P", "-m", _WORKER, str(jar)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "JAVA_HOME": str(java.home)},
        )
        self._lock = threading.Lock()
        weakref.finalize(self, _end, self._popen, os.getpid())
        self.versions: dict[str, str] = self.ask("versions")

    @property
    def pid(self) -> int:
        """Its number in the system."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it can be asked."""
        return self._popen.poll() is None

    def stop(self) -> None:
        """Kill it; it holds nothing that is not on disk."""
        self._popen.kill()
        self._popen.wait()

    def ask(self, question: str, **arguments: Any) -> Any:
        """Put a question and wait for the answer.

        Args:
            question: The name of one of the engine's methods.
            arguments: Its arguments, JSON values.

        Raises:
            StageError: The process ended, did not answer in time, or Lucene refused.
            DamagedIndexError: Lucene can not read the index.
        """
        message = json.dumps([question, arguments]).encode("ascii") + b"\n"
        with self._lock:
            line = self._exchange(message)
            if not line.endswith(b"\n"):
                raise self._ended(question)
        answer = json.loads(line)
        if "error" in answer:
            raise _refusal(question, **answer["error"])
        return answer["value"]

    def _exchange(self, message: bytes) -> bytes:
        """Send a line and read one; an empty one if the process has ended."""
        to, answers = self._popen.stdin, self._popen.stdout
        if to is None or answers is None:  # only without the pipes that we have asked for
            return b""
        watchdog = threading.Timer(self._patience, self._give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            to.write(message)
            to.flush()
            return answers.readline()
        except OSError:
            return b""
        except BaseException:  # such as Ctrl-C: the answer to come would be taken for that of the next question
            self.stop()
            raise
        finally:
            watchdog.cancel()

    def _give_up(self) -> None:
        """Kill a process that does not answer; whoever waits for it then reads the end of its output."""
        self._late = True
        self._popen.kill()

    def _ended(self, question: str) -> StageError:
        """The error for a process that is no more."""
        self.stop()
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip()[-_LAST_WORDS:]
        if self._late:
            problem = f"no answer to '{question}' within {self._patience:g} seconds; its process was killed"
        else:
            code = self._popen.returncode
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            problem = f"its process ended {how} at '{question}'"
        return StageError(
            f"{problem}; its last words: {words or 'none'}",
            stage="lucene",
            fix="try again, a new process starts by itself; if memory was short, set JAVA_TOOL_OPTIONS=-Xmx8g",
        )


def _refusal(question: str, *, kind: str, reason: str) -> RankloomError:
    """The error for a question that Lucene did not answer."""
    if kind == "damaged":
        return DamagedIndexError(
            f"Lucene can not read the index ({reason})", stage="lucene", fix="delete the directory and build it again"
        )
    return StageError(f"Lucene failed at '{question}': {reason}", stage="lucene")


def _end(popen: subprocess.Popen[bytes], owner: int) -> None:
    """Kill the process when nobody holds it any more, or at exit; but not from a fork of its owner."""
    if os.getpid() == owner:
        popen.kill()
        popen.communicate()
