"""The texts of a folder of documents: PDF, HTML, Markdown and plain text, as passages that know where they stand.

Texts are remembered in a file, so that documents that did not change are not read again. What can not be read, and
why, is told each time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bs4 import BeautifulSoup
from pypdf import PdfReader

from rankloom import Document
from rankloom.rerank.pruning import split_sentences

FORMAT = 1  # raised when the same file gives other texts
PASSAGE_WORDS = 120  # the small model that comes with rankloom reads about 180
_NO_TEXT = ("head", "noscript", "script", "style", "template")
_BLOCKS = [
    "address", "article", "aside", "blockquote", "br", "caption", "dd", "div", "dl", "dt", "figcaption", "figure",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "option", "p",
    "pre", "section", "summary", "table", "td", "th", "tr", "ul",
]  # fmt: skip
_MARK = "\x1e"  # stands between blocks while a page becomes text


@dataclass(frozen=True, slots=True)
class Texts:
    """What a file holds.

    Args:
        title: Its own title; may be empty.
        parts: Number of the page, from 1, and its text. A file without pages is one part with the number 0; the text
            of Markdown and plain text is the file as it stands.
        problem: What could not be read, and why; empty if all was.
    """

    title: str = ""
    parts: list[tuple[int, str]] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as it is now.

    Args:
        passages: Documents to search; `metadata` holds `file`, `page` (0 if there are none) and `start`, the place of
            the passage in the text of its part.
        read: Files that were read now, because they are new or have changed.
        unchanged: Files whose texts were remembered.
        problems: File -> what of it could not be read, and why.
    """

    passages: list[Document]
    read: list[str]
    unchanged: list[str]
    problems: dict[str, str]


def read_folder(folder: Path, memory: Path) -> Folder:
    """Read what is new or has changed, by size and time of change; hidden files and folders are left out.

    Args:
        folder: Where the documents are, also in folders below.
        memory: The JSON file that remembers texts; written anew.
    """
    known = _remembered(memory)
    now: dict[str, dict[str, object]] = {}
    found = Folder([], [], [], {})
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        if not path.resolve().is_relative_to(folder.resolve()):
            found.problems[name] = "leads out of the folder"
            continue
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            found.problems[name] = f"not one of {', '.join(READERS)}"
            continue
        try:
            about = path.stat()
        except OSError as error:
            found.problems[name] = str(error)
            continue
        stamp = [about.st_size, about.st_mtime_ns]
        entry = known.get(name)
        if entry is not None and entry["stamp"] == stamp:
            found.unchanged.append(name)
        else:
            entry = {"stamp": stamp, "texts": asdict(_read(path, reader))}
            found.read.append(name)
        now[name] = entry
        texts = Texts(**entry["texts"])  # type: ignore[arg-type]  # as it was written
        found.passages.extend(_passages(name, texts))
        if texts.problem:
            found.problems[name] = texts.problem
    _remember(memory, now)
    return found


def _files(folder: Path) -> Iterator[Path]:
    """All files, in the order of their names; links to folders are given as they are, not followed."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            yield path


def _read(path: Path, reader: Callable[[Path], Texts]) -> Texts:
    """What a file holds. A damaged one fails in ways that no library lists, and spoils no other."""
    try:
        texts = reader(path)
    except Exception as error:
        return Texts(problem=f"{type(error).__name__}: {error}")
    empty = [page for page, text in texts.parts if not text.strip()]
    if len(empty) == len(texts.parts):
        return Texts(problem="holds no text; a scanned one needs OCR first")
    pages = ", ".join(map(str, empty))
    return Texts(texts.title, texts.parts, f"no text on page {pages}; scanned ones need OCR first") if empty else texts


def _read_pdf(path: Path) -> Texts:
    """A text for each page."""
    with PdfReader(path) as pdf:
        title = (pdf.metadata and pdf.metadata.title) or ""
        return Texts(str(title), [(page, one.extract_text()) for page, one in enumerate(pdf.pages, start=1)])


def _read_html(path: Path) -> Texts:
    """The text that a browser shows, a blank line between blocks: a link finds a sentence only within one block."""
    soup = BeautifulSoup(path.read_bytes(), "html.parser")
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for tag in soup(_NO_TEXT):
        tag.decompose()
    for tag in soup(_BLOCKS):
        tag.insert_before(_MARK)
        tag.insert_after(_MARK)
    blocks = (" ".join(block.split()) for block in soup.get_text().split(_MARK))
    return Texts(title, [(0, "\n\n".join(filter(None, blocks)))])


def _read_text(path: Path) -> Texts:
    """The file as it stands; a Markdown file's first line may be its title."""
    text = path.read_bytes().decode("utf-8-sig")
    first = text.lstrip().partition("\n")[0].strip()
    return Texts(first.lstrip("#").strip() if first.startswith("# ") else "", [(0, text)])


READERS: Mapping[str, Callable[[Path], Texts]] = {
    ".pdf": _read_pdf, ".html": _read_html, ".htm": _read_html, ".md": _read_text, ".txt": _read_text,
}  # fmt: skip


def _passages(name: str, texts: Texts) -> Iterator[Document]:
    """Whole sentences, about `PASSAGE_WORDS` words together, never across pages."""
    for page, text in texts.parts:
        begun, end, words = 0, 0, 0
        places: list[tuple[int, int]] = []
        for first, last in split_sentences(text):
            more = len(text[first:last].split())
            if words and words + more > PASSAGE_WORDS:
                places.append((begun, end))
                words = 0
            begun, end, words = begun if words else first, last, words + more
        places += [(begun, end)] if words else []
        for first, last in places:
            where = {"file": name, "page": page, "start": first}
            yield Document(f"{name}#{page}:{first}", text[first:last], title=texts.title, metadata=where)


def _remembered(memory: Path) -> dict[str, dict[str, object]]:
    """What the file holds; nothing if it is of another version or damaged, as all can be read again."""
    try:
        held = json.loads(memory.read_text(encoding="utf-8"))
        files: dict[str, dict[str, object]] = held["files"] if held["format"] == FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return files


def _remember(memory: Path, files: Mapping[str, object]) -> None:
    """Write the file whole or not at all."""
    memory.parent.mkdir(parents=True, exist_ok=True)
    beside = memory.with_suffix(".tmp")
    beside.write_text(json.dumps({"format": FORMAT, "files": files}), encoding="utf-8")
    os.replace(beside, memory)  # noqa: PTH105  # says that it replaces
