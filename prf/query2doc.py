"""query2doc: search with the query and a passage that a language model makes up, as one text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from rankloom.checks import choice, whole
from rankloom.errors import UsageError
from rankloom.fingerprint import digest
from rankloom.language_model import checked_model
from rankloom.lines import bad_line, json_lines
from rankloom.parameter_kinds import AnyLanguageModel, FilePath, NamesPath
from rankloom.prf.generation import GeneratedFeedback
from rankloom.run import Run

Form = Literal["sparse", "dense"]


class Query2Doc(GeneratedFeedback):
    """Put a made-up passage behind the query (Wang et al., EMNLP 2023).

    - `sparse`: the query `repeats` times, then the passage, so that the words of a short query keep their weight. For
      BM25 and other retrievers over terms.
    - `dense`: the query, a separator, the passage. For dense retrievers; what their encoder cuts, they note.

    Queries without text, and those to which the model says nothing, are noted as `GeneratedFeedback` says.

    Args:
        model: Who writes; the paper's has a temperature of 1.
        form: `sparse` or `dense`.
        repeats: For `sparse`: how often the query stands before the passage, 5 by default (the paper's).
        separator: For `dense`: what stands between the two, `[SEP]` by default (the paper's, of BERT's tokenizers).
        examples: A file of JSON lines with `query` and `passage`, which are shown to the model before its own query.
            The paper shows four pairs of MS MARCO's training queries; by default none are shown.
        prompt: What is asked: `passage` (the paper's), or the path of a file with the gaps `{examples}` and `{query}`.
        max_tokens: Limit of the passage (the paper's: 128).

    Raises:
        UsageError: A parameter is out of range, or belongs to the other form.
        NotFoundError: There is no such prompt or file of examples.
        DataError: An example can not be read.

    Example:
        >>> from rankloom.language_models import OpenAICompatible
        >>> Query2Doc(OpenAICompatible("qwen3:8b", url="http://localhost:11434/v1")).repeats
        5
    """

    name = "query2doc"

    def __init__(
        self,
        model: AnyLanguageModel,
        *,
        form: Form = "sparse",
        repeats: int | None = None,
        separator: str | None = None,
        examples: FilePath | None = None,
        prompt: Annotated[str, NamesPath(or_name=True)] = "passage",
        max_tokens: int = 128,
    ) -> None:
        self.model = checked_model(model, stage=self.name)
        choice(form, get_args(Form), stage=self.name, parameter="form")
        self.form: Form = form
        self.repeats, self.separator = self._joined(repeats, separator)
        self.max_tokens = whole(max_tokens, least=1, stage=self.name, parameter="max_tokens")
        self.prompt, self.examples = prompt, examples
        self.templates = [self.template(prompt, "examples", "query")]
        self._shown = "" if examples is None else _shown(Path(examples), stage=self.name)

    @classmethod
    def most_prompts(cls, given: Mapping[str, Any]) -> int:  # noqa: ARG003  # whatever they are
        """One."""
        return 1

    def fingerprint(self) -> str:
        """A digest of the parameters, the prompt and the examples."""
        return digest(super().fingerprint(), self._shown)

    def __call__(self, run: Run) -> Run:
        """The queries with new texts; terms and vectors that feedback wrote are dropped."""
        (template,) = self.templates
        said = self.ask(run, [[template.prompt(examples=self._shown, query=query.text)] for query in run.queries])
        queries = [
            replace(query.as_typed(), text=self._text(query.text, texts[0])) if texts else query.as_typed()
            for query, texts in zip(run.queries, said.texts, strict=True)
        ]
        after = run.rewritten(queries).noted(*said.notes)
        return after.counted(inputs=len(run), calls=said.done.calls, tokens=said.done.tokens, written=said.done.written)

    def _joined(self, repeats: int | None, separator: str | None) -> tuple[int | None, str | None]:
        """How often the query stands in its text, or what stands behind it; None for what the form has not."""
        parameter, value = ("repeats", repeats) if self.form == "dense" else ("separator", separator)
        if value is not None:
            raise UsageError(f"{parameter} belongs to the other form", stage=self.name, value=value, fix="leave it out")
        if self.form == "dense":
            return None, "[SEP]" if separator is None else separator
        return whole(5 if repeats is None else repeats, least=1, stage=self.name, parameter="repeats"), None

    def _text(self, query: str, passage: str) -> str:
        """The new query."""
        parts = [query] * self.repeats if self.repeats else [query, self.separator or ""]
        return " ".join([*parts, passage])


def _shown(file: Path, *, stage: str) -> str:
    """Examples as they stand in a prompt."""
    found = []
    for number, fields in json_lines(file, stage=stage):
        query, passage = fields.get("query"), fields.get("passage")
        if not isinstance(query, str) or not isinstance(passage, str):
            raise bad_line(
                file, number, "an example lacks a text", stage=stage, accepted='{"query": ..., "passage": ...}'
            )
        found.append(f"Query: {query}\nPassage: {passage}\n\n")
    return "".join(found)
