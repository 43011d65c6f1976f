"""Silver labels: the lines of the file, the filters of the paper, and that nothing is paid for twice."""

import json
import re

import pytest

from rankloom import Document, Session
from rankloom.budget import Budget
from rankloom.errors import StageError, UsageError
from rankloom.rerank.pruning import CitationPruner, write_silver_labels
from tests.rerank.pruning.citers import DOCUMENTS, Citer, candidates, truth


def labels(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_lines(tmp_path):
    session = Session(offline=True, cache=tmp_path / "cache")
    found = write_silver_labels(candidates(session), CitationPruner(Citer()), tmp_path / "labels.jsonl")
    lines = labels(tmp_path / "labels.jsonl")
    assert lines[0] == {
        "query_id": "q1",
        "question": "why is the sky blue",
        "doc_id": "d1",
        "title": "On skies",
        "sentences": ["Air scatters the light of the sky. ", "Bread needs yeast. ", "At dusk the sky is red."],
        "relevant": [0, 2],
    }
    assert [(line["query_id"], line["doc_id"], line["relevant"]) for line in lines] == [
        (query, doc_id, relevant)
        for query in ("q1", "q2")
        for doc_id, relevant in (("d1", [0, 2]), ("d2", []), ("d4", [0]))
    ]
    texts = {document.id: document.text for document in DOCUMENTS}
    assert all("".join(line["sentences"]) == texts[line["doc_id"]] for line in lines)
    assert found.counts() == {
        "relevant": 4, "irrelevant": 2, "unreadable": 0, "cut": 0, "title_alone": 0, "no_sentences": 2, "unfinished": 0,
    }  # fmt: skip
    cost = found.ledger.costs[-1]
    assert (cost.stage, cost.model, cost.calls, cost.inputs) == ("citation_pruner", "citer", 6, 8)


FATES = {
    "It is so.": "unreadable",
    "[9]": "unreadable",
    "": "unreadable",
    "No answer": "irrelevant",
    "No answer [1]": "irrelevant",
    "[0]": "title_alone",
    "[0][2]": "relevant",
    "[1][9]": "relevant",
}


@pytest.mark.parametrize("said", FATES)
def test_filters(tmp_path, said):
    session = Session(offline=True, cache=tmp_path / "cache")
    model = Citer(says=lambda _: said)
    run = candidates(session, DOCUMENTS[:1], {"q": "sky"})
    found = write_silver_labels(run, CitationPruner(model), tmp_path / "labels.jsonl")
    assert {name for name, count in found.counts().items() if count} == {FATES[said]}
    expected = {"irrelevant": [[]], "relevant": [[int(number) - 1 for number in re.findall(r"[12]", said)]]}
    assert [line["relevant"] for line in labels(tmp_path / "labels.jsonl")] == expected.get(FATES[said], [])
    assert bool(found.ledger.notes) == (said not in ("No answer", "[0]", "[0][2]"))


def test_an_answer_that_was_cut_makes_no_label(tmp_path):
    session = Session(offline=True, cache=tmp_path / "cache")
    found = write_silver_labels(candidates(session), CitationPruner(Citer(cut=True)), tmp_path / "labels.jsonl")
    assert (found.cut, labels(tmp_path / "labels.jsonl")) == (6, [])


def test_one_block_that_can_not_be_read_makes_no_label(tmp_path):
    session = Session(offline=True, cache=tmp_path / "cache")
    model = Citer(says=lambda text: truth(text) if "yeast" in text else "Hm.")
    pruner = CitationPruner(model, block_words=8)
    found = write_silver_labels(candidates(session, DOCUMENTS[:1]), pruner, tmp_path / "labels.jsonl")
    assert (found.unreadable, found.relevant) == (2, 0)


def test_a_broken_line_loses_nothing_that_was_paid_for(tmp_path):
    session, path = Session(offline=True, cache=tmp_path / "cache"), tmp_path / "labels.jsonl"
    model = Citer(fails_after=4)
    with pytest.raises((StageError, ConnectionError)):
        write_silver_labels(candidates(session), CitationPruner(model), path)
    assert not path.exists()
    model.fails_after = None
    write_silver_labels(candidates(session), CitationPruner(model), path)
    assert len(model.prompts) == 6
    whole = path.read_bytes()
    write_silver_labels(candidates(session), CitationPruner(model), path)
    assert (len(model.prompts), path.read_bytes()) == (6, whole)


def test_a_budget_leaves_the_rest_for_the_next_time(tmp_path):
    path, model = tmp_path / "labels.jsonl", Citer()
    lines = []
    for unfinished in (5, 3, 0):
        session = Session(offline=True, cache=tmp_path / "cache", budget=Budget(calls=2))
        found = write_silver_labels(candidates(session), CitationPruner(model), path)
        assert found.unfinished == unfinished
        assert bool(found.ledger.of("unfinished")) == (unfinished > 0)
        assert labels(path)[: len(lines)] == lines
        lines = labels(path)
    assert (len(model.prompts), len(lines)) == (6, 6)


def test_any_text_can_be_written(tmp_path):
    session = Session(offline=True, cache=tmp_path / "cache")
    texts = ["天空是蓝的。为什么?", "  The sky. \u2028 The sea.\n\n"]
    documents, question = [Document(f"d{place}", text) for place, text in enumerate(texts)], "half \ud83d a pair"
    run = candidates(session, documents, {"q": question})
    write_silver_labels(run, CitationPruner(Citer()), tmp_path / "labels.jsonl")
    for line, document in zip(labels(tmp_path / "labels.jsonl"), documents, strict=True):
        assert ("".join(line["sentences"]), line["question"]) == (document.text.strip(), question)


def test_without_a_cache_nothing_is_asked(tmp_path):
    model = Citer()
    with pytest.raises(UsageError, match=r"silver_labels: the session has no cache.*Session\(cache=FOLDER\)"):
        write_silver_labels(candidates(), CitationPruner(model), tmp_path / "labels.jsonl")
    assert not model.prompts
