"""Small files of texts with labelled sentences, and a recipe for a Provence model that learns from one."""

import json
import random
from pathlib import Path

from tests.tiny_models import tiny_encoder

MARKERS = ["yeast", "bread"]  # what sentences are made of that help to answer
_OTHERS = ["sky", "blue", "light", "sea", "moon", "tide", "query"]


def record(query_id, question, doc_id, sentences, relevant, *, title=""):
    """A line of such a file; sentences without the spaces between them."""
    spaced = [*(f"{one} " for one in sentences[:-1]), *sentences[-1:]]
    return {
        "query_id": query_id,
        "question": question,
        "doc_id": doc_id,
        "title": title,
        "sentences": spaced,
        "relevant": list(relevant),
    }


def write_records(file: Path, records) -> Path:
    """Write lines."""
    file.write_text("".join(json.dumps(one) + "\n" for one in records))
    return file


def marked_texts(file: Path, *, count: int = 60) -> Path:
    """Texts of five sentences of four words and a number; those made of markers are relevant. Every third has none.

    No two texts share a sentence.
    """
    draws = random.Random(5)
    records = []
    for number in range(count):
        sentences = [" ".join(draws.choices(_OTHERS, k=4)) for _ in range(5)]
        relevant = [] if number % 3 == 2 else sorted(draws.sample(range(5), 1 + number % 2))
        for place in relevant:
            sentences[place] = " ".join(draws.choices(MARKERS, k=4))
        sentences = [f"{one} {number}" for one in sentences]
        question = f"why is the {_OTHERS[number % 7]} {_OTHERS[number // 7 % 7]} {number // 49}"
        records.append(record(f"q{number}", question, f"d{number}", sentences, relevant))
    return write_records(file, records)


def provence_recipe(folder: Path, **training):
    """The values of a recipe whose data, backbone and cross-encoder to start from lie in a folder."""
    import torch
    from sentence_transformers import SentenceTransformer

    from rankloom.cross_encoder_adapter import CrossEncoderSettings, adapted, save_adapter, trained

    file, backbone = marked_texts(folder / "marked.labelled.jsonl"), tiny_encoder(folder / "tiny", max_length=64)
    torch.manual_seed(3)
    settings = CrossEncoderSettings(str(backbone), 40, rank=4)
    start = adapted(SentenceTransformer(str(backbone), device="cpu"), settings)
    with torch.no_grad():
        for name, parameter in trained(start).items():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    save_adapter(start, folder / "cross-encoder", settings)
    return {
        "kind": "provence",
        "name": "tiny",
        "output": str(folder / "out"),
        "sources": [{"name": "marked", "licence": "CC0", "labelled": str(file), "validation": 12}],
        "negatives": {"pipeline": ["bm25"], "ranks": [1, 10], "count": 2, "pool": 5},
        "encoder": {
            "model": str(backbone),
            "max_tokens": 40,
            "lora": {"rank": 4},
            "start": str(folder / "cross-encoder"),
        },
        "training": {
            "steps": 6,
            "queries": 8,
            "checkpoint": 2,
            "learning_rate": 3e-3,
            "bfloat16": False,
            "device": "cpu",
            **training,
        },
    }
