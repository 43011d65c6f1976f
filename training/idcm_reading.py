"""Long documents as IDCM reads them in training, and the teacher's scores of their windows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rankloom.encoders import readable
from rankloom.fingerprint import digest
from rankloom.progress import Progress
from rankloom.rerank.idcm_model import IDCMModel, Row, Windows

Asked = tuple[str, str]  # a query, and a document that it is asked of
_AT_ONCE = 8  # documents whose scores are written at a time: what a killed training loses


class Reader:
    """Texts as tokens and windows, each tokenised once.

    Args:
        model: Whose sizes and tokenizer count.
    """

    def __init__(self, model: IDCMModel) -> None:
        self.model = model
        self._queries: dict[str, list[int]] = {}
        self._documents: dict[str, Windows] = {}

    def query(self, text: str) -> list[int]:
        """The tokens of a query."""
        if text not in self._queries:
            (self._queries[text],), _ = self.model.tokens([readable(text)], self.model.sizes.query_tokens)
        return self._queries[text]

    def windows(self, text: str) -> Windows:
        """The windows of a document."""
        if text not in self._documents:
            (tokens,), _ = self.model.tokens([readable(text)], self.model.sizes.max_tokens)
            self._documents[text] = self.model.windows(tokens)
        return self._documents[text]

    def rows(self, asked: Asked) -> list[Row]:
        """What the teacher reads of all windows of a document."""
        query, document = asked
        windows = self.windows(document)
        return [self.model.row(self.query(query), windows, place) for place in range(len(windows))]

    def all_scores(self, asked: Sequence[Asked]) -> list[torch.Tensor]:
        """The teacher's scores of all windows of each document; float32 of shape (windows,) each."""
        rows = [self.rows(one) for one in asked]
        scores = self.model.scores([row for some in rows for row in some])
        return list(torch.split(scores, [len(some) for some in rows]))


class TeacherScores:
    """A teacher's scores of all windows, which are asked for once and kept in a file.

    Args:
        reader: Of a teacher that is trained no more.
        file: JSON Lines; a line that was not written to its end is written anew.
        bfloat16: Whether products are computed in half precision.
    """

    def __init__(self, reader: Reader, file: Path, *, bfloat16: bool) -> None:
        self.reader, self.file, self.bfloat16 = reader, file, bfloat16
        self._known = _read(file)

    def read(self, asked: Sequence[Asked], progress: Progress) -> None:
        """Have the teacher read whatever it has not read yet."""
        missing = [one for one in dict.fromkeys(asked) if digest(*one) not in self._known]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        device = self.reader.model.weights.device.type
        with self.file.open("a", encoding="utf-8") as file, progress.task("the teacher", len(missing)) as advance:
            for start in range(0, len(missing), _AT_ONCE):
                some = missing[start : start + _AT_ONCE]
                with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=self.bfloat16):
                    found = self.reader.all_scores(some)
                for one, scores in zip(some, found, strict=True):
                    key, values = digest(*one), [round(value, 6) for value in scores.tolist()]
                    file.write(json.dumps({"pair": key, "scores": values}) + "\n")
                    self._known[key] = np.array(values, dtype=np.float32)
                file.flush()
                advance(len(some))

    def of(self, asked: Asked) -> NDArray[np.float32]:
        """The scores of a document that was read, float32 of shape (windows,)."""
        return self._known[digest(*asked)]


def _read(file: Path) -> dict[str, NDArray[np.float32]]:
    """What a file holds; it is left with whole lines only."""
    if not file.is_file():
        return {}
    known, whole = {}, []
    for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            record = json.loads(line)
        except ValueError:
            break  # the last one, cut off
        known[record["pair"]] = np.array(record["scores"], dtype=np.float32)
        whole.append(line if line.endswith("\n") else f"{line}\n")
    file.write_text("".join(whole), encoding="utf-8")
    return known
