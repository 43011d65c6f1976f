r"""Prompts as data: templates that ship with rankloom, one TOML file each, or a file of your own.

Keys of such a file (only `text`, `passage` and `labels` have to be there):

    labels = "letters"                        # or numbers ([1], [2], ...), or none
    passage = 'Passage {label}: "{text}"'     # how one passage is shown
    separator = "\n\n"                        # what stands between passages
    system = ""                               # instructions that stand before, for models that tell the two apart
    text = '...{query}...{passages}...'       # may also hold {count}
    answer = "Passage {label}"                # how an answer names a passage, to ask how likely each is
    tagged = false                            # whether the answer is to stand in <answer> tags, after a thought
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal, get_args

from rankloom.errors import ConfigError, NotFoundError, nearest
from rankloom.fingerprint import digest
from rankloom.language_model import Prompt

Labels = Literal["letters", "numbers", "none"]
_LETTERS = ascii_uppercase[: ascii_uppercase.index("W") + 1]  # "Passage X" and "Passage Y" are three tokens of T5
_STAGE = "prompt"


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt with places for a query and passages.

    Args:
        text: The request, with `{query}` and `{passages}`, and perhaps `{count}`.
        passage: How a passage is shown, with `{text}` and perhaps `{label}`.
        labels: What passages are called.
        separator: What stands between passages.
        system: Instructions before the request.
        answer: How an answer names a passage, with `{label}`.
        tagged: Whether the answer is to stand in answer tags.
        about: Where it comes from.
    """

    text: str
    passage: str
    labels: Labels
    separator: str = "\n"
    system: str = ""
    answer: str = "{label}"
    tagged: bool = False
    about: str = ""

    @property
    def most(self) -> int:
        """How many passages it has labels for."""
        return {"letters": len(_LETTERS), "numbers": 999, "none": 1}[self.labels]

    def label(self, place: int) -> str:
        """What the passage of a place is called, from 0."""
        return {"letters": _LETTERS[place % len(_LETTERS)], "numbers": f"[{place + 1}]", "none": ""}[self.labels]

    def fingerprint(self) -> str:
        """A digest of all that changes a prompt or its reading."""
        return digest({name: value for name, value in asdict(self).items() if name != "about"})

    def prompt(self, query: str, passages: Sequence[str], **more: Any) -> Prompt:
        """The prompt for a query and passages.

        Args:
            query: The query's text.
            passages: Texts, in the order in which they are shown.
            more: Values of other places in the text.
        """
        shown = [self.passage.format(label=self.label(place), text=text) for place, text in enumerate(passages)]
        values = {"query": query, "passages": self.separator.join(shown), "count": len(passages), **more}
        return Prompt(self.text.format(**values), self.system)


def shipped_templates() -> list[str]:
    """Names of the templates that ship with rankloom."""
    folder = files("rankloom.rerank.llm") / "prompts"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def load_template(name: str) -> Template:
    """A template by its name, or from a file of your own.

    Args:
        name: One of `shipped_templates()`, or the path of a `.toml` file.

    Raises:
        NotFoundError: There is neither.
        ConfigError: The file is no template.

    Example:
        >>> load_template("pairwise").prompt("why", ["a", "b"]).text.splitlines()[2]
        'Passage A: "a"'
    """
    shipped = files("rankloom.rerank.llm") / "prompts" / f"{name}.toml"
    path = Path(name)
    try:
        text = path.read_text(encoding="utf-8") if path.suffix == ".toml" else shipped.read_text(encoding="utf-8")
    except OSError as error:
        close = nearest(name, shipped_templates())
        raise NotFoundError(
            "there is no such prompt",
            stage=_STAGE,
            value=name,
            accepted=f"{', '.join(shipped_templates())}, or the path of a .toml file",
            fix=f"did you mean {close!r}?" if close else None,
        ) from error
    try:
        return _checked(Template(**tomllib.loads(text)))
    except (AttributeError, TypeError, ValueError, KeyError, IndexError) as error:  # tomllib's errors are ValueErrors
        raise ConfigError(f"the file is no prompt: {error}", stage=_STAGE, value=name) from error


def _checked(template: Template) -> Template:
    """The template, if it can be filled and holds what it must."""
    if template.labels not in get_args(Labels):
        raise ValueError(f"labels are one of {', '.join(get_args(Labels))}")
    template.answer.format(label="A")
    filled = template.prompt("\x01", ["\x02"], highest=4)
    if "\x02" not in filled.text:
        raise ValueError("the text has no place for {passages}, or a passage none for {text}")
    return template
