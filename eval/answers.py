"""Answers of a language model from a run's passages, with citations, and how good they are.

    run = (bm25 >> SentencePruner()).top(5).run(queries)
    given = answer(run, model)
    score_answers(given, qrels=qrels, gold=gold).means

Any `LanguageModel` will do. Completions are kept in the session's cache, so that no answer is paid for twice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rankloom.checks import whole
from rankloom.context import Citation, Context
from rankloom.errors import UsageError
from rankloom.eval.answer_text import exact_match, holds, token_f1
from rankloom.eval.measures import Evaluation
from rankloom.fingerprint import digest
from rankloom.language_model import Completion, LanguageModel, Prompt, output_notes
from rankloom.ledger import Cost, Ledger, Note
from rankloom.prompt_groups import complete_groups
from rankloom.ranked_list import RankedList
from rankloom.records import Query
from rankloom.run import Run
from rankloom.session import Session
from rankloom.thoughts import without_thought

STAGE = "answer"
#: What a model is told to say, and is taken to mean, when the passages hold no answer.
NO_ANSWER = "No answer"
#: Measures of answers -> what they need (right answers or judgements), and what they say.
ANSWER_MEASURES: Mapping[str, tuple[str, str]] = {
    "exact_match": ("gold", "the answer equals a right one, both normalised as in SQuAD"),
    "f1": ("gold", "words shared with the right answer that fits best"),
    "citation_support": ("gold", "share of the cited passages that hold a right answer"),
    "citation_precision": ("qrels", "share of the cited passages that are relevant"),
    "citation_recall": ("qrels", "share of the relevant passages in the context that are cited"),
}
_SYSTEM = (
    "Answer the question from the numbered passages alone, in as few words as it takes. After the answer, cite each "
    f"passage it rests on by its number in brackets, such as [1] or [1][3]. If no passage holds the answer, say: "
    f"{NO_ANSWER}"
)
_CITATION = re.compile(r"\s*\[\s*(\d{1,3}(?:\s*[-,;]\s*\d{1,9})*)\s*\]")  # [1999] is a year


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered to one query.

    Args:
        query_id: The query.
        text: The answer without its citations; empty if the model had none.
        raw: All that the model said; empty if it was not asked.
        cited: The passages it cites, each once, in the order of their first citation.
        unknown: Numbers it cites that no passage has.
        context: What it was given.
    """

    query_id: str
    text: str
    raw: str
    cited: tuple[Citation, ...]
    unknown: tuple[int, ...]
    context: Context


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to all queries of a run.

    Args:
        answers: Query id -> answer.
        ledger: Notes and costs of the run and of answering.
    """

    answers: Mapping[str, Answer]
    ledger: Ledger


def answer_prompt(query: Query, context: Context) -> Prompt:
    """The prompt that is used unless you bring your own: instructions, numbered passages, the question."""
    return Prompt(f"{context.text}\n\nQuestion: {query.text}\nAnswer:", _SYSTEM)


def answer(
    run: Run,
    model: LanguageModel,
    *,
    max_context_tokens: int = 1500,
    max_answer_tokens: int = 128,
    count_tokens: Callable[[str], int] | None = None,
    prompt: Callable[[Query, Context], Prompt] = answer_prompt,
    session: Session | None = None,
) -> Answers:
    """Let a language model answer each query from its best passages.

    A query without a passage is not asked; it is noted, and its answer is empty. So it is with queries that the
    session's budget does not suffice for (`unfinished`).

    Args:
        run: A run with a ranking and texts, pruned or not.
        model: Who answers.
        max_context_tokens: Limit of the passages; see `RankedList.context`.
        max_answer_tokens: Limit of each answer; an answer that meets it is noted.
        count_tokens: Counts tokens as the model does; by default an estimate.
        prompt: Makes a prompt of a query and its context.
        session: Its cache remembers completions, its budget is kept to; by default the run's own session.

    Raises:
        CompositionError: The run has no ranking, or nobody knows the texts.
        DataError: A prompt is longer than the model reads; nothing has been asked then.
        UsageError: A number of tokens is not positive, or the session's budget limits money and the model has no price.
    """
    whole(max_answer_tokens, least=1, stage=STAGE, parameter="max_answer_tokens")
    begun = time.perf_counter()
    contexts = {
        query_id: hits.context(max_tokens=max_context_tokens, count_tokens=count_tokens)
        for query_id, hits in run.items()
    }
    asked = [query for query in run.queries if contexts[query.id].citations]
    prompts = [prompt(query, contexts[query.id]) for query in asked]
    session = session or run.session
    done = complete_groups(
        model,
        [[one] for one in prompts],
        about=[query.id for query in asked],
        max_tokens=max_answer_tokens,
        session=session,
        stage=STAGE,
    )
    given = {query.id: group[0] for query, group in zip(asked, done.completions, strict=True) if group is not None}
    answers = {query_id: _read(hits, contexts[query_id], given.get(query_id)) for query_id, hits in run.items()}
    notes = [*done.notes, *(note for one in answers.values() for note in _notes(one, given, done.stopped))]
    cost = Cost(
        STAGE,
        digest(run.lineage, STAGE, model, [(prompt.system, prompt.text) for prompt in prompts], max_answer_tokens),
        inputs=len(asked),
        cached=done.cached,
        calls=done.calls,
        tokens=done.tokens,
        seconds=time.perf_counter() - begun,
        written=done.written,
        model=model.name,
    )
    return Answers(answers, run.ledger.noted(*notes).spent(cost))


def parse_citations(text: str, passages: int) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """An answer without its citations, the numbers of the passages it cites, and numbers that no passage has.

    Reads `[1]`, `[1][3]`, `[1, 3]` and `[1-3]`. Each number counts once, where it first stands.

    Args:
        text: What a model said.
        passages: How many passages there are; they are numbered from 1.

    Example:
        >>> parse_citations("Air scatters blue light [1, 3]. So it is blue [9].", passages=3)
        ('Air scatters blue light. So it is blue.', (1, 3), (9,))
    """
    numbers: dict[int, None] = {}
    for found in _CITATION.finditer(text):
        for part in re.split(r"\s*[,;]\s*", found.group(1)):
            ends = sorted(int(end) for end in part.split("-"))
            last = min(ends[-1], max(ends[0], passages + 1))  # a range far beyond the last passage is unknown once
            numbers.update(dict.fromkeys(range(ends[0], last + 1)))
    known = tuple(number for number in numbers if 1 <= number <= passages)
    unknown = tuple(number for number in numbers if not 1 <= number <= passages)
    return _CITATION.sub("", text).strip(), known, unknown


def score_answers(
    given: Answers,
    *,
    qrels: Mapping[str, Mapping[str, int]] | None = None,
    gold: Mapping[str, Sequence[str]] | None = None,
    relevance_level: int = 1,
) -> Evaluation:
    """Measure answers: `exact_match`, `f1` and `citation_support` by right answers, the others by judgements.

    Every query with right answers or judgements counts, answered or not; all measures of an answer that is empty, and
    those of citations where nothing is cited (or nothing relevant is there to be cited), are 0.

    Args:
        given: The answers.
        qrels: Query id -> document id -> grade.
        gold: Query id -> right answers.
        relevance_level: Least grade of a passage that is relevant.

    Raises:
        UsageError: There are neither judgements nor right answers.
    """
    judged = [query_id for query_id, grades in (qrels or {}).items() if grades]
    asked = [query_id for query_id, right in (gold or {}).items() if right]
    if not judged and not asked:
        raise UsageError("there are neither judgements nor right answers", stage=STAGE, accepted="qrels=, gold=")
    values: dict[str, dict[str, float]] = {}
    for name, (needs, _) in ANSWER_MEASURES.items():
        if needs == "gold" and gold and asked:
            values[name] = {one: _by_gold(name, given.answers.get(one), gold[one]) for one in asked}
        if needs == "qrels" and qrels and judged:
            relevant = {one: {doc for doc, grade in qrels[one].items() if grade >= relevance_level} for one in judged}
            values[name] = {one: _by_qrels(name, given.answers.get(one), relevant[one]) for one in judged}
    wanted = dict.fromkeys([*judged, *asked])
    return Evaluation(
        (),
        {},
        {},
        {},
        missing=tuple(one for one in wanted if one not in given.answers),
        unjudged_queries=tuple(one for one in given.answers if one not in wanted),
    ).with_values(values)


def _read(hits: RankedList, context: Context, said: Completion | None) -> Answer:
    """One answer with what it cites."""
    raw = "" if said is None else said.text
    text, known, unknown = parse_citations(without_thought(raw), len(context.citations))
    if text.rstrip(".").lower() == NO_ANSWER.lower():
        text = ""
    cited = tuple(context.citations[number - 1] for number in known)
    return Answer(hits.query.id, text, raw, cited, unknown, context)


def _notes(one: Answer, given: Mapping[str, Completion], stopped: str) -> Iterable[Note]:
    """What the ledger should know of an answer."""
    said = given.get(one.query_id)
    if said is not None:
        yield from output_notes(said, stage=STAGE, query_id=one.query_id)
    elif one.context.citations:
        yield Note(STAGE, "unfinished", one.query_id, detail=f"{stopped}; it is not answered")
    else:
        yield Note(STAGE, "no_context", one.query_id, detail="the model was not asked")
    if one.unknown:
        yield Note(STAGE, "unknown_citation", one.query_id, amount=len(one.unknown), detail=str(list(one.unknown)))


def _by_gold(name: str, one: Answer | None, right: Sequence[str]) -> float:
    """A measure that needs right answers."""
    if one is None or not one.text:
        return 0.0
    if name == "exact_match":
        return exact_match(one.text, right)
    if name == "f1":
        return token_f1(one.text, right)
    return _mean(any(holds(cited.text, wanted) for wanted in right) for cited in one.cited)


def _by_qrels(name: str, one: Answer | None, relevant: set[str]) -> float:
    """A measure that needs judgements."""
    if one is None or not one.text:
        return 0.0
    if name == "citation_precision":
        return _mean(cited.doc_id in relevant for cited in one.cited)
    cited = {citation.doc_id for citation in one.cited}
    return _mean(citation.doc_id in cited for citation in one.context.citations if citation.doc_id in relevant)


def _mean(values: Iterable[bool]) -> float:
    """The share that is true; 0 of none."""
    held = list(values)
    return sum(held) / len(held) if held else 0.0
