"""A recipe small enough for tests: a tiny backbone, and pairs from the mini collection."""

import json
from pathlib import Path

from rankloom.eval import load_collection
from tests.tiny_models import tiny_encoder


def tiny_recipe(folder: Path, **training):
    """The values of a recipe whose data and backbone lie in a folder."""
    mini = load_collection("mini")
    pairs = folder / "pairs.jsonl"
    with pairs.open("w", encoding="utf-8") as file:
        for document in list(mini.corpus)[:60]:
            file.write(json.dumps({"q": document.title, "d": document.text}) + "\n")
    backbone = tiny_encoder(folder / "tiny", max_length=64)
    return {
        "kind": "inference_free",
        "name": "tiny",
        "output": str(folder / "out"),
        "sources": [
            {
                "name": "titles",
                "licence": "Apache-2.0",
                "pairs": {"file": str(pairs), "query": "q", "document": "d"},
                "validation": 10,
            }
        ],
        "teachers": {
            "stages": {"bm25": ["bm25"], "flat": [{"bm25": {"b": 0.0}}]},
            "ensemble": ["bm25", "flat"],
            "candidates": ["bm25", {"top": 20}],
            "documents": 3,
        },
        "student": {
            "backbone": str(backbone),
            "rank": 2,
            "layers": 1,
            "max_tokens": 32,
            "warm_start": 40,
        },
        "loss": {"kl": 1.0, "info_nce": 0.1},
        "penalty": {"weight": 0.01, "sample": 0.5},
        "training": {"steps": 6, "queries": 4, "checkpoint": 2, "bfloat16": False, "device": "cpu", **training},
    }
