"""A language model that repeats what another has said: from a recording, offline, the same on every machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rankloom.errors import DataError
from rankloom.fingerprint import digest
from rankloom.language_model import Completion, LanguageModel, Prompt
from rankloom.language_models.transcript import read_transcript
from rankloom.parameter_kinds import FilePath
from rankloom.session import Session

_STAGE = "replay"
_AROUND = 40  # characters that an error shows of two texts from where they part


class Replay(LanguageModel):
    """Answers from a transcript; see `rankloom.language_models.transcript` for the format, `Recorder` for making one.

    An answer is given as it was recorded, whatever limit of tokens is asked for now.

    Args:
        path: The transcript, a file of JSON lines.

    Example:
        >>> Replay("transcript.jsonl").name
        'transcript.jsonl'
    """

    def __init__(self, path: FilePath) -> None:
        self.path = path
        self.name = Path(path).name
        self._known: dict[Prompt, Completion] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without what the file holds."""
        return {**self.__dict__, "_known": None}

    def __repr__(self) -> str:
        """The call that makes an equal model."""
        return f"Replay({self.path!r})"

    @classmethod
    def named_by(cls, given: Mapping[str, Any]) -> str:
        """The name of the file."""
        return Path(str(given.get("path", ""))).name

    def fingerprint(self) -> str:
        """A digest of what the transcript says.

        Raises:
            NotFoundError: There is no such file.
            DataError: It is no transcript.
        """
        said = sorted(
            [one.text, one.system, one.sample, answer.text, answer.cut] for one, answer in self._read().items()
        )
        return digest("replay", said)

    def numerics(self, session: Session) -> str:  # noqa: ARG002  # what was said is said
        """Nothing of the session."""
        return ""

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int,  # noqa: ARG002  # what was said is said
        session: Session,  # noqa: ARG002  # likewise
    ) -> Iterator[tuple[Prompt, Completion]]:
        """What was said to each prompt.

        Raises:
            DataError: The transcript does not hold a prompt; shows where the nearest one that it holds differs.
            NotFoundError: There is no such file.
        """
        known = self._read()
        for prompt in prompts:
            if prompt not in known:
                raise missing_prompt(prompt, known, path=self.path)
            yield prompt, known[prompt]

    def _read(self) -> dict[Prompt, Completion]:
        """What the transcript holds, read on first use."""
        if self._known is None:
            self._known = read_transcript(Path(self.path), stage=_STAGE)
        return self._known


def missing_prompt(prompt: Prompt, known: Iterable[Prompt], *, path: str) -> DataError:
    """The error for a prompt that a transcript does not hold, with where the nearest one differs."""
    near = max(known, key=lambda one: _nearness(one, prompt), default=None)
    if near is None:
        problem = "the transcript holds no prompt"
    elif near.text == prompt.text and near.system == prompt.system:
        problem = f"the transcript holds sample {near.sample} of the prompt, not sample {prompt.sample}"
    else:
        what = "text" if near.text != prompt.text else "system"
        asked, held = getattr(prompt, what), getattr(near, what)
        same = _common(asked, held)
        problem = (
            f"the transcript does not hold the prompt; from character {same} of its {what} on the nearest one says "
            f"{held[same : same + _AROUND]!r} instead of {asked[same : same + _AROUND]!r}"
        )
    return DataError(
        problem,
        stage=_STAGE,
        value=prompt.text,
        fix=f"record the prompt into {path} (Recorder), or ask with the parameters it was recorded with",
    )


def _nearness(one: Prompt, wanted: Prompt) -> tuple[bool, bool, float, float]:
    """How near a recorded prompt is: equal texts first, then equal system texts, then by words in common."""
    shares = (_shared_words(one.text, wanted.text), _shared_words(one.system, wanted.system))
    return one.text == wanted.text, one.system == wanted.system, *shares


def _shared_words(one: str, other: str) -> float:
    """The share of words in common."""
    words, others = set(one.split()), set(other.split())
    return len(words & others) / max(1, len(words | others))


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
