"""FoolMeTwice (Eisenschlos et al., NAACL 2021): claims and the sentences of Wikipedia that support or refute them.

JSON Lines: `id`, `text` (the claim), `wikipedia_page`, `gold_evidence` and `retrieved_evidence`, lists of `text`. All
evidence of a claim is one text. The sentences of a page are not in the file with their places, so they are put in an
order that does not tell which are gold.
"""

from __future__ import annotations

from pathlib import Path

from rankloom.eval.labelled_sentences.records import reading, records
from rankloom.eval.labelled_sentences.text import LabelledTexts, in_hidden_order

_ACCEPTED = "id, text, wikipedia_page, gold_evidence and retrieved_evidence, lists of text"


def read_fool_me_twice(path: Path, split: str) -> LabelledTexts:  # noqa: ARG001  # a file is one split
    """All claims.

    Raises:
        DataError: A malformed line; names file and line.
    """
    found = LabelledTexts()
    for where, record in records(path):
        with reading(where, _ACCEPTED):
            claim_id = str(record["id"])
            gold, retrieved = (
                [one["text"].strip() for one in record[key]] for key in ("gold_evidence", "retrieved_evidence")
            )
            sentences = in_hidden_order(claim_id, [*gold, *retrieved])
            relevant = [place for place, sentence in enumerate(sentences) if sentence in gold]
            found.add(
                query_id=claim_id,
                question=record["text"],
                doc_id=claim_id,
                title=record["wikipedia_page"],
                sentences=sentences,
                relevant=relevant,
            )
    return found
