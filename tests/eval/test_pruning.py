"""What pruning saves and loses, by hand, by brute force, and over real pipelines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom import Document
from rankloom.context import estimate_tokens
from rankloom.corpus import MemoryDocuments
from rankloom.errors import CompositionError, ConfigError, DataError
from rankloom.eval.collections import Collection, load_collection
from rankloom.eval.kept_sentences import KeptSentences, kept_sentences
from rankloom.eval.pruning import (
    PRUNING,
    answer_retention,
    compression,
    nothing_to_keep,
    pruning_measures,
    retention,
    tokens_saved,
)
from rankloom.eval.sentence_labels import read_sentences
from rankloom.eval.table import summarise
from rankloom.ranking import Ranking
from rankloom.records import Query, Span
from rankloom.rerank import Provence
from rankloom.rerank.pruning import split_sentences
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Pruner, Reranker
from tests.tiny_provence import tiny_provence

SKY = Document("sky", "Air scatters blue light. Bread needs yeast. So the sky is blue.", title="The sky")
TEA = Document("tea", "Tea is a drink.\n\nIt is hot.")
DOCUMENTS = {"sky": SKY, "tea": TEA}


class KeepFirst(Pruner):
    """Keeps the first sentences of each document, down to a depth."""

    name = "keep_first"

    def __init__(self, *, sentences: int = 1, depth: int = 10) -> None:
        self.sentences, self.depth = sentences, depth

    def __call__(self, run: Run) -> Run:
        spans = []
        for hits in run.values():
            for hit in hits:
                parts = [
                    Span(start, end, 0.5, place < self.sentences)
                    for place, (start, end) in enumerate(split_sentences(hit.text))
                ]
                spans.append(tuple(parts) if hit.rank <= self.depth else None)
        return run.ranked(replace(run.hits(stage=self.name), spans=tuple(spans)))


class Reverse(Reranker):
    """The ranking upside down, spans and all."""

    name = "reverse"

    def __call__(self, run: Run) -> Run:
        before = run.hits(stage=self.name)
        lists = [[(hit.doc_id, -hit.score) for hit in hits] for hits in run.values()]
        spans = tuple(hit.spans for hits in run.values() for hit in reversed(list(hits)))
        after = Ranking.from_lists(lists, stage=self.name)
        return run.ranked(replace(after, spans=spans if before.spans is not None else None))


class Nothing(Reranker):
    """Leaves no hit."""

    name = "nothing"

    def __call__(self, run: Run) -> Run:
        return run.ranked(run.hits(stage=self.name).top(0))


def given_run() -> Run:
    return Run.from_dict(
        {"q1": {"sky": 2.0, "tea": 1.0}, "q2": {"tea": 1.0}, "q3": {}},
        queries=[Query("q1", "sky"), Query("q2", "tea"), Query("q3", "nothing")],
        documents=MemoryDocuments(DOCUMENTS.values()),
    )


def test_compression_by_hand() -> None:
    run = KeepFirst().run(given_run())
    left, whole = len("Air scatters blue light.") + len("Tea is a drink."), len(SKY.text) + len(TEA.text)
    assert compression(run) == {
        "q1": pytest.approx(1 - left / whole),  # of the sum, not the mean of two shares
        "q2": pytest.approx(1 - len("Tea is a drink.") / len(TEA.text)),
        "q3": 0.0,
    }
    words = estimate_tokens("Air scatters blue light.") + estimate_tokens("Tea is a drink.")
    both = estimate_tokens(SKY.text) + estimate_tokens(TEA.text)
    assert compression(run, count=estimate_tokens)["q1"] == pytest.approx(1 - words / both)


def test_documents_below_the_pruners_depth_count_as_whole() -> None:
    run = KeepFirst(depth=1).run(given_run())
    left, whole = len("Air scatters blue light.") + len(TEA.text), len(SKY.text) + len(TEA.text)
    assert compression(run)["q1"] == pytest.approx(1 - left / whole)


def test_what_is_cut_off_or_moved_after_pruning_changes_nothing() -> None:
    pruned = compression(KeepFirst().run(given_run()))
    assert compression((KeepFirst() >> Reverse()).top(1).run(given_run())) == pruned
    # The last pruner decides, over the documents it was given.
    twice = (KeepFirst().top(1) >> KeepFirst(sentences=2)).run(given_run())
    kept = "Air scatters blue light. Bread needs yeast."
    assert compression(twice)["q1"] == pytest.approx(1 - len(kept) / len(SKY.text))


def test_the_last_pruner_counts_though_it_decides_as_the_first_or_nothing_is_left() -> None:
    once = KeepFirst().run(given_run())
    share = compression(once)
    one_hit = compression(KeepFirst().top(1).run(given_run()))
    assert one_hit == share  # what is cut off behind a pruner counts
    twice = (KeepFirst().top(1) >> KeepFirst()).run(given_run())
    left = len("Air scatters blue light.")
    assert compression(twice)["q1"] == pytest.approx(1 - left / len(SKY.text))  # the second was given one document
    assert compression((KeepFirst() >> Nothing()).run(given_run())) == share
    assert compression((KeepFirst() >> Nothing() >> KeepFirst()).run(given_run())) == dict.fromkeys(share, 0.0)


def test_where_nothing_is_pruned_nothing_is_saved_or_lost() -> None:
    run = replace(given_run(), documents=None)  # texts are not even read
    for name, measure in PRUNING.items():
        labels: dict[str, Any] = {"sentences": {"q1": {"sky": ((0, 5),)}}, "answers": {"q1": ("sky",)}}
        if name in {"sentence_precision", "sentence_f1", "sentence_f2"}:
            continue  # of a run that keeps everything these are not perfect
        values = pruning_measures(run, [name], ["q1", "q9"], **labels)[name]
        assert values == dict.fromkeys(("q1", "q9"), measure.empty)
    whole = KeepFirst(sentences=99).run(given_run())
    assert retention(whole, {"q1": {"sky": ((0, 24), (43, 63))}}) == {"q1": 1.0, "q2": 1.0, "q3": 1.0}
    with pytest.raises(CompositionError, match="texts"):
        compression(replace(whole, documents=None))


def test_retention_by_hand() -> None:
    labels = {"q1": {"sky": ((0, 24), (43, 63)), "tea": ((0, 15),), "elsewhere": ((0, 9),)}}
    run = KeepFirst().run(given_run())
    assert retention(run, labels) == {"q1": pytest.approx(2 / 3), "q2": 1.0, "q3": 1.0}
    with pytest.raises(DataError, match="outside its text"):
        retention(run, {"q2": {"tea": ((0, 99),)}})


LABELS = {"q1": {"sky": ((0, 24), (43, 63)), "tea": ((0, 15),), "elsewhere": ((0, 9),)}}


def test_queries_with_nothing_to_keep_are_told() -> None:
    run = KeepFirst().run(given_run())
    ids, answers = ["q1", "q2", "q3", "q9"], {"q1": ("absent",), "q2": ("hot",)}
    found = nothing_to_keep(run, ["retention", "answer_retention"], ids, sentences=LABELS, answers=answers)
    assert found == {"sentences": ("q2", "q3", "q9"), "answers": ("q1", "q3", "q9")}
    assert all(retention(run, LABELS).get(one, 1.0) == 1 for one in found["sentences"])
    assert nothing_to_keep(run, ["sentence_f2"], ids, sentences=LABELS) == {"sentences": ("q2", "q3", "q9")}
    assert nothing_to_keep(run, ["compression"], ids) == {}
    assert nothing_to_keep(replace(given_run(), documents=None), ["retention"], ids, sentences=LABELS) == {}


def test_tokens_saved_by_hand() -> None:
    run = KeepFirst().run(given_run())
    gone = sum(map(estimate_tokens, ("Bread needs yeast.", "So the sky is blue.", "It is hot.")))
    assert tokens_saved(run) == {"q1": gone, "q2": estimate_tokens("It is hot."), "q3": 0}
    assert tokens_saved(run, count=len)["q2"] == len(TEA.text) - len("Tea is a drink.")
    assert tokens_saved(given_run())["q1"] == 0


def test_precision_and_f_by_hand() -> None:
    run = KeepFirst(sentences=2).run(given_run())
    # Of q1: two of three labelled sentences, among four kept. Nothing of tea is labelled for q2, but two were kept.
    assert kept_sentences(run, LABELS) == {
        "q1": KeptSentences(relevant=3, found=2, kept=4, helpful=2),
        "q2": KeptSentences(relevant=0, found=0, kept=2, helpful=0),
        "q3": KeptSentences(relevant=0, found=0, kept=0, helpful=0),
    }
    names = ["sentence_precision", "retention", "sentence_f1", "sentence_f2"]
    values = pruning_measures(run, names, ["q1", "q2", "q3", "q9"], sentences=LABELS)
    precision, recall = 2 / 4, 2 / 3
    f1, f2 = 2 * precision * recall / (precision + recall), 5 * precision * recall / (4 * precision + recall)
    assert [values[name]["q1"] for name in names] == pytest.approx([precision, recall, f1, f2])
    assert [values[name]["q2"] for name in names] == [0.0, 1.0, 0.0, 0.0]
    assert [values[name]["q3"] for name in names] == [values[name]["q9"] for name in names] == [1.0, 1.0, 1.0, 1.0]


def test_nothing_kept_is_right_only_where_nothing_is_relevant() -> None:
    found = kept_sentences(KeepFirst(sentences=0).run(given_run()), LABELS)
    figures = [(one.precision, one.recall, one.f_measure(1)) for one in found.values()]
    assert figures == [(0, 0, 0), (1, 1, 1), (1, 1, 1)]


def test_what_is_left_whole_counts_with_the_default_splitters_sentences() -> None:
    everything = {"q1": KeptSentences(relevant=3, found=3, kept=5, helpful=3)}
    assert kept_sentences(given_run(), LABELS).items() >= everything.items()
    assert kept_sentences(KeepFirst(sentences=99, depth=1).run(given_run()), LABELS).items() >= everything.items()
    with pytest.raises(CompositionError, match="texts"):
        kept_sentences(replace(given_run(), documents=None), LABELS)


def test_what_follows_a_pruner_changes_no_measure() -> None:
    names = [name for name, measure in PRUNING.items() if measure.needs != "answers"]
    runs = [stage.run(given_run()) for stage in (KeepFirst(), (KeepFirst() >> Reverse()).top(1))]
    one, other = (pruning_measures(run, names, ["q1", "q2"], sentences=LABELS) for run in runs)
    assert one == other
    assert one["sentence_precision"]["q1"] == 1


def test_a_stage_that_reranks_and_prunes_is_measured_before_what_follows_it_cuts_hits_off(tmp_path: Path) -> None:
    folder, _ = tiny_provence(tmp_path / "model")
    session = Session(offline=True, device="cpu")
    run = replace(given_run(), session=session)
    first = Provence(str(folder), threshold=0.5, rounding="probability").run(run)
    likely = sorted(span.probability for hits in first.values() for hit in hits for span in hit.spans or ())
    joint = Provence(str(folder), threshold=likely[len(likely) // 2], rounding="probability")
    names = [name for name, measure in PRUNING.items() if measure.needs != "answers"]
    whole = pruning_measures(joint.run(run), names, ["q1", "q2"], sentences=LABELS)
    assert 0 < whole["compression"]["q1"] < 1
    assert pruning_measures(joint.top(1).run(run), names, ["q1", "q2"], sentences=LABELS) == whole
    by_hand = 1 - sum(len(hit.pruned_text) for hit in joint.run(run)["q1"]) / (len(SKY.text) + len(TEA.text))
    assert whole["compression"]["q1"] == pytest.approx(by_hand)


def test_answer_retention_by_hand() -> None:
    run = KeepFirst().run(given_run())
    answers = {"q1": ("blue light", "The sky", "drink", "absent"), "q2": ("hot",)}
    # Of the answers that the texts hold, "sky" (in the last sentence of its text) is gone.
    assert answer_retention(run, answers) == {"q1": pytest.approx(2 / 3), "q2": 0.0, "q3": 1.0}


@given(
    st.text(alphabet="ab \n", min_size=1, max_size=30),
    st.lists(st.integers(0, 30), max_size=8, unique=True),
    st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_a_sentence_is_kept_if_each_of_its_letters_is(text: str, cuts: list[int], label: tuple[int, int]) -> None:
    ends = sorted(min(cut, len(text)) for cut in cuts)
    pairs = list(zip(ends[::2], ends[1::2], strict=False))
    start, end = sorted(min(place, len(text)) for place in label)
    document = Document("d", text)
    run = Run.from_documents("q", [document])
    spans = tuple(Span(first, last, 1.0, kept=True) for first, last in pairs if first < last)
    run = run.ranked(replace(run.hits(stage="test"), spans=(spans,)))
    held = {place for first, last in pairs for place in range(first, last)}
    by_hand = all(place in held for place in range(start, end) if not text[place].isspace())
    if start < end:
        assert retention(run, {"q1": {"d": ((start, end),)}})["q1"] == by_hand


OFFSETS = st.lists(st.integers(0, 20), max_size=8, unique=True).map(
    lambda cuts: list(zip(sorted(cuts)[::2], sorted(cuts)[1::2], strict=False))
)
TEXTS = st.text(alphabet="ab \n", min_size=20, max_size=20)


@given(st.lists(st.tuples(TEXTS, OFFSETS, OFFSETS), max_size=3))
def test_precision_and_recall_by_brute_force(documents: list[tuple[str, Any, Any]]) -> None:
    """Kept and labelled stretches as sets of letters, in any number of documents of one query."""
    relevant = found = kept = helpful = 0
    for text, spans, labels in documents:
        letters = {place for place, letter in enumerate(text) if not letter.isspace()}
        left = {place for start, end in spans for place in range(start, end)} & letters
        marked = {place for start, end in labels for place in range(start, end)} & letters
        relevant += len(labels)
        found += sum(set(range(start, end)) & letters <= left for start, end in labels)
        kept += len(spans)
        helpful += sum(bool(set(range(start, end)) & marked) for start, end in spans)
    run = Run.from_documents("q", [Document(f"d{number}", text) for number, (text, _, _) in enumerate(documents)])
    spans_of = {f"d{number}": spans for number, (_, spans, _) in enumerate(documents)}
    ids = run.hits(stage="test").doc_ids(0)
    pruned = tuple(tuple(Span(start, end, 1.0, kept=True) for start, end in spans_of[doc_id]) for doc_id in ids)
    run = run.ranked(replace(run.hits(stage="test"), spans=pruned))
    sentences = {"q1": {f"d{number}": tuple(labels) for number, (_, _, labels) in enumerate(documents)}}
    precision = helpful / kept if kept else float(relevant == 0)
    recall = found / relevant if relevant else 1.0
    names = ["sentence_precision", "retention", "sentence_f1", "sentence_f2"]
    values = pruning_measures(run, names, ["q1"], sentences=sentences)
    by_hand = [precision, recall]
    for weight in (1, 4):
        together = weight * precision + recall
        by_hand.append((1 + weight) * precision * recall / together if together else 0.0)
    assert [values[name]["q1"] for name in names] == pytest.approx(by_hand)


def test_measures_stand_beside_ndcg_with_the_same_statistics() -> None:
    collection = load_collection("mini")
    unlabelled = sorted(collection.qrels)[:2]
    labels = {one: labels for one, labels in (collection.sentences or {}).items() if one not in unlabelled}
    collection = replace(collection, sentences=labels)
    names = ["compression", "nDCG@10", "retention"]
    ranked = {query_id: dict.fromkeys(grades, 1.0) for query_id, grades in collection.qrels.items()}
    run = Run.from_dict(ranked, queries=collection.queries, documents=collection.corpus)
    pruned = KeepFirst().run(run)
    evaluations = {"whole": collection.evaluate(run, names), "pruned": collection.evaluate(pruned, names)}
    assert evaluations["pruned"].measures == tuple(names)
    assert list(evaluations["pruned"].per_query) == names
    assert evaluations["whole"].means["compression"] == 0
    assert evaluations["whole"].means["retention"] == 1
    assert evaluations["pruned"].means["nDCG@10"] == evaluations["whole"].means["nDCG@10"]
    summary = summarise(evaluations, baseline="whole", intervals="bootstrap")
    assert summary.rows[1].cells["compression"].mark == "+"
    assert summary.rows[1].cells["retention"].mark == "-"
    assert "0 and 1 where nothing was pruned" in summary.legend()
    assert sorted(evaluations["pruned"].nothing_to_keep["sentences"]) == unlabelled
    assert f" 2 of {len(collection.qrels)} queries had no labelled sentences" in summary.legend()
    told = summary.to_dict()["pipelines"]
    assert sorted(told["pruned"]["nothing_to_keep"]["sentences"]) == unlabelled
    assert "nothing_to_keep" not in told["whole"]


def test_every_labelled_sentence_of_mini_is_one_that_the_splitter_finds() -> None:
    """Retention of a pruner that keeps everything must be 1, and of one that keeps nothing 0, on real labels."""
    collection = load_collection("mini")
    assert collection.sentences is not None
    assert sum(len(offsets) for labels in collection.sentences.values() for offsets in labels.values()) == 353
    ranked = {query_id: dict.fromkeys(labels, 1.0) for query_id, labels in collection.sentences.items()}
    run = Run.from_dict(ranked, documents=collection.corpus)
    for kept, expected in ((99, 1.0), (0, 0.0)):
        values = retention(KeepFirst(sentences=kept, depth=99).run(run), collection.sentences)
        assert set(values.values()) == {expected}


def test_a_collection_without_labels_says_so_before_anything_runs() -> None:
    mini = load_collection("mini")
    bare = Collection(id="bare", queries=mini.queries, qrels=mini.qrels, open_corpus=mini.open_corpus)
    bare.check_measures(["compression", "nDCG@10"])
    mini.check_measures(["retention"])
    for name, file in (("retention", "sentences.jsonl"), ("answer_retention", "`answers`")):
        with pytest.raises(ConfigError, match=file):
            bare.check_measures([name])
    assert bare.fingerprint() != mini.fingerprint()  # labels are part of what is measured


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([{"query_id": "q", "sentences": []}], "needs query_id"),
        ([{"query_id": "q", "doc_id": "d", "sentences": [[1]]}], "needs query_id"),
        ([{"query_id": "q", "doc_id": "d", "sentences": [[3, 1]]}], "ends before it starts"),
        ([{"query_id": "q", "doc_id": "d", "sentences": []}] * 2, "stands twice"),
    ],
)
def test_bad_labels_are_named_by_file_and_line(tmp_path: Path, lines: list[dict[str, Any]], reason: str) -> None:
    path = tmp_path / "sentences.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with pytest.raises(DataError, match=f"sentences.jsonl line {len(lines)}: .*{reason}"):
        read_sentences(path)
