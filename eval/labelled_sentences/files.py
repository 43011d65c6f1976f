"""Files of labelled sentences by name: where they are, which format they have, and reading them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from rankloom.errors import NotFoundError
from rankloom.eval.article_splits import SPLITS
from rankloom.eval.labelled_sentences import scifact, trecqa
from rankloom.eval.labelled_sentences.articles import read_articles
from rankloom.eval.labelled_sentences.fool_me_twice import read_fool_me_twice
from rankloom.eval.labelled_sentences.hotpotqa import read_hotpotqa
from rankloom.eval.labelled_sentences.own import ENDING, read_own
from rankloom.eval.labelled_sentences.scifact import read_scifact
from rankloom.eval.labelled_sentences.selqa import read_selqa
from rankloom.eval.labelled_sentences.text import STAGE, LabelledText, LabelledTexts
from rankloom.eval.labelled_sentences.trecqa import read_trecqa
from rankloom.eval.sources import data_folder
from rankloom.ledger import Note
from rankloom.yaml_file import find_beside

_ENDINGS = (".jsonl", ".json", ".xml")
_FOLDERS = ("", "sentences", "qa")  # of the data folder, where such files lie


class Format(NamedTuple):
    """A format, which the name of a file tells.

    Args:
        pattern: What names look like.
        read: Reads a split of a file.
        splits: The splits of a file, the usual one first; empty if a file is one split.
        tested: Collections that ask some of the same questions to measure with, so that they are not to be trained on.
        trained_on: Whether recipes take it; TREC-QA's licence is for evaluation only.
    """

    pattern: str
    read: Callable[[Path, str], LabelledTexts]
    splits: tuple[str, ...] = ()
    tested: tuple[str, ...] = ()
    trained_on: bool = True


#: The first whose pattern fits counts.
FORMATS = (
    Format(f"*{ENDING}", read_own),
    Format("scifact-rationales*.jsonl", read_scifact, scifact.SPLITS, ("scifact/test",)),
    Format("selqa*.json", read_selqa, tuple(SPLITS)),
    Format("trecqa*.xml", read_trecqa, trecqa.SPLITS, trained_on=False),
    Format("fool-me-twice*.jsonl", read_fool_me_twice),
    Format("hotpotqa*.json", read_hotpotqa),
    Format("*.json", read_articles, tuple(SPLITS)),
)


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """A split of a file of labelled sentences.

    Args:
        name: What it was called, with the split.
        path: Where it is.
        split: One of its format's splits; empty if it has none.
        format: How it is read.
    """

    name: str
    path: Path
    split: str
    format: Format


def find_labelled(name: str, split: str | None = None, folder: Path = Path()) -> LabelledFile | None:
    """The file that a name stands for, such as `scifact-rationales.jsonl/train`, or None.

    The beginning of a file's name tells its format: `scifact-rationales`, `selqa`, `trecqa`, `fool-me-twice`,
    `hotpotqa`; any other `.json` is in SQuAD's, and `NAME.labelled.jsonl` is what `write_labelled` wrote.

    Args:
        name: A path, or what the file is called in the data folder (RANKLOOM_DATA, or its `sentences` or `qa`), perhaps
            followed by a slash and a split; else the split is the usual one: `test`, for SciFact `validation`, for
            TREC-QA `raw`.
        split: The split, if it is not in the name.
        folder: Where a relative path starts, if it does not in the current folder.

    Raises:
        NotFoundError: The file is there, but there is no such split.
    """
    called, named = _parted(name)
    format_ = next((one for one in FORMATS if fnmatch(Path(called).name, one.pattern)), None)
    path = None if format_ is None else find_beside(called, folder, Path.is_file) or _in_data(called)
    if format_ is None or path is None:
        return None
    wanted = split or named or (format_.splits[0] if format_.splits else "")
    if wanted not in (format_.splits or ("",)):
        raise NotFoundError(
            f"the file {path.name} has no split of that name",
            stage=STAGE,
            value=wanted,
            accepted=", ".join(format_.splits) or "no split: the file is one",
        )
    return LabelledFile(f"{called}/{wanted}" if wanted else called, path, wanted, format_)


def read_labelled_noted(found: LabelledFile) -> tuple[list[LabelledText], tuple[Note, ...]]:
    """The texts of a file, and notes of what was left out, such as blank sentences.

    Raises:
        DataError: A malformed record; names the file and the line, or the number of the record in a JSON array.
    """
    read = found.format.read(found.path, found.split)
    return read.texts, tuple(read.notes)


def read_labelled(found: LabelledFile) -> list[LabelledText]:
    """The texts of a file, one for each question and text; see `read_labelled_noted`."""
    return read_labelled_noted(found)[0]


def _parted(name: str) -> tuple[str, str]:
    """The file and the split of a name."""
    for ending in _ENDINGS:
        before, found, split = name.rpartition(f"{ending}/")
        if found and "/" not in split:
            return f"{before}{ending}", split
    return name, ""


def _in_data(name: str) -> Path | None:
    """The file of that name in the data folder."""
    data = data_folder()
    places = [] if data is None else [data / folder / name for folder in _FOLDERS]
    return next((place for place in places if place.is_file()), None)
