"""A language model that writes down what another says, for `Replay`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, TextIO

from rankloom.errors import UsageError
from rankloom.fingerprint import digest
from rankloom.language_model import Completion, LanguageModel, Prompt, checked_model
from rankloom.language_models.transcript import read_transcript, transcript_line
from rankloom.parameter_kinds import AnyLanguageModel, NamesPath
from rankloom.session import Session

_STAGE = "recorder"


class Recorder(LanguageModel):
    """Answers from a transcript what that holds, and asks another model for the rest, which it adds to the transcript.

    Each answer is a line in the file before anybody has it, so a transcript goes on where it was stopped. What the
    session's cache answers, of completions or of a stage's results, is not asked and can not be recorded. For this
    reason the path is part of the fingerprint: with a new path everything is asked, and recorded, once. One process at
    a time.

    Args:
        path: The transcript, which is made if it is not there.
        model: Who answers.

    Raises:
        UsageError: `model` is not a language model, or the path is that of a gzipped file.

    Example:
        >>> from rankloom.language_models import OpenAICompatible
        >>> model = OpenAICompatible("qwen3:8b", url="http://localhost:11434/v1")
        >>> Recorder("transcript.jsonl", model).name
        'qwen3:8b'
    """

    def __init__(self, path: Annotated[str, NamesPath(new=True)], model: AnyLanguageModel) -> None:
        if path.endswith(".gz"):
            raise UsageError("a transcript is recorded as plain text", stage=_STAGE, value=path, fix="leave .gz out")
        self.path, self.model = path, checked_model(model, stage=_STAGE)
        self.name, self.greedy = model.name, model.greedy

    def __repr__(self) -> str:
        """The call that makes an equal model."""
        return f"Recorder({self.path!r}, {self.model!r})"

    def fingerprint(self) -> str:
        """A digest of the model and of where its answers go."""
        return digest("recorder", str(Path(self.path).absolute()), self.model)

    def resolve(self, session: Session) -> None:
        """Find what the model needs."""
        self.model.resolve(session)

    def load(self, session: Session) -> None:
        """Load the model."""
        self.model.load(session)

    def close(self) -> None:
        """Free the model."""
        self.model.close()

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, session: Session
    ) -> Iterator[tuple[Prompt, Completion]]:
        """What the transcript holds, then what the model says.

        Raises:
            UsageError: The file can not be written.
            DataError: It is there and no transcript.
        """
        file = Path(self.path)
        known = {}
        if file.exists():
            _end_last_line(file)
            known = read_transcript(file, stage=_STAGE)
        yield from ((prompt, known[prompt]) for prompt in prompts if prompt in known)
        new = [prompt for prompt in prompts if prompt not in known]
        if not new:
            return
        with _opened(file) as lines:
            for prompt, answer in self.model.generate(new, max_tokens=max_tokens, session=session):
                lines.write(transcript_line(prompt, answer, model=self.model.name))
                lines.flush()
                yield prompt, answer


def _opened(file: Path) -> TextIO:
    """The file, to be written on."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("a", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the transcript can not be written ({error.strerror})", stage=_STAGE, value=str(file)
        ) from error


def _end_last_line(file: Path) -> None:
    """Give the last line its end; if it is only the beginning of one, which a killed process leaves, take it away."""
    held = file.read_bytes()
    start = held.rfind(b"\n") + 1
    if start == len(held):
        return
    try:
        json.loads(held[start:])
    except ValueError:
        with file.open("r+b") as lines:
            lines.truncate(start)
    else:
        with file.open("ab") as lines:
            lines.write(b"\n")
