"""What pruning saves and what it loses: measures of pruned text, one value a query, to stand beside nDCG.

They look at the ranking as the last pruner left it, before anything reordered it or cut it off, so that documents
that were dropped do not count as compression. Where nothing was pruned, nothing was saved and nothing lost:
compression is 0 and retention 1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rankloom.context import estimate_tokens
from rankloom.errors import ConfigError, DataError
from rankloom.eval.answer_text import holds
from rankloom.kept_text import kept_text
from rankloom.lines import bad_line, json_lines
from rankloom.ranking import Ranking
from rankloom.records import Document, Span
from rankloom.run import Run

Offsets = tuple[tuple[int, int], ...]
#: Query id -> document id -> character offsets of its relevant sentences.
Sentences = Mapping[str, Mapping[str, Offsets]]
#: Query id -> right answers.
Answers = Mapping[str, tuple[str, ...]]

_STAGE = "compression"


@dataclass(frozen=True, slots=True)
class PruningMeasure:
    """A measure of pruning.

    Args:
        what: What it says, for people.
        unpruned: Its value where nothing was pruned.
        needs: Labels that a collection must have; empty if none.
    """

    what: str
    unpruned: float
    needs: Literal["", "sentences", "answers"] = ""


#: All measures of pruning by name.
PRUNING: Mapping[str, PruningMeasure] = {
    "compression": PruningMeasure("share of the characters of the ranked documents that pruning took away", 0.0),
    "compression_tokens": PruningMeasure("share of their tokens, words and punctuation marks, it took away", 0.0),
    "retention": PruningMeasure("share of the relevant sentences among them that it kept whole", 1.0, "sentences"),
    "answer_retention": PruningMeasure("share of the right answers among them that it kept", 1.0, "answers"),
}


def check_labels(names: Collection[str], *, sentences: Sentences | None, answers: Answers | None) -> None:
    """Refuse measures that need labels which a collection lacks.

    Raises:
        ConfigError: Names the measure and the file that would hold the labels.
    """
    files = {"sentences": "sentences.jsonl beside the queries", "answers": "the key `answers` of each query"}
    held = {"sentences": bool(sentences), "answers": bool(answers), "": True}
    for name in names:
        if name in PRUNING and not held[needed := PRUNING[name].needs]:
            raise ConfigError(
                f"the collection has no labels of {needed}", stage=_STAGE, value=name, accepted=files[needed]
            )


def pruning_measures(
    run: Run,
    names: Collection[str],
    query_ids: Iterable[str],
    *,
    sentences: Sentences | None = None,
    answers: Answers | None = None,
) -> dict[str, dict[str, float]]:
    """Measure -> query id -> value.

    Args:
        run: A run with a ranking; with texts if it was pruned.
        names: Some of `PRUNING`.
        query_ids: The queries to measure; one that the run lacks counts as not pruned.
        sentences: Relevant sentences, for `retention`.
        answers: Right answers, for `answer_retention`.

    Raises:
        ConfigError: A measure needs labels that are not there.
        CompositionError: The run was pruned and nobody knows the texts.
        DataError: A sentence lies outside its text.
    """
    check_labels(names, sentences=sentences, answers=answers)
    compute: dict[str, Callable[[], dict[str, float]]] = {
        "compression": lambda: compression(run),
        "compression_tokens": lambda: compression(run, count=estimate_tokens),
        "retention": lambda: retention(run, sentences or {}),
        "answer_retention": lambda: answer_retention(run, answers or {}),
    }
    wanted = list(query_ids)
    values: dict[str, dict[str, float]] = {}
    for name in names:
        found = compute[name]()
        values[name] = {query_id: found.get(query_id, PRUNING[name].unpruned) for query_id in wanted}
    return values


def compression(run: Run, *, count: Callable[[str], int] = len) -> dict[str, float]:
    """The share of its documents' text that pruning took away, for each query.

    Sizes are summed over a query's documents before they are compared, as BERGEN does; documents below a pruner's depth
    stayed whole and count so. Titles are never pruned and do not count. 0 for a query without hits.

    Args:
        run: A run with a ranking; with texts if it was pruned.
        count: Size of a text: characters, or a counter of tokens.

    Example:
        >>> from rankloom import Document
        >>> from rankloom.rerank import SentencePruner
        >>> sky = Document("d1", "Air scatters blue light, so the sky is blue. Bread needs yeast.")
        >>> run = SentencePruner().run(Run.from_documents("why is the sky blue", [sky]))
        >>> round(compression(run)["q1"], 3)
        0.302
    """
    values: dict[str, float] = {}
    for query_id, texts in _texts(run):
        whole = sum(count(text.document.text) for text in texts)
        left = sum(count(text.pruned) for text in texts)
        values[query_id] = 1 - left / whole if whole else 0.0
    return values


def retention(run: Run, sentences: Sentences) -> dict[str, float]:
    """The share of the relevant sentences in a query's documents that pruning kept whole.

    Relevant sentences of documents that are not in the ranking are the retriever's loss, not the pruner's, and do not
    count. 1 for a query whose documents hold none.

    Args:
        run: A run with a ranking; with texts if it was pruned.
        sentences: Query id -> document id -> offsets.

    Raises:
        DataError: A sentence lies outside its text.
    """
    values: dict[str, float] = {}
    for query_id, texts in _texts(run):
        relevant = sentences.get(query_id, {})
        kept = [text.keeps(start, end) for text in texts for start, end in relevant.get(text.document.id, ())]
        values[query_id] = sum(kept) / len(kept) if kept else 1.0
    return values


def answer_retention(run: Run, answers: Answers) -> dict[str, float]:
    """The share of right answers in the texts of a query's documents that are still in the pruned texts.

    Each answer counts once for each document that holds it. 1 for a query whose documents hold none.

    Args:
        run: A run with a ranking; with texts if it was pruned.
        answers: Query id -> right answers.
    """
    values: dict[str, float] = {}
    for query_id, texts in _texts(run):
        kept = [
            holds(text.pruned, answer)
            for text in texts
            for answer in answers.get(query_id, ())
            if holds(text.document.text, answer)
        ]
        values[query_id] = sum(kept) / len(kept) if kept else 1.0
    return values


def read_sentences(path: Path) -> dict[str, dict[str, Offsets]]:
    """Labels of relevant sentences: JSON lines of `query_id`, `doc_id` and `sentences`, a list of [start, end).

    Args:
        path: The file. Documents without relevant sentences are left out.

    Raises:
        DataError: A malformed line, or a pair that stands twice; names file and line.
    """
    labels: dict[str, dict[str, Offsets]] = {}
    seen: set[tuple[str, str]] = set()
    for number, record in json_lines(path, stage="read_sentences"):
        try:
            pair = str(record["query_id"]), str(record["doc_id"])
            offsets = tuple((int(start), int(end)) for start, end in record["sentences"])
        except (KeyError, TypeError, ValueError) as error:
            reason = "a label needs query_id, doc_id and sentences, a list of [start, end)"
            raise bad_line(path, number, reason, stage="read_sentences") from error
        if pair in seen:
            raise bad_line(path, number, f"the pair {pair} stands twice", stage="read_sentences")
        if any(not 0 <= start < end for start, end in offsets):
            raise bad_line(path, number, "a sentence ends before it starts", stage="read_sentences")
        seen.add(pair)
        if offsets:
            labels.setdefault(pair[0], {})[pair[1]] = offsets
    return labels


@dataclass(frozen=True, slots=True)
class _Text:
    """A document and what a pruner kept of it; None if it was left whole."""

    document: Document
    kept: Offsets | None

    @property
    def pruned(self) -> str:
        """The kept sentences, as an application gets them."""
        return self.document.text if self.kept is None else kept_text(self.document.text, self.kept)

    def keeps(self, start: int, end: int) -> bool:
        """Whether all of a sentence but its spaces was kept."""
        text = self.document.text
        if end > len(text):
            raise DataError(
                f"a relevant sentence of {self.document.id!r} lies outside its text of {len(text)} characters",
                stage=_STAGE,
                value=(start, end),
            )
        for first, last in self.kept if self.kept is not None else ((0, len(text)),):
            if last <= start:
                continue
            if text[start : min(first, end)].strip():
                return False
            start = max(start, last)
        return not text[start:end].strip()


def _texts(run: Run) -> Iterator[tuple[str, list[_Text]]]:
    """Each query and its documents as the last pruner left them; no documents where nothing was pruned."""
    ranking = _pruned(run)
    for number, query in enumerate(run.queries):
        if ranking is None or ranking.spans is None:
            yield query.id, []
            continue
        start, end = ranking.bounds(number)
        documents = run.texts(stage=_STAGE).get(ranking.doc_ids(number))
        kept = [_kept(spans) for spans in ranking.spans[start:end]]
        yield query.id, [_Text(document, offsets) for document, offsets in zip(documents, kept, strict=True)]


def _kept(spans: tuple[Span, ...] | None) -> Offsets | None:
    """Offsets of the kept sentences."""
    return None if spans is None else tuple((span.start, span.end) for span in spans if span.kept)


def _pruned(run: Run) -> Ranking | None:
    """The ranking as the last pruner left it; None if there was no pruner."""
    found = run.hits(stage=_STAGE)
    if found.spans is None:
        return None
    last = _spans_of(found)
    for step in reversed(run.steps):
        if step.ranking is None or step.ranking.spans is None:
            break
        spans = _spans_of(step.ranking)
        if any(hit not in spans or spans[hit] != own for hit, own in last.items()):
            break  # a later pruner has decided anew
        found = step.ranking
    return found


def _spans_of(ranking: Ranking) -> dict[tuple[int, str], tuple[Span, ...] | None]:
    """The spans of every hit, by the number of its query and its document."""
    if ranking.spans is None:
        return {}
    ids = ranking.ids.take(ranking.codes)
    return dict(zip(zip(ranking.query_numbers().tolist(), ids, strict=True), ranking.spans, strict=True))
