"""The other side of `process.py`: a process that starts Java and answers questions until its input ends.

Run as `python -m rankloom.retrieval.lucene.worker JAR`, with JAVA_HOME set.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from rankloom.retrieval.lucene.engine import DamagedError, Engine

#: One collector thread is enough for one question at a time, and takes a fraction of the memory of the default.
_OPTIONS = ("-XX:+UseSerialGC", "-Djava.awt.headless=true")


def main(jar: str) -> None:
    """Start Java and answer, a line for a line."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever Java libraries print is no answer
    import jnius_config

    jnius_config.set_classpath(jar)
    jnius_config.add_options(*_OPTIONS)
    engine = Engine()
    for line in sys.stdin.buffer:
        question, arguments = json.loads(line)
        answers.write(json.dumps(_answer(engine, question, arguments)).encode("ascii") + b"\n")
        answers.flush()


def _answer(engine: Engine, question: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The answer to one question, or what went wrong; the process goes on either way."""
    try:
        return {"value": getattr(engine, question)(**arguments)}
    except DamagedError as error:
        return {"error": {"kind": "damaged", "reason": str(error)}}
    except Exception as error:  # Java's exceptions have no base class of their own
        return {"error": {"kind": "failed", "reason": f"{type(error).__name__}: {error}"}}


if __name__ == "__main__":
    main(sys.argv[1])
