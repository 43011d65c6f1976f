"""Recipes small enough for tests: a tiny backbone, and pairs from the mini collection."""

import json
from itertools import combinations
from pathlib import Path

from rankloom.eval import load_collection
from tests.tiny_models import tiny_chooser, tiny_encoder
from tests.training.pages import linked_pages


def titles_of_mini(folder: Path):
    """A source whose queries are titles of documents of the mini collection."""
    mini = load_collection("mini")
    pairs = folder / "pairs.jsonl"
    with pairs.open("w", encoding="utf-8") as file:
        for document in list(mini.corpus)[:60]:
            file.write(json.dumps({"q": document.title, "d": document.text}) + "\n")
    return {
        "name": "titles",
        "licence": "Apache-2.0",
        "pairs": {"file": str(pairs), "query": "q", "document": "d"},
        "validation": 10,
    }


def contrastive_recipe(folder: Path, **training):
    """The values of a contrastive recipe whose data and encoder lie in a folder."""
    return {
        "kind": "contrastive",
        "name": "tiny",
        "output": str(folder / "out"),
        "sources": [titles_of_mini(folder)],
        "negatives": {"pipeline": ["bm25", {"top": 10}], "judge": [{"bm25": {"b": 0.0}}], "count": 2, "pool": 5},
        "encoder": {"model": str(tiny_encoder(folder / "tiny", max_length=64)), "max_tokens": 32},
        "training": {
            "steps": 9,
            "queries": 4,
            "checkpoint": 3,
            "learning_rate": 1e-3,
            "bfloat16": False,
            "device": "cpu",
            **training,
        },
    }


def pretraining_recipe(folder: Path, **training):
    """The values of a recipe that trains an encoder on pages, by all three tasks."""
    corpus = folder / "pages.jsonl"
    with corpus.open("w", encoding="utf-8") as file:
        for one in linked_pages(24):
            file.write(json.dumps({"id": one.id, "title": one.title, "text": one.text, **one.metadata}) + "\n")
    contrastive = contrastive_recipe(folder, **training)
    return {
        "kind": "pretraining",
        "name": "tiny",
        "output": str(folder / "out"),
        "sources": [{"name": "pages", "licence": "CC0", "corpus": str(corpus), "validation": 4}],
        "tasks": {"ict": {"each": 2}, "bfs": {"each": 2}, "wlp": {"each": 2}},
        "encoder": contrastive["encoder"],
        "training": contrastive["training"],
    }


