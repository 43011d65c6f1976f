"""Vectors that somebody has computed before: from files or arrays, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.encoders.encoder import Encoded, Role
from rankloom.errors import DataError, NotFoundError
from rankloom.fingerprint import digest
from rankloom.session import Session


class GivenVectors:
    """One vector for each text that is known, and an error for any other.

    Pipelines ask for the vector of a query's text. Where vectors are known by the ids of queries, give the texts of
    these ids: `GivenVectors.read(..., texts={query.id: query.text for query in queries})`.

    Args:
        model: What made the vectors. Vectors of one name and length can be compared, so that queries and documents
            whose vectors stand in different files must be given the same name.
        texts: The texts, each once.
        vectors: One for each text, in their order; float16, float32 or float64 of shape (texts, dimensions), finite.
        stage: Who encodes, for errors.

    Raises:
        DataError: The numbers of texts and vectors differ, a text stands twice, or a number is not finite.

    Example:
        >>> encoder = GivenVectors("mine", ["why is the sky blue"], np.array([[0.6, 0.8]]))
        >>> encoder.encode(["why is the sky blue"], role="query", session=Session()).vectors.tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """

    def __init__(self, model: str, texts: Sequence[str], vectors: NDArray[Any], *, stage: str = "encoder") -> None:
        self.model, self.stage = model, stage
        array = np.asarray(vectors)
        if array.ndim != 2 or array.dtype.kind != "f" or len(array) != len(texts):
            raise DataError(
                "there must be one vector of floating-point numbers for each text",
                stage=stage,
                value=f"{array.dtype} of shape {array.shape} for {len(texts)} texts",
                accepted=f"shape ({len(texts)}, dimensions)",
            )
        self._vectors = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(self._vectors).all():
            bad = int(np.flatnonzero(~np.isfinite(self._vectors).all(axis=1))[0])
            raise DataError("a vector is not finite", stage=stage, value=texts[bad])
        self._rows = {text: row for row, text in enumerate(texts)}
        if len(self._rows) != len(texts):
            twice = next(text for row, text in enumerate(texts) if self._rows[text] != row)
            raise DataError("a text stands twice", stage=stage, value=twice)

    @classmethod
    def read(
        cls,
        model: str,
        vectors: str | Path,
        ids: str | Path,
        *,
        texts: dict[str, str] | None = None,
        stage: str = "encoder",
    ) -> Self:
        """Vectors from an `.npy` file, and what each belongs to from a text file with one id a line.

        Args:
            model: What made the vectors.
            vectors: An `.npy` file of shape (ids, dimensions).
            ids: One id a line, in the order of the vectors.
            texts: The text of each id; default: the lines are the texts themselves. Several ids may have one text if
                their vectors are equal.
            stage: Who encodes, for errors.

        Raises:
            NotFoundError: A file is not there.
            DataError: The vectors can not be read or do not fit the ids, an id has no text, or a text has two vectors.
        """
        for path in (vectors, ids):
            if not Path(path).is_file():
                raise NotFoundError("there is no such file", stage=stage, value=str(path))
        try:
            array = np.load(vectors, allow_pickle=False)
        except ValueError as error:
            raise DataError(f"the vectors can not be read ({error})", stage=stage, value=str(vectors)) from error
        lines = Path(ids).read_text(encoding="utf-8").splitlines()
        if texts is None:
            return cls(model, lines, array, stage=stage)
        unknown = next((line for line in lines if line not in texts), None)
        if unknown is not None:
            raise DataError("there is no text of this id", stage=stage, value=unknown)
        first: dict[str, int] = {}
        for row, line in enumerate(lines[: len(array)]):
            same = first.setdefault(texts[line], row)
            if not np.array_equal(array[same], array[row]):
                raise DataError("one text has two vectors", stage=stage, value=line)
        if len(array) != len(lines):
            return cls(model, lines, array, stage=stage)  # which tells of the numbers
        return cls(model, list(first), array[list(first.values())], stage=stage)

    def __repr__(self) -> str:
        """How many vectors there are, and what made them."""
        return f"<GivenVectors of {len(self._rows)} texts by {self.model}>"

    def fingerprint(self) -> str:
        """A digest of the name of what made the vectors, and of their length."""
        return digest("given vectors", self.model, self._vectors.shape[1])

    def settings(self) -> dict[str, Any]:
        """A digest of texts and vectors: others of the same name and length are others."""
        return {"given": self._digest}

    @cached_property
    def _digest(self) -> str:
        """The digest of texts and vectors, taken once."""
        return digest(list(self._rows), self._vectors)

    def precision_in(self, session: Session) -> str:  # noqa: ARG002  # the protocol's
        """`given`."""
        return "given"

    def resolve(self, session: Session) -> None:
        """Nothing: all is there."""

    def load(self, session: Session) -> None:
        """Nothing: all is there."""

    def close(self) -> None:
        """Nothing: the vectors are not loaded but given."""

    def passages(self, texts: list[str], session: Session) -> list[list[str]]:  # noqa: ARG002  # the protocol's
        """Each document as it is."""
        return [[text] for text in texts]

    def encode(self, texts: list[str], *, role: Role, session: Session) -> Encoded:  # noqa: ARG002  # the protocol's
        """The vectors of some texts.

        Raises:
            DataError: There is none of a text.
        """
        missing = [text for text in texts if text not in self._rows]
        if missing:
            raise DataError(
                f"there is no given vector of {len(missing)} of {len(texts)} texts ({role}), this one first",
                stage=self.stage,
                value=missing[0],
                fix="give the vectors of all queries, or an encoder that can compute them",
            )
        nothing = np.zeros(len(texts), dtype=np.int64)
        rows = np.array([self._rows[text] for text in texts], dtype=np.int64)
        return Encoded(self._vectors[rows], nothing, nothing.copy(), 0)
