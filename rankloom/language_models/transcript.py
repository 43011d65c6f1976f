"""Transcripts: what a language model has said, one JSON object a line.

    {"prompt": "Why is the sky blue?", "completion": "Air scatters blue light."}

A line may also have `system`, `sample`, `read`, `written` and `cut`, with the meaning of `Prompt` and `Completion`;
`model` and `made_by`, which tell a `Recorder` whose answer it is; and any other keys, which are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rankloom.language_model import Completion, Prompt
from rankloom.lines import bad_line, json_lines

_TYPES: dict[str, tuple[type, Any]] = {
    "system": (str, ""),
    "sample": (int, 0),
    "read": (int, 0),
    "written": (int, 0),
    "cut": (bool, False),
}


class Recorded(NamedTuple):
    """An answer as it was recorded.

    Args:
        completion: The answer.
        made_by: A digest of all that it depends on besides the prompt; empty if the line does not say.
        model: The model's name; empty likewise.
    """

    completion: Completion
    made_by: str
    model: str


def read_transcript(path: Path, *, stage: str) -> dict[Prompt, Completion]:
    """What a transcript holds, whoever said it; see `read_recorded` for arguments and errors."""
    return {prompt: one.completion for prompt, one in read_recorded(path, stage=stage).items()}


def read_recorded(path: Path, *, stage: str) -> dict[Prompt, Recorded]:
    """What a transcript holds, and who said it.

    Args:
        path: The file; gzipped if it ends in `.gz`.
        stage: Who reads, for errors.

    Raises:
        NotFoundError: There is no such file.
        DataError: A line can not be read, or two lines answer one prompt differently; names the line.
    """
    found: dict[Prompt, Recorded] = {}
    for number, fields in json_lines(path, stage=stage):
        prompt, completion = _parsed(fields, path, number, stage)
        one = Recorded(completion, str(fields.get("made_by", "")), str(fields.get("model", "")))
        if found.setdefault(prompt, one).completion != completion:
            raise bad_line(path, number, "it answers a prompt differently than a line before", stage=stage)
    return found


def transcript_line(prompt: Prompt, completion: Completion, **more: object) -> str:
    """A prompt and its completion as a line of a transcript, line end included.

    Args:
        prompt: What was asked.
        completion: What was answered.
        more: Keys for people to read, such as the model's name.
    """
    fields = {
        "prompt": prompt.text,
        "system": prompt.system,
        "sample": prompt.sample,
        "completion": completion.text,
        "read": completion.read,
        "written": completion.written,
        "cut": completion.cut,
        **more,
    }
    shown = {name: value for name, value in fields.items() if name not in _TYPES or value != _TYPES[name][1]}
    return json.dumps(shown, ensure_ascii=True) + "\n"  # half of a surrogate pair is no UTF-8


def _parsed(fields: Mapping[str, Any], path: Path, number: int, stage: str) -> tuple[Prompt, Completion]:
    """The prompt and the completion of one line."""
    for name in ("prompt", "completion"):
        if not isinstance(fields.get(name), str):
            raise bad_line(path, number, f"{name!r} is no text", stage=stage)
    more = {name: fields.get(name, default) for name, (_, default) in _TYPES.items()}
    for name, value in more.items():
        if type(value) is not _TYPES[name][0]:
            raise bad_line(path, number, f"{name!r} is of another type", stage=stage)
    prompt = Prompt(fields["prompt"], more["system"], more["sample"])
    return prompt, Completion(fields["completion"], more["read"], more["written"], more["cut"])
