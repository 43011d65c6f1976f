"""SciFact (Wadden et al., EMNLP 2020): claims, the abstracts that support or refute them, and the rationales.

JSON Lines, a line for each rationale: `split`, `claim_id`, `claim`, `doc_id`, `rationale` (places), `sentences`. Any
one rationale may do; sentences of all of them are relevant. Ids and texts are those of BEIR's `scifact`, without
titles.
"""

from __future__ import annotations

from pathlib import Path

from rankloom.eval.labelled_sentences.records import reading, records
from rankloom.eval.labelled_sentences.text import LabelledTexts

SPLITS = ("validation", "train")
_ACCEPTED = "split, claim_id, claim, doc_id, sentences, and rationale, places of sentences from 0"


def read_scifact(path: Path, split: str) -> LabelledTexts:
    """The claims of a split.

    Raises:
        DataError: A malformed line; names file and line.
    """
    found = LabelledTexts()
    for where, record in records(path):
        with reading(where, _ACCEPTED):
            if record["split"] not in SPLITS:
                raise ValueError(f"the split is {record['split']!r}, none of {', '.join(SPLITS)}")
            if record["split"] == split:
                found.add(
                    query_id=str(record["claim_id"]),
                    question=record["claim"],
                    doc_id=str(record["doc_id"]),
                    sentences=record["sentences"],
                    relevant=record["rationale"],
                )
    return found
