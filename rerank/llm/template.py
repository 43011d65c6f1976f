r"""Prompts as data: templates that ship with rankloom, one TOML file each, or a file of your own.

Keys of such a file (only `text` has to be there):

    text = '...{query}...{passages}...'       # may also hold {count}; other braces are left alone
    system = ""                               # instructions that stand before, for models that tell the two apart
    passage = 'Passage {label}: "{text}"'     # how one passage is shown
    labels = "letters"                        # or numbers ([1], [2], ...), or none
    separator = "\n\n"                        # what stands between passages
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
from typing import Literal, get_args

from rankloom.errors import ConfigError, NotFoundError, nearest
from rankloom.language_model import Prompt
from rankloom.prompt_template import PromptTemplate

Labels = Literal["letters", "numbers", "none"]
_LETTERS = ascii_uppercase[: ascii_uppercase.index("W") + 1]  # "Passage X" and "Passage Y" are three tokens of T5
_GAPS = {"query", "passages", "count", "highest"}  # what is filled in a text
_STAGE = "prompt"


@dataclass(frozen=True, slots=True)
class Template(PromptTemplate):
    """A prompt with gaps for a query and for passages, each of which has a label.

    Args:
        text: The request, with the gaps `{query}` and `{passages}`, and perhaps `{count}`.
        system: Instructions before the request.
        passage: How a passage is shown, with `{text}` and perhaps `{label}`.
        labels: What passages are called.
        separator: What stands between passages.
        answer: How an answer names a passage, with `{label}`.
        tagged: Whether the answer is to stand in answer tags.
        about: Where it comes from.
    """

    passage: str = "{text}"
    labels: Labels = "none"
    separator: str = "\n"
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

    def showing(self, query: str, passages: Sequence[str], **more: str) -> Prompt:
        """The prompt for a query and passages.

        Args:
            query: The query's text.
            passages: Texts, in the order in which they are shown.
            more: What fills other gaps of the text.
        """
        shape = PromptTemplate(self.passage)
        shown = [shape.prompt(label=self.label(place), text=text).text for place, text in enumerate(passages)]
        fillings = {"query": query, "passages": self.separator.join(shown), "count": str(len(passages)), **more}
        return self.prompt(sample=0, **fillings)

    def spoken(self, place: int) -> str:
        """How an answer names the passage of a place."""
        return PromptTemplate(self.answer).prompt(label=self.label(place)).text


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
        >>> load_template("pairwise").showing("why", ["a", "b"]).text.splitlines()[2]
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
    except (TypeError, ValueError) as error:  # tomllib's errors are ValueErrors
        raise ConfigError(f"the file is no prompt: {error}", stage=_STAGE, value=name) from error


def _checked(template: Template) -> Template:
    """The template, if its gaps are those that are filled.

    Raises:
        ValueError: They are not.
        TypeError: A value is of another type.
    """
    for name, value in asdict(template).items():
        if not isinstance(value, bool if name == "tagged" else str):
            raise TypeError(f"{name} is of another type")
    if template.labels not in get_args(Labels):
        raise ValueError(f"labels are one of {', '.join(get_args(Labels))}")
    for name, needed, known in (("text", "passages", _GAPS), ("passage", "text", {"text", "label"})):
        gaps = PromptTemplate(getattr(template, name)).gaps()
        if needed not in gaps or gaps - known:
            raise ValueError(f"{name} has to hold {{{needed}}}, and of gaps only {', '.join(sorted(known))}")
    return template
