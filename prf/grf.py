"""Generative relevance feedback: expansion by terms of texts that a language model makes up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from rankloom.checks import between, choice, whole
from rankloom.errors import CompositionError, UsageError
from rankloom.language_model import checked_model
from rankloom.ledger import Note
from rankloom.parameter_kinds import AnyLanguageModel
from rankloom.prf.generation import GeneratedFeedback
from rankloom.prf.term_feedback import Expansion, FeedbackDocument, heaviest, scaled, summed
from rankloom.prf.term_filter import TermFilter
from rankloom.run import Run
from rankloom.sources import CountedTermSource
from rankloom.stage import Retriever
from rankloom.weighted_terms import Terms

Kind = Literal[
    "keywords",
    "entities",
    "cot_keywords",
    "cot_entities",
    "queries",
    "summary",
    "facts",
    "document",
    "essay",
    "news",
]


class GRF(GeneratedFeedback):
    """Expand each query with terms of made-up texts of several kinds (Mackie et al., SIGIR 2023).

    The texts of all kinds are analysed as the index does and count as one: a term weighs as often as it occurs in them.
    Terms that no document holds are left out, as nothing would be found by them. The best `terms` remain and are scaled
    to sum to 1. The new query is `weight` times the analysed query (scaled likewise) plus `1 - weight` times that
    model, as in RM3, with terms of equal weight in ascending order.

    The kinds are the paper's; the prompts say them in words of our own, and are files in `prf/prompts`. The paper
    chooses the number of terms and the weight for each collection by cross-validation, which `rankloom run` does for a
    sweep; the defaults here are not tuned.

    Queries without text, or for which all texts are empty, keep their analysed terms and are noted as
    `GeneratedFeedback` says; so is a query for which no term passes.

    Args:
        model: Who writes; the paper's has a temperature of 0.7.
        kinds: Which texts are made up: `keywords`, `entities`, both with reasons (`cot_keywords`, `cot_entities`),
            `queries`, `summary`, `facts`, `document`, `essay`, `news`. By default all ten, one prompt each.
        terms: Feedback terms.
        weight: Share of the original query, from 0 to 1.
        max_df: A term that occurs in more than this share of all documents is no feedback term; see `RM3`.
        ascii_terms: Take only words of the characters a-z and 0-9; see `RM3`.
        max_tokens: Limit of each text.
        retriever: Whose index is read; by default the retriever that follows in the pipeline.

    Raises:
        UsageError: A parameter is out of range, or a kind is unknown or stands twice.

    Example:
        >>> from rankloom.language_models import OpenAICompatible
        >>> len(GRF(OpenAICompatible("qwen3:8b", url="http://localhost:11434/v1", temperature=0.7)).templates)
        10
    """

    name = "grf"
    provides = frozenset({"terms"})
    accepts = frozenset({"terms"})
    reads = CountedTermSource

    def __init__(
        self,
        model: AnyLanguageModel,
        *,
        kinds: list[Kind] | None = None,
        terms: int = 50,
        weight: float = 0.5,
        max_df: float = 0.1,
        ascii_terms: bool = True,
        max_tokens: int = 512,
        retriever: Retriever | None = None,
    ) -> None:
        self.model = checked_model(model, stage=self.name)
        self.kinds: list[Kind] = list(get_args(Kind) if kinds is None else kinds)
        for kind in self.kinds:
            choice(kind, get_args(Kind), stage=self.name, parameter="kind")
        if not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise UsageError("kinds must be one or more, none twice", stage=self.name, value=kinds)
        self.terms = whole(terms, least=1, stage=self.name, parameter="terms")
        self.weight = between(weight, 0, 1, stage=self.name, parameter="weight")
        self.max_df = between(max_df, 0, 1, stage=self.name, parameter="max_df")
        self.ascii_terms, self.retriever = ascii_terms, retriever
        self.max_tokens = whole(max_tokens, least=1, stage=self.name, parameter="max_tokens")
        self.templates = [self.template(kind, "query") for kind in self.kinds]

    @classmethod
    def most_prompts(cls, given: Mapping[str, Any]) -> int:
        """One for each kind."""
        return len(get_args(Kind) if given["kinds"] is None else given["kinds"])

    def __call__(self, run: Run) -> Run:
        """The queries with weighted terms.

        Raises:
            CompositionError: There is no retriever over counted terms.
        """
        source = self._source()
        said = self.ask(
            run, [[template.prompt(query=query.text) for template in self.templates] for query in run.queries]
        )
        own = source.query_terms(run.queries, run.session).terms
        queries, notes = [], list(said.notes)
        for query, terms, texts in zip(run.queries, own, said.texts, strict=True):
            counted = [(self.kinds[place], Counter(source.analyze(text))) for place, text in texts.items()]
            found = [FeedbackDocument(kind, 1.0, counts) for kind, counts in counted if counts]
            expansion = self._expansion(scaled(terms), found, source)
            queries.append(query.with_terms(expansion.terms()))
            if texts and expansion.reason:
                notes.append(Note(self.name, "no_feedback", query.id, detail=expansion.reason))
        after = run.rewritten(queries).noted(*notes)
        return after.counted(inputs=len(run), calls=said.done.calls, tokens=said.done.tokens, written=said.done.written)

    def _expansion(self, original: Terms, texts: Sequence[FeedbackDocument], source: CountedTermSource) -> Expansion:
        """The query interpolated with the model of the texts."""
        if not texts:
            return Expansion(original, reason="the texts hold no term")
        terms = TermFilter(self.max_df, self.ascii_terms)
        passing = sorted(terms.passing(texts, source))
        if not passing:
            return Expansion(original, reason=terms.reason(texts, source))
        counts = source.document_frequencies(passing).tolist()
        held = [term for term, count in zip(passing, counts, strict=True) if count]
        if not held:
            return Expansion(original, reason="the index holds no term of the texts")
        sums, _ = summed((one.doc_id, one.terms) for one in texts)
        model = scaled(heaviest({term: sums[term] for term in held}, self.terms))
        return Expansion(
            {term: self.weight * value for term, value in original.items()},
            {term: (1 - self.weight) * value for term, value in model.items()},
        )

    def _source(self) -> CountedTermSource:
        """The index that is read."""
        if not isinstance(self.retriever, CountedTermSource):
            raise CompositionError(
                "has no index to read terms from",
                stage=self.name,
                value=self.retriever,
                accepted="a retriever that is a CountedTermSource, such as BM25",
                fix="put a retriever over terms after it, or pass retriever=",
            )
        return self.retriever
