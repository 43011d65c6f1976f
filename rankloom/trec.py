"""TREC run files, written and read a column at a time."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError, NotFoundError, StageError
from rankloom.files import atomic_path
from rankloom.order import strictly_decreasing
from rankloom.ranking import ScoreKind
from rankloom.records import Documents
from rankloom.run import Run
from rankloom.session import Session

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS = 6  # query id, Q0, document id, rank, score, tag
_ROWS_A_WRITE = 500_000
_BYTES_A_READ = 1 << 25
#: What any program could take for the end of a column: ASCII and Unicode white space.
_WHITE_SPACE = "[\\s\\v\\x{1c}-\\x{1f}\\x{85}\\p{Z}]"


def write_run(run: Run, path: str | Path, *, tag: str = "rankloom") -> None:
    """Write a run as a TREC run file: query id, Q0, document id, rank from 1, score, tag.

    Scores strictly decrease within a query: ties are broken by the smallest steps of float32, so that every
    evaluator keeps our order. Queries without hits have no line. The file appears whole or not at all.

    Args:
        run: A run with a ranking.
        path: The file; gzipped if it ends in `.gz`.
        tag: Name of the run, without white space.

    Raises:
        DataError: A query id, document id or the tag holds white space, which the format can not carry.
        CompositionError: The run has no ranking.
    """
    import pyarrow as pa

    target = Path(path)
    ranking = run.hits(stage="write_run")
    names = pa.array([query.id for query in run.queries], pa.large_string())
    _check_words(names, "a query id")
    _check_words(ranking.ids.array, "a document id")
    _check_words(pa.array([tag], pa.large_string()), "the tag")
    if not tag:
        raise DataError("the tag is empty", stage="write_run")
    scores = strictly_decreasing(ranking.offsets, ranking.scores)
    numbers, ranks = ranking.query_numbers(), ranking.ranks()
    with atomic_path(target) as temporary, temporary.open("wb") as file:
        for start in range(0, len(scores), _ROWS_A_WRITE):
            part = slice(start, start + _ROWS_A_WRITE)
            documents = ranking.ids.array.take(pa.array(ranking.codes[part]))
            lines = _lines(names.take(pa.array(numbers[part])), documents, ranks[part], scores[part], tag)
            # No time stamp, so that equal runs are equal files.
            file.write(gzip.compress(lines, mtime=0) if target.suffix == ".gz" else lines)


def read_run(
    path: str | Path,
    *,
    queries: object = None,
    documents: Documents | None = None,
    kind: ScoreKind = ScoreKind.SIMILARITY,
    session: Session | None = None,
) -> Run:
    """Read a TREC run file.

    Columns are separated by any white space. Rank column, line order and tag are not read: the order is that of the
    scores (as float32), ties by document id, as everywhere.

    Args:
        path: The file; gzipped if it ends in `.gz`.
        queries: The queries, when their texts are known; one that the file does not name has no hits. By default
            those of the file, in the order in which they first occur, with empty texts.
        documents: Where the texts come from.
        kind: What the scores mean.
        session: How later stages are carried out.

    Raises:
        NotFoundError: There is no such file.
        DataError: A line with other than six columns, a score that is no finite number, a document that stands
            twice in one query (each with file and line), or a query that is not among `queries`.
    """
    file = Path(path)
    query_ids, doc_ids, scores, lines = _read_columns(file)
    try:
        return Run.from_columns(
            query_ids, doc_ids, scores, queries=queries, documents=documents, kind=kind, session=session
        )
    except StageError as error:
        raise _duplicate(query_ids, doc_ids, lines, file) or error from error


def _read_columns(
    path: Path,
) -> tuple[pa.ChunkedArray, pa.ChunkedArray, NDArray[np.float32], NDArray[np.int64]]:
    """Query ids, document ids and scores of a file, and the line of each."""
    import pyarrow as pa

    query_ids, doc_ids, scores, lines = [], [], [np.zeros(0, np.float32)], [np.zeros(0, np.int64)]
    for block, first in _blocks(path):
        texts, numbers = _split_lines(block, first, path)
        words, numbers = _split_columns(texts, numbers, path)
        query_ids.append(words.take(pa.array(np.arange(0, len(words), _COLUMNS))))
        doc_ids.append(words.take(pa.array(np.arange(2, len(words), _COLUMNS))))
        scores.append(_numbers(words.take(pa.array(np.arange(4, len(words), _COLUMNS))), numbers, path))
        lines.append(numbers)
    columns = [pa.chunked_array(parts, pa.large_string()) for parts in (query_ids, doc_ids)]
    return columns[0], columns[1], np.concatenate(scores), np.concatenate(lines)


def _blocks(path: Path) -> Iterator[tuple[bytes, int]]:
    """Stretches of whole lines, and the line number that each begins with."""
    if not path.is_file():
        raise NotFoundError("there is no such run file", stage="read_run", value=str(path))
    rest, line = b"", 1
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while block := file.read(_BYTES_A_READ):
                block = rest + block
                end = block.rfind(b"\n") + 1
                rest = block[end:]
                if end:
                    yield block[:end], line
                    line += block.count(b"\n", 0, end)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip data after line {line} ({error})", stage="read_run") from error
    if rest:
        yield rest + b"\n", line


def _split_lines(block: bytes, first: int, path: Path) -> tuple[pa.LargeStringArray, NDArray[np.int64]]:
    """The lines of a block and their numbers."""
    import pyarrow as pa

    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + 1
    offsets = np.concatenate([[0], ends]).astype(np.int64)
    texts = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(block))
    try:
        texts.validate(full=True)  # also that the bytes are UTF-8
    except pa.ArrowInvalid:
        for place, line in enumerate(block.split(b"\n")):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise _bad_line(path, first + place, "not UTF-8") from error
        raise
    return texts, np.arange(first, first + len(ends))


def _split_columns(
    texts: pa.LargeStringArray, numbers: NDArray[np.int64], path: Path
) -> tuple[pa.LargeStringArray, NDArray[np.int64]]:
    """The words of all lines, six for each, and the numbers of the lines that are not blank."""
    import pyarrow.compute as pc

    texts = pc.ascii_trim_whitespace(texts)
    blank = pc.equal(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    if blank.any():
        texts, numbers = texts.filter(~blank), numbers[~blank]
    words = pc.ascii_split_whitespace(texts)
    counts = pc.list_value_length(words).to_numpy()
    wrong = np.flatnonzero(counts != _COLUMNS)
    if len(wrong):
        raise _bad_line(path, int(numbers[wrong[0]]), f"{counts[wrong[0]]} columns", texts[int(wrong[0])].as_py()[:100])
    return words.flatten(), numbers


def _numbers(words: pa.LargeStringArray, lines: NDArray[np.int64], path: Path) -> NDArray[np.float32]:
    """Scores as float32, finite."""
    import pyarrow as pa

    try:
        scores = words.cast(pa.float32()).to_numpy()
    except pa.ArrowInvalid:  # find the line, or a spelling that only Python knows, such as +1.5
        scores = np.zeros(len(words), np.float32)
        for place, word in enumerate(words.to_pylist()):
            try:
                scores[place] = float(word)
            except ValueError as error:
                raise _bad_line(path, int(lines[place]), "the score is not a number", word) from error
    wrong = np.flatnonzero(~np.isfinite(scores))
    if len(wrong):
        word = words[int(wrong[0])].as_py()
        raise _bad_line(path, int(lines[wrong[0]]), "the score is not a finite float32", word)
    return np.asarray(scores, dtype=np.float32)


def _duplicate(
    query_ids: pa.ChunkedArray, doc_ids: pa.ChunkedArray, lines: NDArray[np.int64], path: Path
) -> DataError | None:
    """The error for the first document that stands twice in one query."""
    seen: dict[tuple[str, str], int] = {}
    rows = zip(query_ids.to_pylist(), doc_ids.to_pylist(), lines.tolist(), strict=True)
    for query_id, doc_id, line in rows:
        first = seen.setdefault((query_id, doc_id), line)
        if first != line:
            reason = f"the document already stands at line {first} for the query {query_id!r}"
            return _bad_line(path, line, reason, doc_id)
    return None


def _bad_line(path: Path, line: int, reason: str, value: str | None = None) -> DataError:
    """The error for one line of a run file."""
    accepted = "query-id Q0 document-id rank score tag"
    where = f"{path} line {line}: {reason}"
    if value is None:
        return DataError(where, stage="read_run", accepted=accepted)
    return DataError(where, stage="read_run", value=value, accepted=accepted)


def _lines(
    query_ids: pa.LargeStringArray,
    doc_ids: pa.LargeStringArray,
    ranks: NDArray[np.int64],
    scores: NDArray[np.float32],
    tag: str,
) -> memoryview:
    """The bytes of some lines: Arrow joins all rows at once, and the strings of an array stand end to end."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pa.large_string()
    joined = pc.binary_join_element_wise(
        query_ids,
        pa.scalar("Q0", text),
        doc_ids,
        pa.array(ranks).cast(text),
        pa.array(scores).cast(text),
        pa.scalar(tag + "\n", text),
        pa.scalar(" ", text),
    )
    _, offsets, data = joined.buffers()
    return memoryview(data)[: int(np.frombuffer(offsets, np.int64)[len(joined)])]


def _check_words(texts: pa.LargeStringArray, what: str) -> None:
    """Refuse texts that a line of columns can not carry."""
    import pyarrow.compute as pc

    bad = texts.filter(pc.match_substring_regex(texts, _WHITE_SPACE))
    if len(bad):
        raise DataError(
            f"{what} holds white space, which a TREC run file can not carry",
            stage="write_run",
            value=bad[0].as_py(),
            fix="write Arrow or JSON instead (Run.to_arrow, Run.to_dict)",
        )
