"""The files that teachers' scores are exchanged in: `pos_score neg_score query_id pos_passage_id neg_passage_id`.

Tab separated, as Hofstätter et al. (2020, arXiv:2010.02666) publish theirs, scores as the teacher gives them; the text
form has the three texts in place of the ids. The first passage is the one that counts as relevant.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from rankloom.errors import DataError
from rankloom.files import atomic_path
from rankloom.lines import bad_line, text_lines
from rankloom.run import Run
from rankloom.training.distillation import Example

_STAGE = "teacher_file"
_FIELDS = 5
TEACHER = "teacher"  # what the scores of a file are called in examples


class Triple(NamedTuple):
    """One line: two scores, and the ids (or, in the text form, the texts) of a query and two passages.

    Args:
        positive_score: What the teacher gives the first passage.
        negative_score: What it gives the second.
        query: The query.
        positive: The passage that counts as relevant.
        negative: The other.
    """

    positive_score: float
    negative_score: float
    query: str
    positive: str
    negative: str


class Joined(NamedTuple):
    """What came of joining triples with texts.

    Args:
        examples: One of two documents for each triple whose ids are all known, in the order of the file.
        missing: How many triples were left out for an unknown query, and for an unknown passage.
    """

    examples: list[Example]
    missing: dict[str, int]


def read_triples(path: str | Path) -> Iterator[Triple]:
    """Read a file, in either form.

    Args:
        path: May end in `.gz`.

    Raises:
        NotFoundError: There is no such file.
        DataError: A line has not five fields, or its scores are not finite numbers.
    """
    for number, line in text_lines(Path(path), stage=_STAGE):
        fields = line.split("\t")
        if len(fields) != _FIELDS:
            raise bad_line(Path(path), number, f"{len(fields)} fields in place of {_FIELDS}", stage=_STAGE)
        try:
            first, second = float(fields[0]), float(fields[1])
        except ValueError as error:
            raise bad_line(Path(path), number, f"no score ({error})", stage=_STAGE) from error
        if not (math.isfinite(first) and math.isfinite(second)):
            raise bad_line(Path(path), number, "a score is not finite", stage=_STAGE)
        yield Triple(first, second, *fields[2:])


def write_triples(triples: Iterable[Triple], path: str | Path) -> int:
    """Write a file, whole or not at all; returns how many lines. White space within texts becomes one space.

    Raises:
        DataError: A field is blank.
    """
    count = 0
    with atomic_path(Path(path)) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for triple in triples:
            texts = [" ".join(text.split()) for text in triple[2:]]
            if not all(texts):
                raise DataError("a triple has a blank field", stage=_STAGE, value=triple)
            scores = (repr(float(score)) for score in triple[:2])
            file.write("\t".join([*scores, *texts]) + "\n")
            count += 1
    return count


def join(
    triples: Iterable[Triple],
    queries: Mapping[str, str],
    passages: Mapping[str, str],
    *,
    missing: Literal["error", "count"] = "error",
) -> Joined:
    """Put texts in the place of ids.

    Args:
        triples: With ids.
        queries: Id -> text.
        passages: Id -> text.
        missing: What happens to a triple with an unknown id: `error`, or `count`, which leaves it out and says so.

    Raises:
        DataError: An id is unknown and `missing` is `error`.
    """
    joined = Joined([], {"query": 0, "passage": 0})
    for triple in triples:
        unknown = [triple.query] if triple.query not in queries else []
        unknown += [one for one in (triple.positive, triple.negative) if one not in passages]
        if not unknown:
            texts = triple._replace(
                query=queries[triple.query], positive=passages[triple.positive], negative=passages[triple.negative]
            )
            joined.examples.append(example_of(texts))
            continue
        kind = "query" if triple.query not in queries else "passage"
        if missing == "error":
            raise DataError(
                f"there is no text of this {kind}",
                stage=_STAGE,
                value=unknown[0],
                fix="name the collection that the scores are of, or join with missing='count'",
            )
        joined.missing[kind] += 1
    return joined


def example_of(triple: Triple) -> Example:
    """A triple of texts as an example of two documents."""
    scores = {TEACHER: (triple.positive_score, triple.negative_score)}
    return Example(triple.query, (triple.positive, triple.negative), scores)


def triples_of(run: Run, qrels: Mapping[str, Mapping[str, int]]) -> Iterator[Triple]:
    """All pairs of a relevant hit and one that is not, with the scores of a run of any pipeline.

    Args:
        run: A teacher's hits.
        qrels: Query id -> passage id -> grade; passages without a grade count as not relevant.
    """
    for query_id, scores in run.to_dict().items():
        grades = qrels.get(query_id, {})
        relevant = [doc_id for doc_id in scores if grades.get(doc_id, 0) > 0]
        for positive in relevant:
            for negative in scores:
                if grades.get(negative, 0) <= 0:
                    yield Triple(scores[positive], scores[negative], query_id, positive, negative)
