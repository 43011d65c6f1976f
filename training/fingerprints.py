"""What a training, and the examples that it learns from, are made of, as one digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rankloom.fingerprint import digest
from rankloom.stage import Stage


def made_of(
    said: Mapping[str, Any], *, data: Iterable[object], stages: Mapping[str, Stage] | None = None, model: str = ""
) -> str:
    """The key under which examples are kept, and the mark of a training that may be gone on with.

    Files and models change under their names. So this reads what they hold; the names alone say nothing.

    Args:
        said: What the recipe says, without what changes nothing.
        data: What is learnt from and measured on: sources (queries, held-out queries, judgements, documents), or what
            was made of them, such as examples. Each is digested on its own, so that many need little memory.
        stages: Name -> pipeline that makes examples of the data.
        model: The fingerprint of the model that training starts from.
    """
    return digest(said, [digest(one) for one in data], dict(stages or {}), model)
