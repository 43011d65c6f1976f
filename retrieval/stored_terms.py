"""Weighted terms from files: queries and documents that another system has encoded (SPLADE, uniCOIL, DeepImpact)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

from rankloom.errors import NotFoundError
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.lines import bad_line, json_lines, malformed_json, text_lines
from rankloom.parameter_kinds import NamesPath
from rankloom.run import Run
from rankloom.stage import Stage
from rankloom.weighted_terms import Terms

_STAGE = "stored_terms"


class StoredTerms(Stage):
    r"""Write weighted terms from a file into the queries, by query id; a retriever over terms reads them.

    A query that the file does not hold keeps its text, and a `no_feedback` note says so. A ranking stays, so that
    feedback can expand the terms once more: `stored >> index >> stored >> RM3() >> index`.

    Args:
        source: A file of encoded queries; see `read_term_queries`.

    Raises:
        NotFoundError: There is no such file.
        DataError: A malformed line (found on first use, or when the stage is fingerprinted).

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "queries.tsv"
        >>> _ = file.write_text("q1\tsky sky blue\n")
        >>> dict(StoredTerms(file).run({"q1": "why is the sky blue"}).queries[0].terms)
        {'sky': 2.0, 'blue': 1.0}
    """

    name = _STAGE
    provides = frozenset({"terms"})
    grain = "none"  # a lookup by query id, while the cache knows queries by their content

    def __init__(self, source: Annotated[str | Path, NamesPath()]) -> None:
        self.source = str(source)
        if not Path(self.source).is_file():
            raise NotFoundError("there is no such file", stage=self.name, value=self.source)

    def fingerprint(self) -> str:
        """A digest of the terms, as they were when the file was first read."""
        return digest(self.name, self.version, self._stored)

    def __call__(self, run: Run) -> Run:
        """The same queries, with terms."""
        queries, notes = [], []
        for query in run.queries:
            terms = self._stored.get(query.id)
            queries.append(query if terms is None else query.with_terms(terms))
            if terms is None:
                notes.append(Note(self.name, "no_feedback", query.id, detail="not in the file of encoded queries"))
        return run.rewritten(queries, keep=True).noted(*notes)

    @cached_property
    def _stored(self) -> dict[str, Terms]:
        """Query id -> terms."""
        return read_term_queries(self.source)


def read_term_queries(path: str | Path) -> dict[str, Terms]:
    """Read encoded queries.

    Each line holds an id, a tab, and either terms separated by blanks, repeated as often as they weigh (as Anserini
    publishes them), or a JSON object of term -> weight.

    Args:
        path: The file; gzipped if it ends in `.gz`.

    Raises:
        NotFoundError: There is no such file.
        DataError: A line without a tab, an id that stands twice, or a weight that is no finite number.
    """
    file, found = Path(path), dict[str, Terms]()
    for number, line in text_lines(file, stage=_STAGE):
        query_id, tab, text = line.partition("\t")
        if not tab or not query_id.strip():
            raise bad_line(file, number, "no id and tab before the terms", stage=_STAGE, accepted="id<tab>terms")
        if query_id in found:
            raise bad_line(file, number, f"the query id {query_id!r} stands twice", stage=_STAGE)
        if text.lstrip().startswith("{"):
            found[query_id] = _weights(file, number, _object(file, number, text))
        else:
            found[query_id] = {term: float(count) for term, count in Counter(text.split()).items()}
    return found


def read_term_documents(path: str | Path) -> Iterator[tuple[str, Terms]]:
    """Read encoded documents, one at a time: JSON Lines of `id` and `vector` (term -> weight), as Anserini reads them.

    Args:
        path: A file, gzipped if it ends in `.gz`, or a folder of `.jsonl` and `.jsonl.gz` files.

    Raises:
        NotFoundError: There is no such file, or the folder holds none.
        DataError: A line without id or vector, or with a weight that is no finite number.
    """
    place = Path(path)
    files = sorted(file for file in place.iterdir() if ".jsonl" in file.suffixes) if place.is_dir() else [place]
    if not files:
        raise NotFoundError("the folder holds no .jsonl file", stage=_STAGE, value=str(path))
    for file in files:
        for number, record in json_lines(file, stage=_STAGE):
            doc_id = record.get("id", record.get("_id"))
            if not isinstance(doc_id, str | int) or isinstance(doc_id, bool):
                raise bad_line(file, number, "no id", stage=_STAGE, accepted="id and vector")
            yield str(doc_id), _weights(file, number, record.get("vector"))


def _object(file: Path, number: int, text: str) -> Any:
    """The JSON value on a line."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise bad_line(file, number, malformed_json(error), stage=_STAGE) from error


def _weights(file: Path, number: int, value: Any) -> Terms:
    """Terms and weights, checked; terms without weight are left out."""
    if not isinstance(value, dict):
        raise bad_line(file, number, "no terms and weights", stage=_STAGE, accepted="an object of term -> weight")
    for term, weight in value.items():
        if not isinstance(weight, int | float) or isinstance(weight, bool) or not isfinite(weight) or weight < 0:
            raise bad_line(file, number, f"the weight of {term!r} is {weight!r}", stage=_STAGE, accepted="0 or more")
    return {term: float(weight) for term, weight in value.items() if weight > 0}
