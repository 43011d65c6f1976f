"""A recipe for IDCM that is small enough for tests, and articles to ask questions about."""

import json
from itertools import combinations
from pathlib import Path

from tests.tiny_models import tiny_encoder


def articles(folder: Path, *, count: int = 20):
    """A file in SQuAD's format: articles of some words each, and two questions of words that stand together in them."""
    words = ["sky", "blue", "light", "sea", "moon", "tide", "bread", "yeast"]
    pairs = list(combinations(words, 2))
    data = []
    for number in range(count):
        said = [pairs[(number + 7 * step) % len(pairs)] for step in range(6)]
        text = " : ".join(f"the {one} {other} is the {one} {other}" for one, other in said)
        asked = [(step, " ".join(said[step])) for step in (1, 4)]
        questions = [
            {
                "id": f"{number}-{step}",
                "question": f"why is {number} the {words}",
                "answers": [{"text": f"{words} is", "answer_start": text.index(f"{words} is")}],
            }
            for step, words in asked
        ]
        data.append({"paragraphs": [{"document_id": number, "context": text, "qas": questions}]})
    file = folder / "articles.json"
    file.write_text(json.dumps({"data": data}))
    return file


def idcm_recipe(folder: Path, **training):
    """The values of a recipe for IDCM whose data and backbone lie in a folder."""
    file, backbone = articles(folder), tiny_encoder(folder / "tiny", max_length=64)
    step = {"steps": 4, "queries": 2, "checkpoint": 2, "learning_rate": 1e-2, "bfloat16": False, "device": "cpu"}
    return {
        "kind": "idcm",
        "name": "tiny",
        "output": str(folder / "out"),
        "sources": [{"name": "articles", "licence": "CC0", "collection": f"{file}/train"}],
        "negatives": {"pipeline": ["bm25"], "ranks": [1, 5], "count": 1},
        "encoder": {
            "model": str(backbone),
            "core": 6,
            "overlap": 2,
            "query_tokens": 12,
            "max_tokens": 60,
            "sample": 2,
            "lora": {"rank": 2},
        },
        "validation": {"collection": f"{file}/validation", "queries": 3, "documents": 2},
        "passages": {**step, "count": 2},
        "training": {**step, **training},
        "distillation": {**step, "pairs": 12},
    }
