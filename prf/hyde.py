"""HyDE: search with passages that a language model makes up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from rankloom.checks import whole
from rankloom.encoders import truncation_notes
from rankloom.errors import CompositionError, UsageError
from rankloom.language_model import checked_model
from rankloom.parameter_kinds import AnyLanguageModel, NamesPath
from rankloom.prf.generation import GeneratedFeedback
from rankloom.run import Run
from rankloom.sources import VectorSource
from rankloom.stage import Retriever


class HyDE(GeneratedFeedback):
    """Replace each query vector by the mean of it and the vectors of made-up answers (Gao et al., ACL 2023).

    The passages may be wrong in what they say; what counts is that they look like what is sought. They are encoded as
    documents are, by the encoder of the retriever's index. The mean is not normalised again, as in the authors' code.

    A passage that the model leaves empty does not count. Queries without text, or without any passage, are noted as
    `GeneratedFeedback` says. What the encoder reads stands in the ledger under its own name.

    Args:
        model: Who writes. It has to draw its outputs at random if there is more than one passage; the authors' code
            takes a temperature of 0.7.
        passages: How many passages are made up for each query (the authors' code: 8).
        prompt: What is asked: `web_search`, `scifact`, `arguana`, `trec_covid`, `fiqa`, `trec_news` (the paper's), or
            the path of a file with the gap `{query}`.
        max_tokens: Limit of each passage (the authors' code: 512).
        retriever: Whose encoder is used; by default that of the retriever that follows in the pipeline.

    Raises:
        UsageError: A parameter is out of range, or several passages are asked of a model that would write one.
        NotFoundError: There is no such prompt.

    Example:
        >>> from rankloom.language_models import OpenAICompatible
        >>> model = OpenAICompatible("qwen3:8b", url="http://localhost:11434/v1", temperature=0.7)
        >>> HyDE(model, prompt="scifact").passages
        8
    """

    name = "hyde"
    provides = frozenset({"vectors"})
    accepts = frozenset({"vectors"})
    reads = VectorSource

    def __init__(
        self,
        model: AnyLanguageModel,
        *,
        passages: int = 8,
        prompt: Annotated[str, NamesPath(or_name=True)] = "web_search",
        max_tokens: int = 512,
        retriever: Retriever | None = None,
    ) -> None:
        self.model = checked_model(model, stage=self.name)
        self.passages = whole(passages, least=1, stage=self.name, parameter="passages")
        self.max_tokens = whole(max_tokens, least=1, stage=self.name, parameter="max_tokens")
        self.prompt, self.retriever = prompt, retriever
        self.templates = [self.template(prompt, "query")]
        if passages > 1 and model.greedy:
            raise UsageError(
                f"the model would write the same passage {passages} times",
                stage=self.name,
                value=model,
                fix="give it a temperature, such as 0.7, or ask for passages=1",
            )

    @classmethod
    def most_prompts(cls, given: Mapping[str, Any]) -> int:
        """One for each passage."""
        return int(given["passages"])

    def __call__(self, run: Run) -> Run:
        """The queries with new vectors.

        Raises:
            CompositionError: There is no retriever over vectors.
        """
        source, (template,) = self._source(), self.templates
        said = self.ask(
            run,
            [[template.prompt(query=query.text, sample=n) for n in range(self.passages)] for query in run.queries],
        )
        places = [place for place, texts in enumerate(said.texts) if texts]
        about = [run.queries[place] for place in places for _ in said.texts[place]]
        own = source.encode_queries([run.queries[place] for place in places], run.session)
        made_up = source.encode_passages([text for place in places for text in said.texts[place].values()], run.session)
        queries, start = list(run.queries), 0
        for row, place in enumerate(places):
            end = start + len(said.texts[place])
            vectors = np.vstack([own.vectors[row : row + 1], made_up.vectors[start:end]])
            mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
            queries[place], start = queries[place].with_vector(source.space, mean), end
        cut = truncation_notes(run.session, [queries[place] for place in places], own.truncated, stage=self.name)
        cut += truncation_notes(run.session, about, made_up.truncated, stage=self.name)
        after = run.rewritten(queries).noted(*said.notes, *cut)
        after = after.counted(
            inputs=len(run), calls=said.done.calls, tokens=said.done.tokens, written=said.done.written
        )
        read = int(own.tokens.sum() + made_up.tokens.sum())
        return after.counted(calls=own.calls + made_up.calls, tokens=read, model=self._encoder_name())

    def _source(self) -> VectorSource:
        """The index whose encoder is used."""
        if not isinstance(self.retriever, VectorSource):
            raise CompositionError(
                "has no encoder",
                stage=self.name,
                value=self.retriever,
                accepted="a retriever that is a VectorSource, such as Dense",
                fix="put a retriever over vectors after it, or pass retriever=",
            )
        return self.retriever

    def _encoder_name(self) -> str:
        """The model that encodes."""
        return "" if self.retriever is None else self.retriever.model_name
