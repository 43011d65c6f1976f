"""What pruning saves and what it loses: measures of pruned text, one value a query, to stand beside nDCG.

They look at the ranking as the last pruner left it, before anything reordered it or cut it off, so that documents
that were dropped do not count as compression. Where nothing was pruned, nothing was saved and nothing lost:
compression is 0 and retention 1. Retention is 1, too, for a query whose documents held nothing to keep;
`nothing_to_keep` says which these are, and tables say how many.

Pruners may split texts each in its own way, so labelled sentences and kept ones are never matched one to one. Recall
counts labelled sentences (all their letters must be kept), precision counts the sentences that the pruner kept, as its
own splitter cuts them (some letter must be of a labelled one). A splitter that cuts long pieces gains in precision what
it loses in compression; read the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from rankloom.context import estimate_tokens
from rankloom.errors import ConfigError
from rankloom.eval.answer_text import holds
from rankloom.eval.kept_sentences import kept_sentences
from rankloom.eval.pruned_texts import STAGE, pruned_texts
from rankloom.eval.sentence_labels import Sentences
from rankloom.run import Run

#: Query id -> right answers.
Answers = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class PruningMeasure:
    """A measure of pruning; more of it is better.

    Args:
        what: What it says, for people.
        empty: Its value for a query without documents: nothing is saved, and nothing lost.
        needs: Labels that a collection must have; empty if none.
    """

    what: str
    empty: float
    needs: Literal["", "sentences", "answers"] = ""


#: All measures of pruning by name.
PRUNING: Mapping[str, PruningMeasure] = {
    "compression": PruningMeasure("share of the characters of the ranked documents that pruning took away", 0.0),
    "compression_tokens": PruningMeasure("share of their tokens, words and punctuation marks, it took away", 0.0),
    "tokens_saved": PruningMeasure("how many of their tokens it took away", 0.0),
    "retention": PruningMeasure("share of the relevant sentences among them that it kept whole", 1.0, "sentences"),
    "sentence_precision": PruningMeasure("share of the sentences it kept that are relevant", 1.0, "sentences"),
    "sentence_f1": PruningMeasure("harmonic mean of their precision and recall", 1.0, "sentences"),
    "sentence_f2": PruningMeasure("the same, recall weighing four times as much", 1.0, "sentences"),
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
                f"the collection has no labels of {needed}", stage=STAGE, value=name, accepted=files[needed]
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
        run: A run with a ranking; with texts if it was pruned, or if precision is asked for.
        names: Some of `PRUNING`.
        query_ids: The queries to measure; one that the run lacks counts as one without documents.
        sentences: Relevant sentences, for `retention` (the recall of sentences) and `sentence_...`.
        answers: Right answers, for `answer_retention`.

    Raises:
        ConfigError: A measure needs labels that are not there.
        CompositionError: Texts are needed, and nobody knows them.
        DataError: A sentence lies outside its text.
    """
    check_labels(names, sentences=sentences, answers=answers)
    kept = cache(lambda: kept_sentences(run, sentences or {}))
    compute: dict[str, Callable[[], dict[str, float]]] = {
        "compression": lambda: compression(run),
        "compression_tokens": lambda: compression(run, count=estimate_tokens),
        "tokens_saved": lambda: tokens_saved(run),
        "retention": lambda: retention(run, sentences or {}),
        "sentence_precision": lambda: {query_id: found.precision for query_id, found in kept().items()},
        "sentence_f1": lambda: {query_id: found.f_measure(1) for query_id, found in kept().items()},
        "sentence_f2": lambda: {query_id: found.f_measure(2) for query_id, found in kept().items()},
        "answer_retention": lambda: answer_retention(run, answers or {}),
    }
    wanted = list(query_ids)
    values: dict[str, dict[str, float]] = {}
    for name in names:
        found = compute[name]()
        values[name] = {query_id: found.get(query_id, PRUNING[name].empty) for query_id in wanted}
    return values


def nothing_to_keep(
    run: Run,
    names: Collection[str],
    query_ids: Iterable[str],
    *,
    sentences: Sentences | None = None,
    answers: Answers | None = None,
) -> dict[str, tuple[str, ...]]:
    """What is labelled -> the queries whose documents held none of it when they were pruned.

    Their `retention` and `answer_retention` is 1 whatever a pruner does, so that means with many of them flatter it.
    A run that no pruner has seen has lost nothing anywhere, and its texts are not read.

    Args:
        run: A run with a ranking; with texts if it was pruned.
        names: Some of `PRUNING`: what they need is looked for.
        query_ids: The queries to look at; one that the run lacks has nothing to keep.
        sentences: As for `pruning_measures`.
        answers: As for `pruning_measures`.
    """
    needed = sorted({PRUNING[name].needs for name in names} - {""})
    texts_of = dict(pruned_texts(run)) if needed and run.hits(stage=STAGE).spans is not None else None
    if texts_of is None:
        return {}

    def holds_some(query_id: str, what: str) -> bool:
        texts = texts_of.get(query_id, [])
        if what == "sentences":
            return any((sentences or {}).get(query_id, {}).get(text.document.id) for text in texts)
        right = (answers or {}).get(query_id, ())
        return any(holds(text.document.text, answer) for text in texts for answer in right)

    wanted = list(query_ids)
    return {what: tuple(one for one in wanted if not holds_some(one, what)) for what in needed}


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
    for query_id, texts in pruned_texts(run):
        whole = sum(count(text.document.text) for text in texts)
        left = sum(count(text.pruned) for text in texts)
        values[query_id] = 1 - left / whole if whole else 0.0
    return values


def tokens_saved(run: Run, *, count: Callable[[str], int] = estimate_tokens) -> dict[str, float]:
    """How many tokens of its documents' text pruning took away, for each query; 0 for a query without hits.

    Args:
        run: A run with a ranking; with texts if it was pruned.
        count: Tokens of a text, such as those of a language model.
    """
    return {
        query_id: float(sum(count(text.document.text) - count(text.pruned) for text in texts))
        for query_id, texts in pruned_texts(run)
    }


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
    for query_id, texts in pruned_texts(run):
        relevant = sentences.get(query_id, {})
        kept = [text.keeps(start, end) for text in texts for start, end in relevant.get(text.document.id, ())]
        values[query_id] = sum(kept) / len(kept) if kept else 1.0
    return values


def answer_retention(run: Run, answers: Answers) -> dict[str, float]:
    """The share of right answers in the texts of a query's documents that are still in the pruned texts.

    Each answer counts once for each document that holds it, wherever it stands there: a short one, such as "2",
    survives by chance in sentences that answer nothing. Where a collection knows the places of answers, as those in
    SQuAD's format do, `retention` goes by them: it asks for all sentences in which one stands. 1 for a query whose
    documents hold none.

    Args:
        run: A run with a ranking; with texts if it was pruned.
        answers: Query id -> right answers.
    """
    values: dict[str, float] = {}
    for query_id, texts in pruned_texts(run):
        kept = [
            holds(text.pruned, answer)
            for text in texts
            for answer in answers.get(query_id, ())
            if holds(text.document.text, answer)
        ]
        values[query_id] = sum(kept) / len(kept) if kept else 1.0
    return values
