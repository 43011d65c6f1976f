"""PromptPRF: what a language model has drawn out of the best documents, put into the query of a dense retriever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Annotated, Any, get_args

from rankloom.checks import choice, whole
from rankloom.errors import UsageError
from rankloom.language_model import checked_model
from rankloom.language_model_stage import LanguageModelStage
from rankloom.ledger import Ledger, Note
from rankloom.parameter_kinds import AnyLanguageModel, NamesPath
from rankloom.prf.document_features import FEATURES, Drawn, Feature, FeatureMaker
from rankloom.prf.generation import PROMPTS
from rankloom.prompt_template import prompt_template
from rankloom.records import Document, Query
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Feedback

_TOGETHER = 1024  # documents of a corpus that are asked about at a time


class PromptPRF(LanguageModelStage, Feedback):
    """Put features of the best documents into the query's own text (Li et al., PromptPRF, 2025).

    A language model draws a feature out of each document: `keywords`, `entities`, a `summary`, keywords after a chain
    of thought (`cot_keywords`), or an `essay`. The query is not in these prompts: with a cache in the session each
    document is asked about once, whatever queries find it, and `prepare` does so for a whole corpus ahead of time. The
    best documents' features are then written into the query, which the retriever after this stage encodes; what that
    cuts, it notes.

    A query without feedback (it is blank, nothing was found, no document has a feature) stays as it is and is noted as
    `no_feedback`. A document without text is passed over (`empty_document`), and so is one of which the model says
    nothing (`empty_output`) or nothing that can be read (`unparsed_output`). Documents with equal texts count each. A
    query for whose documents the session's budget does not suffice stays as it is, too, noted as `unfinished`.

    The paper's own query encoder is PromptReps, a language model that is asked for one word; here any dense retriever
    reads the new query. The prompts are in words of our own, as files in `prf/prompts`, and the defaults of `docs`,
    `max_words` and `max_tokens` are choices of our own too.

    Args:
        model: Who draws the features.
        feature: Which; see above.
        docs: Feedback documents: the best of the ranking.
        ranks: Whether each feature stands behind the rank of its document.
        max_words: Words of a document that the model is shown; what is beyond is noted as `cut_feedback`.
        max_tokens: Limit of an output; by default 64 for keywords and entities, 128 for summaries, 256 for a chain of
            thought, 512 for essays.
        prompt: What is asked about a document: the path of a file with the gap `{document}`; by default the prompt of
            the feature.
        layout: How the new query is written: the path of a file with the gaps `{query}`, `{feature}` and `{passages}`;
            by default `query`, which has them on lines of their own.

    Raises:
        UsageError: A parameter is out of range.
        NotFoundError: There is no such prompt.

    Example:
        >>> from rankloom.language_models import OpenAICompatible
        >>> PromptPRF(OpenAICompatible("qwen3:8b", url="http://localhost:11434/v1"), feature="summary").max_tokens
        128
    """

    name = "prompt_prf"
    needs = frozenset({"ranking", "text"})

    def __init__(
        self,
        model: AnyLanguageModel,
        *,
        feature: Feature = "keywords",
        docs: int = 3,
        ranks: bool = True,
        max_words: int = 512,
        max_tokens: int | None = None,
        prompt: Annotated[str | None, NamesPath(or_name=True)] = None,
        layout: Annotated[str, NamesPath(or_name=True)] = "query",
    ) -> None:
        self.model = checked_model(model, stage=self.name)
        choice(feature, get_args(Feature), stage=self.name, parameter="feature")
        self.feature: Feature = feature
        self.docs = whole(docs, least=1, stage=self.name, parameter="docs")
        self.ranks, self.prompt, self.layout = ranks, prompt, layout
        self.max_words = whole(max_words, least=1, stage=self.name, parameter="max_words")
        limit = FEATURES[feature][1] if max_tokens is None else max_tokens
        self.max_tokens = whole(limit, least=1, stage=self.name, parameter="max_tokens")
        found = [(prompt or feature, ("document",)), (layout, ("query", "feature", "passages"))]
        self.templates = [
            prompt_template(name, PROMPTS, prefix=self.name, gaps=gaps, stage=self.name) for name, gaps in found
        ]

    @classmethod
    def most_prompts(cls, given: Mapping[str, Any]) -> int:
        """One for each document; those of other queries are often the same."""
        return int(given["docs"])

    def __call__(self, run: Run) -> Run:
        """The queries with features of their best documents in their texts.

        Raises:
            CompositionError: There is no ranking, or nobody knows the texts.
        """
        best = run.hits(stage=self.name).top(self.docs)
        doc_ids = [[] if query.blank else best.doc_ids(number) for number, query in enumerate(run.queries)]
        wanted = list(dict.fromkeys(doc_id for found in doc_ids for doc_id in found))
        drawn, cost, told = self._maker().draw(run.texts(stage=self.name).get(wanted), run.session)
        queries, notes = [], list(told)
        for query, found in zip(run.queries, doc_ids, strict=True):
            features = [drawn[doc_id] for doc_id in found]
            notes += [replace(note, query_id=query.id) for one in features for note in one.notes]
            stopped = next((one.stopped for one in features if one.stopped), "")
            reason = _obstacle(query, features)
            if stopped:
                notes.append(Note(self.name, "unfinished", query.id, detail=f"{stopped}; it stays as it is"))
            elif reason:
                notes.append(Note(self.name, "no_feedback", query.id, detail=reason))
            queries.append(query.as_typed() if stopped or reason else self._rewritten(query, features))
        after = run.rewritten(queries).noted(*notes)
        return after.counted(inputs=len(run), calls=cost.calls, tokens=cost.tokens, written=cost.written)

    def prepare(self, documents: Iterable[Document], *, session: Session) -> Ledger:
        """Draw the feature out of documents ahead of time, so that queries find it in the session's cache.

        What has been drawn is kept as it comes: after an error, or when the session's budget is spent (`unfinished`), a
        second call goes on with the rest.

        Args:
            documents: A corpus, or the documents of a pool.
            session: Its cache keeps the features.

        Returns:
            What it cost, and notes of documents that are empty, cut, or without a feature.

        Raises:
            UsageError: The session has no cache.
        """
        if session.cache is None:
            raise UsageError(
                "the session has no cache, so that nothing would be kept", stage=self.name, fix="Session(cache=FOLDER)"
            )
        ledger, rest = Ledger(), iter(documents)
        while some := list(islice(rest, _TOGETHER)):
            drawn, cost, told = self._maker().draw(some, session)
            ledger = ledger.noted(*told, *(note for one in drawn.values() for note in one.notes)).spent(cost)
            if stopped := next((one.stopped for one in drawn.values() if one.stopped), ""):
                return ledger.noted(Note(self.name, "unfinished", detail=f"{stopped}; a second call goes on"))
        return ledger

    def _maker(self) -> FeatureMaker:
        """Who draws features."""
        return FeatureMaker(
            self.model, self.feature, self.templates[0], self.max_words, self.max_tokens, stage=self.name
        )

    def _rewritten(self, query: Query, features: Sequence[Drawn]) -> Query:
        """The query with features in its text; ranks are those of the ranking, so one may be left out."""
        lines = [f"{rank}. {one.text}" if self.ranks else one.text for rank, one in enumerate(features, 1) if one.text]
        filled = self.templates[1].prompt(
            query=query.text, feature=FEATURES[self.feature][0], passages="\n".join(lines)
        )
        return replace(query.as_typed(), text=filled.text)


def _obstacle(query: Query, features: Sequence[Drawn]) -> str:
    """Why a query has no feedback; empty if it has."""
    if query.blank:
        return "the query is empty"
    if not features:
        return "no document was found"
    return "" if any(one.text for one in features) else "no document has a feature"
