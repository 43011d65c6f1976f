"""Text feedback: the texts of the documents found first, put behind the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from rankloom.checks import choice, whole
from rankloom.errors import CompositionError, UsageError
from rankloom.ledger import Note
from rankloom.parameter_kinds import Inner
from rankloom.prf.aggregation import AGGREGATIONS, MISSING, Aggregation, Missing, aggregate
from rankloom.prf.new_queries import Method, NewQuery, Passage, Recipe
from rankloom.prf.voters import Voters
from rankloom.prf.words import count_words
from rankloom.ranking import ScoreKind
from rankloom.records import Document, Query
from rankloom.run import Run, Step
from rankloom.session import Session
from rankloom.stage import REWRITTEN, Feedback, Stage, Traits

_WINDOW = 65  # the mean length of a passage of MS MARCO; the stride is half of it


class TextPRF(Feedback):
    """Ask anew with the texts of the best documents behind the query (Li et al., TOIS 2023).

    - `truncate`: one new query, of the query and all feedback documents.
    - `aggregate`: a new query for each feedback document.
    - `window`: a new query for each window that slides over the feedback documents, up to the one that reaches their
      end.

    New queries go through the stage `through`, all in one batch. It may be a retriever, a reranker, or a pipeline: one
    that needs a ranking is given the one that came in, so that a reranker scores the same candidates for each new
    query. Their rankings become one, and the query stays what it was. Without `through`, which is for `truncate` alone,
    the new query takes the place of the query, and all stages after this one read it.

    A query without feedback (it is blank, nothing was found, no document has words, it has `max_words` words itself) is
    asked as it is and noted as `no_feedback`. A document without words is passed over and noted as `empty_document`;
    feedback beyond `max_words` is cut and noted as `cut_feedback`. Documents with equal texts count each. What
    `through` spends is in the ledger under its own name, as are its notes, with the id of the query.

    Words are counted as `rankloom.prf.words` does: a punctuation mark is one, too.

    Args:
        through: The stage that answers the new queries.
        method: `truncate`, `aggregate` or `window`.
        docs: Feedback documents: the best of the ranking. The paper finds that few are best; it tries 1 to 20.
        aggregation: For `aggregate` and `window`: `average`, `max` or `borda`; see
            `rankloom.prf.aggregation.aggregate`. Default: `average`, but `borda` where the scores of `through` only
            stand for ranks, which can only be voted on. In the paper `aggregate` with `borda` was best; on the training
            splits of SciFact and NFCorpus votes rank worst and the mean of scores best (docs/results.md).
        missing: For `average`: what a document scores for a new query that has not found it: the list's `minimum`, or
            `zero` as in the authors' code for BM25.
        max_words: Words that a new query may have, the query's own included (the authors' code: 256).
        window: For `window`: words of feedback in each new query. The authors take the mean length of a passage: 65
            for MS MARCO (the default), 69 for CAsT, 75 for WebAP, 134 for WikiPassageQA.
        stride: For `window`: words between the beginnings of two windows, at most `window`; by default half of it.

    Raises:
        UsageError: A parameter is out of range, or belongs to another method.
        CompositionError: There is no `through`, and the method makes several new queries; or it is not a stage.

    Example:
        >>> TextPRF(method="truncate", docs=5).max_words
        256
    """

    name = "text_prf"
    needs = frozenset({"ranking", "text"})
    grain = "none"

    def __init__(
        self,
        through: Inner = None,
        *,
        method: Method = "aggregate",
        docs: int = 3,
        aggregation: Aggregation | None = None,
        missing: Missing = "minimum",
        max_words: int = 256,
        window: int | None = None,
        stride: int | None = None,
    ) -> None:
        choice(method, get_args(Method), stage=self.name, parameter="method")
        choice(missing, MISSING, stage=self.name, parameter="missing")
        self.through, self.method, self.missing = through, method, missing
        self.docs = whole(docs, least=1, stage=self.name, parameter="docs")
        self.max_words = whole(max_words, least=1, stage=self.name, parameter="max_words")
        self.aggregation = self._aggregation(aggregation)
        self.window, self.stride = self._window(window, stride)
        if through is not None and not isinstance(through, Stage):
            raise CompositionError("through is not a stage", stage=self.name, value=through)
        if through is None and method != "truncate":
            raise CompositionError(
                "makes several new queries of one, and nothing is there to answer them",
                stage=self.name,
                value=method,
                fix="pass through= (a retriever, a reranker or a pipeline), or method='truncate'",
            )

    def __call__(self, run: Run) -> Run:
        """The ranking of the new queries, or, without `through`, the new queries themselves.

        Raises:
            CompositionError: There is no ranking, or nobody knows the texts.
        """
        best = run.hits(stage=self.name).top(self.docs)
        doc_ids = list(dict.fromkeys(doc_id for number in range(len(run)) for doc_id in best.doc_ids(number)))
        documents = dict(zip(doc_ids, run.texts(stage=self.name).get(doc_ids), strict=True))
        notes: list[Note] = []
        texts: list[list[str]] = []
        for number, query in enumerate(run.queries):
            new, remarks = self._new_queries(query, [documents[doc_id] for doc_id in best.doc_ids(number)])
            texts.append([one.text for one in new] or [query.text])
            notes.extend(remarks)
        if self.through is None:
            queries = [replace(query.as_typed(), text=text) for query, (text,) in zip(run.queries, texts, strict=True)]
            return run.rewritten(queries).noted(*notes)
        return self._answered(self.through, run.noted(*notes), texts)

    @property
    def inner(self) -> tuple[Stage, ...]:
        """What answers the new queries."""
        return () if self.through is None else (self.through,)

    @classmethod
    def inner_queries(cls, given: Mapping[str, Any]) -> int | None:
        """One, or one for each document; the number of windows is that of the words."""
        by_method: dict[Method, int | None] = {"truncate": 1, "aggregate": int(given["docs"]), "window": None}
        return by_method[given["method"]]

    @classmethod
    def leaves_ranking(cls, given: Mapping[str, Any]) -> bool:
        """If there is a stage to answer the new queries."""
        return given["through"] is not None

    def flow(self, traits: Traits, *, after: str) -> Traits:
        """A ranking if there is a stage to answer the new queries; otherwise queries without terms and vectors."""
        left = super().flow(traits, after=after)
        if self.through is None:
            return left - REWRITTEN
        given = self.needs if "ranking" in self.through.opening() else self.needs - {"ranking"}
        answered = self.through.flow(given, after=self.name)
        if "ranking" not in answered or answered & REWRITTEN:
            raise CompositionError(
                f"what answers the new queries, {self.through!r}, ends without a ranking of them",
                stage=self.name,
                fix="end it with a retriever or a reranker",
            )
        return (left - {"text"}) | (answered & {"ranking", "text"})

    def pushed_down(self) -> TextPRF:
        """The same stage with each `.top(k)` inside `through` made part of the retriever it follows."""
        return self if self.through is None else self.replace(through=self.through.pushed_down())

    def warm_up(self, session: Session | None = None) -> None:
        """Load the models of `through`."""
        for stage in self.inner:
            stage.warm_up(session)

    def close(self) -> None:
        """Free the models of `through`."""
        for stage in self.inner:
            stage.close()

    def _answered(self, through: Stage, run: Run, texts: Sequence[Sequence[str]]) -> Run:
        """The run with the ranking of its new queries."""
        voters = Voters.ask(through, run, texts)
        found = voters.run.hits(stage=self.name)
        if self.method == "truncate":  # one new query each
            ranking = found
        else:
            method = self.aggregation or ("borda" if found.kind is ScoreKind.RANK else "average")
            ranking = aggregate(found, voters.owners, len(run), method=method, missing=self.missing, stage=self.name)
        step = Step(self.name, run.queries, ranking, voters.histories())
        after = replace(run.ranked(ranking), documents=voters.run.documents, ledger=run.ledger + voters.ledger())
        return replace(after, steps=(*run.steps, step))

    def _new_queries(self, query: Query, documents: Sequence[Document]) -> tuple[list[NewQuery], list[Note]]:
        """What is asked instead of a query, nothing if it has no feedback; and what is to be said of it."""
        passages = [Passage(one.id, one.contents) for one in documents if count_words(one.contents)]
        held = {passage.doc_id for passage in passages}
        notes = [
            Note(self.name, "empty_document", query.id, one.id, detail="it gives no feedback")
            for one in documents
            if one.id not in held
        ]
        reason = self._obstacle(query, documents, passages)
        if reason:
            return [], [*notes, Note(self.name, "no_feedback", query.id, detail=reason)]
        recipe = Recipe(self.method, self.max_words, self.window or 0, self.stride or 0)
        new = recipe.new_queries(query.text, passages)
        notes += [
            Note(
                self.name,
                "cut_feedback",
                query.id,
                one.doc_id,
                amount=one.cut,
                detail=f"words beyond {self.max_words}",
            )
            for one in new
            if one.cut
        ]
        return new, notes

    def _obstacle(self, query: Query, documents: Sequence[Document], passages: Sequence[Passage]) -> str:
        """Why a query has no feedback; empty if it has."""
        if query.blank:
            return "the query is empty"
        if not documents:
            return "no document was found"
        if not passages:
            return "no document has words"
        return "the query leaves no room for it" if count_words(query.text) >= self.max_words else ""

    def _aggregation(self, aggregation: Aggregation | None) -> Aggregation | None:
        """How rankings become one, if it was said."""
        if aggregation is None:
            return None
        choice(aggregation, AGGREGATIONS, stage=self.name, parameter="aggregation")
        if self.method == "truncate":
            raise UsageError(
                "aggregation has no effect on one new query", stage=self.name, value=aggregation, fix="leave it out"
            )
        return aggregation

    def _window(self, window: int | None, stride: int | None) -> tuple[int | None, int | None]:
        """The size and stride of windows; None where there are none."""
        if self.method != "window":
            if window is not None or stride is not None:
                raise UsageError(
                    "window and stride belong to another method",
                    stage=self.name,
                    value={"window": window, "stride": stride},
                    fix="pass method='window', or leave them out",
                )
            return None, None
        size = whole(_WINDOW if window is None else window, least=1, stage=self.name, parameter="window")
        step = whole(max(1, size // 2) if stride is None else stride, least=1, stage=self.name, parameter="stride")
        if step > size:
            raise UsageError(
                "a stride longer than the window would pass over words",
                stage=self.name,
                value=step,
                accepted=f"at most the window, {size}",
            )
        return size, step
