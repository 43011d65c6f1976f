"""Prompts as data files: a text with named gaps, which a stage fills."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from rankloom.errors import DataError, NotFoundError, nearest
from rankloom.language_model import Prompt

_GAP = re.compile(r"\{([a-z_]+)\}")
_PARTING = "\n---\n"  # what stands above is for the system


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A text with gaps such as `{query}`. Other braces are left alone, and what fills a gap is not looked at.

    Args:
        text: The request.
        system: What stands before it for the system; may be empty.

    Example:
        >>> PromptTemplate("Query: {query}").prompt(query="why {is} it blue").text
        'Query: why {is} it blue'
    """

    text: str
    system: str = ""

    @classmethod
    def parsed(cls, text: str) -> PromptTemplate:
        r"""A template from the text of a file: a line `---` parts what is for the system from the request.

        >>> PromptTemplate.parsed("Be brief.\n---\nQuery: {query}\n")
        PromptTemplate(text='Query: {query}', system='Be brief.')
        """
        system, parting, request = text.partition(_PARTING)
        return cls(request.strip("\n"), system.strip("\n")) if parting else cls(text.strip("\n"))

    def gaps(self) -> set[str]:
        """The names of the gaps."""
        return set(_GAP.findall(self.system + self.text))

    def prompt(self, *, sample: int = 0, **fillings: str) -> Prompt:
        """The prompt with its gaps filled.

        Args:
            sample: Which of several outputs; see `Prompt`.
            fillings: A text for each gap.
        """
        return Prompt(_filled(self.text, fillings), _filled(self.system, fillings), sample)


def prompt_template(name: str, folder: Path, *, prefix: str, gaps: Collection[str], stage: str) -> PromptTemplate:
    """A template that comes with the package, or one of the user's own.

    Args:
        name: Its name, or the path of a file.
        folder: Where the package keeps its templates, as `{prefix}_{name}.txt`.
        prefix: What the names of the files begin with.
        gaps: The gaps that a template must have, and no others.
        stage: Who asks, for errors.

    Raises:
        NotFoundError: There is neither such a template nor such a file.
        DataError: The file can not be read, or has other gaps.
    """
    file = folder / f"{prefix}_{name}.txt"
    own = not file.is_file()
    if own:
        file = Path(name).expanduser()
    if not file.is_file():
        known = sorted(path.stem.removeprefix(f"{prefix}_") for path in folder.glob(f"{prefix}_*.txt"))
        close = nearest(name, known)
        raise NotFoundError(
            "there is no such prompt",
            stage=stage,
            value=name,
            accepted=f"{', '.join(known)}, or the path of a file",
            fix=f"did you mean {close!r}?" if close else None,
        )
    try:
        template = PromptTemplate.parsed(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the prompt can not be read ({error})", stage=stage, value=str(file)) from error
    if template.gaps() != set(gaps):
        raise DataError(
            f"the prompt has the gaps {_listed(template.gaps())}",
            stage=stage,
            value=str(file),
            accepted=f"exactly {_listed(gaps)}",
        )
    return template


def _filled(text: str, fillings: dict[str, str]) -> str:
    """A text with its gaps filled, all at once."""
    return _GAP.sub(lambda gap: fillings.get(gap[1], gap[0]), text)


def _listed(gaps: Collection[str]) -> str:
    """Gaps in words."""
    return ", ".join(f"{{{gap}}}" for gap in sorted(gaps)) or "none"