def tiny_recipe(folder: Path, **training):
    """The values of an inference-free recipe whose data and backbone lie in a folder."""
    backbone = tiny_encoder(folder / "tiny", max_length=64)
    return {
        "kind": "inference_free",
        "name": "tiny",
        "output": str(folder / "out"),
        "sources": [titles_of_mini(folder)],
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


def multi_vector_recipe(folder: Path, **training):
    """The values of a recipe for a multi-vector encoder whose data and backbone lie in a folder."""
    contrastive = contrastive_recipe(folder, **training)
    return {
        **contrastive,
        "kind": "multi_vector",
        "encoder": {
            "model": contrastive["encoder"]["model"],
            "dimensions": 16,
            "query_tokens": 12,
            "document_tokens": 32,
            "lora": {"rank": 2},
        },
        "reduction": "C3x5",
        "loss": {"temperature": 0.1},
    }


def cross_encoder_recipe(folder: Path, **training):
    """The values of a recipe for a cross-encoder whose data and backbone lie in a folder."""
    contrastive = contrastive_recipe(folder, **training)
    encoder = {"model": contrastive["encoder"]["model"], "max_tokens": 40, "lora": {"rank": 2}}
    return {**contrastive, "kind": "cross_encoder", "encoder": encoder, "loss": "softmax"}


def duo_recipe(folder: Path, **training):
    """The values of a recipe for a model that compares documents; data and backbone lie in a folder."""
    values = cross_encoder_recipe(folder, **training)
    del values["loss"]
    return {**values, "kind": "duo", "compared": 2, "depth": 3}


def topics(folder: Path):
    """A source of documents of two words each, with questions that hide these two among others: easy to learn."""
    words = ["sky", "blue", "light", "sea", "moon", "tide", "bread", "yeast"]
    questions = ["why is the {} {}", "the {} is {} why", "is {} the {} : why", "why why why {} {} is is",
                 "the the {} : {} the the", "query : why : {} is : {} :"]  # fmt: skip
    pairs = folder / "topics.jsonl"
    with pairs.open("w", encoding="utf-8") as file:
        for place, (one, other) in enumerate(combinations(words, 2)):
            for number, question in enumerate(questions):
                asked = (one, other) if (place + number) % 2 else (other, one)
                file.write(json.dumps({"q": question.format(*asked), "d": f"{one} {other} " * 3}) + "\n")
    return {
        "name": "topics",
        "licence": "CC0",
        "pairs": {"file": str(pairs), "query": "q", "document": "d"},
        "validation": 40,
    }


def prf_recipe(folder: Path, **training):
    """The values of a recipe for a query encoder that reads feedback; data and encoder lie in a folder."""
    contrastive = contrastive_recipe(folder, **training)
    model = contrastive["encoder"]["model"]
    return {
        **contrastive,
        "kind": "prf",
        "sources": [topics(folder)],
        "negatives": {"pipeline": [{"dense": {"model": model, "k": 20}}], "ranks": [1, 20], "count": 2, "pool": 5},
        "encoder": {
            "model": model,
            "docs": 2,
            "max_tokens": 64,
            "document_tokens": 20,
            "pooled": "query",
            "lora": {"rank": 4},
        },
        "loss": {"temperature": 0.05},
    }


def graded_topics(folder: Path):
    """Passages of two words, and questions about two: the passage of both has grade 2, one of either grade 1."""
    words = ["sky", "blue", "light", "sea", "moon", "tide", "bread", "yeast"]
    pairs = list(combinations(words, 2))
    (folder / "qrels").mkdir(parents=True)
    passages = [{"_id": f"d{place}", "text": f"{one} {other} " * 3} for place, (one, other) in enumerate(pairs)]
    asked, judged = [], ["query-id\tcorpus-id\tscore"]
    for place, (one, other) in enumerate(pairs):
        for number, question in enumerate(["why is the {} {}", "query : the {} is {} why", "{} the the is {} :"]):
            query = f"q{place}-{number}"
            asked.append({"_id": query, "text": question.format(one, other)})
            shared = [len({one, other} & set(pair)) for pair in pairs]
            judged += [f"{query}\td{code}\t{grade}" for code, grade in enumerate(shared) if grade]
    for name, records in (("corpus", passages), ("queries", asked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    (folder / "qrels" / "train.tsv").write_text("\n".join(judged) + "\n")
    return {"name": "graded", "licence": "CC0", "collection": f"{folder}:train", "validation": 24}


def pg_rank_recipe(folder: Path, **training):
    """The values of a recipe that trains a sentence encoder for nDCG; data and encoder lie in a folder."""
    contrastive = contrastive_recipe(folder, **training)
    model = contrastive["encoder"]["model"]
    return {
        **contrastive,
        "kind": "pg_rank",
        "sources": [graded_topics(folder / "graded")],
        "negatives": {
            "pipeline": [{"dense": {"model": model, "k": 20}}],
            "ranks": [1, 20],
            "count": 9,
            "positives": 5,
            "pool": 5,
        },
        "encoder": {"architecture": "bi_encoder", "model": model, "max_tokens": 32, "lora": {"rank": 4}},
        "loss": {"samples": 8},
    }


def pg_rank_cross_recipe(folder: Path, **training):
    """The same for an adapter of a cross-encoder, whose head is arbitrary."""
    import torch
    from sentence_transformers import SentenceTransformer

    from rankloom.cross_encoder_adapter import CrossEncoderSettings, adapted, save_adapter

    values = pg_rank_recipe(folder, **training)
    torch.manual_seed(3)
    settings = CrossEncoderSettings(values["encoder"]["model"], 40, rank=4)
    start = adapted(SentenceTransformer(settings.backbone, device="cpu"), settings)
    save_adapter(start, folder / "start", settings)
    return {**values, "encoder": {"architecture": "cross_encoder", "model": str(folder / "start")}}


def rank_r1_recipe(folder: Path, **training):
    """The values of a recipe that teaches a tiny language model to choose; data and model lie in a folder."""
    contrastive = contrastive_recipe(folder, **training)
    return {
        **{name: contrastive[name] for name in ("name", "output", "training")},
        "kind": "rank_r1",
        "sources": [topics(folder)],
        "negatives": {"pipeline": ["bm25", {"top": 10}], "ranks": [1, 10], "count": 2, "pool": 5},
        "model": {
            "model": str(tiny_chooser(folder / "chooser", passages=3)),
            "modules": ["q_proj", "v_proj", "down_proj"],
        },
        "loss": {"samples": 8, "max_tokens": 8, "temperature": 1.0, "beta": 0.0, "at_once": 16},
        "measured": 12,
    }
