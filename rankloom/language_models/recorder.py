"""A language model that writes down what another says, for `Replay`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TextIO
from weakref import WeakValueDictionary

from rankloom.errors import DataError, UsageError
from rankloom.fingerprint import digest
from rankloom.language_model import Completion, LanguageModel, Prompt, checked_model
from rankloom.language_models.transcript import Recorded, read_recorded, transcript_line
from rankloom.parameter_kinds import AnyLanguageModel, NamesPath
from rankloom.session import Session

_STAGE = "recorder"


class Recorder(LanguageModel):
    """Answers from a transcript what that holds, and asks another model for the rest, which it adds to the transcript.

    Each answer is a line in the file before anybody has it, so a transcript goes on where it was stopped. What the
    transcript answers counts as cached, and costs nothing. A line says by which model, limit of tokens and seed it was
    made: where these are others now, it is an error. Lines that do not say, such as those written by hand, count.

    What the session's cache answers, of completions or of a stage's results, is not asked and can not be recorded. For
    this reason the path is part of the fingerprint: with a new path everything is asked, and recorded, once. One
    process at a time; in it, recorders of one path may be asked side by side, and the first answer to a prompt counts.

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
        self.knows_room, self.context_tokens = model.knows_room, model.context_tokens

    def __repr__(self) -> str:
        """The call that makes an equal model."""
        return f"Recorder({self.path!r}, {self.model!r})"

    def fingerprint(self) -> str:
        """A digest of the model and of where its answers go."""
        return digest("recorder", str(Path(self.path).absolute()), self.model)

    def resolve(self, session: Session) -> None:
        """Find what the model needs."""
        self.model.resolve(session)

    def numerics(self, session: Session) -> str:
        """What of the session the model depends on."""
        return self.model.numerics(session)

    def room(self, max_tokens: int, session: Session) -> int | None:
        """What the model reads besides an output."""
        return self.model.room(max_tokens, session)

    def prompt_tokens(self, prompts: Sequence[Prompt], session: Session) -> list[int]:
        """How many tokens prompts have, as the model counts."""
        return self.model.prompt_tokens(prompts, session)

    def load(self, session: Session) -> None:
        """Load the model."""
        self.model.load(session)

    def close(self) -> None:
        """Free the model."""
        self.model.close()

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, session: Session
    ) -> Iterator[tuple[Prompt, Completion]]:
        """What the model says, written down; of prompts that `recall` does not know.

        Raises:
            UsageError: The file can not be written.
            DataError: As `recall` does, where another recorder has written since then.
        """
        made_by, writing = self._made_by(max_tokens, session), _writing(Path(self.path))
        known = self.recall(prompts, max_tokens=max_tokens, session=session)  # another may have written by now
        yield from known.items()
        new = [prompt for prompt in prompts if prompt not in known]
        if not new:
            return
        with _opened(Path(self.path)) as lines:
            for prompt, answer in self.model.generate(new, max_tokens=max_tokens, session=session):
                mine = Recorded(answer, made_by, self.model.name)
                with writing.lock:
                    first = writing.said.setdefault(prompt, mine)
                    if first is mine:
                        lines.write(transcript_line(prompt, answer, model=self.model.name, made_by=made_by))
                        lines.flush()
                yield prompt, self._own(prompt, first, made_by)

    def recall(self, prompts: Sequence[Prompt], *, max_tokens: int, session: Session) -> Mapping[Prompt, Completion]:
        """What the transcript holds.

        Raises:
            DataError: The file is there and no transcript, or a prompt was answered by another model, or with another
                limit of tokens or seed.
        """
        file = Path(self.path)
        if not prompts or not file.exists():
            return {}
        with _writing(file).lock:  # else a line that is being written would look like one that was broken off
            _end_last_line(file)
            held = read_recorded(file, stage=_STAGE)
        made_by = self._made_by(max_tokens, session)
        return {prompt: self._own(prompt, held[prompt], made_by) for prompt in prompts if prompt in held}

    def _own(self, prompt: Prompt, one: Recorded, made_by: str) -> Completion:
        """A recorded answer, if this model has given it, as it is asked now."""
        if one.made_by not in ("", made_by):
            raise DataError(
                f"{self.path} holds an answer of {one.model or 'another model'} that was made in another way: by "
                "another model or address, or with another temperature, limit of tokens or seed",
                stage=_STAGE,
                value=prompt.text,
                fix=f"record {self.name} under another path, or let replay repeat this one",
            )
        return one.completion

    def _made_by(self, max_tokens: int, session: Session) -> str:
        """A digest of all that an answer depends on besides its prompt."""
        return digest(self.model, max_tokens, self.model.numerics(session))


class _Writing:
    """What recorders of one file have written since the first of those that are at work now began."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.said: dict[Prompt, Recorded] = {}


_AT_WORK: WeakValueDictionary[Path, _Writing] = WeakValueDictionary()
_FINDING = threading.Lock()


def _writing(file: Path) -> _Writing:
    """What all recorders of a file share while one of them is at work."""
    with _FINDING:
        return _AT_WORK.setdefault(file.resolve(), _Writing())


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
