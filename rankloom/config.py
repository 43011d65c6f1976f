"""Pipelines from YAML: a list of one-key maps, in the words that Python uses.

A relative path of a model, file or folder is taken from the folder of the configuration's file, or else from the
current folder.

A step is a word (`bm25`), a word with a value for its first parameter (`{top: 100}`), a word with parameters
(`{rm3: {docs: 10}}`), or a name from `define`. Fusions take `inputs`, a list of steps or of lists of steps. A stage
that carries out others takes a step or a list of steps, such as `{text_prf: {through: bm25}}`. A language model is a
map of one word, `{hyde: {model: {local: folder}}}`; see `rankloom.language_models.words`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rankloom import signature_schema
from rankloom.corpus import Corpus
from rankloom.errors import CompositionError, ConfigError, RankloomError, nearest
from rankloom.language_model import LanguageModel
from rankloom.language_models import words as model_words
from rankloom.parameter_kinds import HoldsModel, HoldsSteps
from rankloom.pipeline import Pipeline
from rankloom.registry import stage_class, stage_words
from rankloom.session import Session
from rankloom.stage import REWRITTEN, Retriever, Stage
from rankloom.stage_schema import (
    FUSIONS,
    LABELS,
    builder,
    first_parameter,
    inner_parameters,
    labels_read,
    model_parameters,
    parameters,
)
from rankloom.stand_in import StandIn
from rankloom.yaml_file import Locations, Place

_Made = TypeVar("_Made")


class PipelineBuilder:
    """Checks and builds the pipelines of one configuration.

    Args:
        definitions: Name -> step or list of steps, to be used by name.
        locations: Where things stand in the file, for errors.
        labels: What the collection knows, for stages that are told: its `qrels`, and the `sentences` that it marks as
            relevant, None if it marks none.
    """

    def __init__(
        self,
        definitions: Mapping[str, Any],
        *,
        locations: Locations | None = None,
        labels: Mapping[str, Mapping[str, Any] | None] | None = None,
    ) -> None:
        self.definitions, self.labels = definitions, labels or {}
        self.locations = locations or Locations()
        self._built: dict[str, Stage] = {}
        self._models: dict[str, LanguageModel] = {}

    def check(self, spec: Any, *, at: Place) -> None:
        """Check a pipeline's names, parameters and composition; no index is built and no model is loaded.

        Args:
            spec: A step or a list of steps.
            at: Its place in the file.

        Raises:
            ConfigError: Something is not right; names file, line and the nearest known word.
        """
        try:
            sketch = self._stage(spec, at, (), corpus=None, session=None)
            traits = Pipeline([sketch]).flow(frozenset(), after="the start")
        except CompositionError as error:
            raise ConfigError(f"{self.locations.where(at)}: {error}") from error
        if "ranking" not in traits:
            what = "the pipeline ends without a ranking; fix: end it with a retriever, or a reranker behind one"
            raise ConfigError(f"{self.locations.where(at)}: {what}")
        if traits & REWRITTEN:
            raise ConfigError(f"{self.locations.where(at)}: the pipeline ends with new queries that nothing reads")

    def build(self, spec: Any, *, corpus: Corpus | None, session: Session, at: Place = ()) -> Pipeline:
        """Build a pipeline; stages with the same word and parameters are one object.

        Args:
            spec: A step or a list of steps.
            corpus: What its retrievers search.
            session: Where their indexes are kept.
            at: Its place in the file.
        """
        return Pipeline([self._stage(spec, at, (), corpus=corpus, session=session)])

    def _stage(
        self, spec: Any, at: Place, inside: tuple[str, ...], *, corpus: Corpus | None, session: Session | None
    ) -> Stage:
        """One step, or the pipeline of a list of steps; without a session, stand-ins for the retrievers."""
        if isinstance(spec, list):
            if not spec:
                raise self._error(at, "a pipeline needs at least one step")
            steps = [
                self._stage(step, (*at, number), inside, corpus=corpus, session=session)
                for number, step in enumerate(spec)
            ]
            return Pipeline(steps)
        if isinstance(spec, str) and spec in self.definitions:
            if spec in inside:
                raise self._error(at, "a definition uses itself", value=spec)
            place: Place = ("define", spec)
            return self._stage(self.definitions[spec], place, (*inside, spec), corpus=corpus, session=session)
        word, given = self._word(spec, at)
        values = self._values(word, given, at)
        if word in FUSIONS:
            place = (*at, word, "inputs")
            inputs = [
                self._stage(one, (*place, number), inside, corpus=corpus, session=session)
                for number, one in enumerate(values.pop("inputs"))
            ]
            return self._made(at, lambda: FUSIONS[word](*inputs, **values))
        key = json.dumps([word, values], sort_keys=True, default=str)  # as they are written
        for name in inner_parameters(word):
            if values.get(name) is not None:
                values[name] = self._stage(values[name], (*at, word, name), inside, corpus=corpus, session=session)
        for name in model_parameters(word):
            if values.get(name) is not None:
                values[name] = self._language_model(values[name], (*at, word, name))
        if session is None:
            return self._made(at, lambda: _sketch(word, values))
        if key not in self._built:
            self._built[key] = self._over_corpus(word, values, at, corpus, session)
        return self._built[key]

    def _language_model(self, spec: Any, at: Place) -> LanguageModel:
        """A language model; those with the same word and parameters are one object, and keep one rate together."""
        try:
            word, given = model_words.parted(spec)
            model = model_words.parameters(word)
        except ConfigError as error:
            raise ConfigError(f"{self.locations.where(at)}: {error}") from error
        values = self._checked(word, model, given, at)
        key = json.dumps([word, values], sort_keys=True, default=str)
        for name in model_words.inner_models(word):
            if values.get(name) is not None:
                values[name] = self._language_model(values[name], (*at, word, name))
        if key not in self._models:
            self._models[key] = self._made(at, lambda: model_words.backend(word)(**values))
        return self._models[key]

    def _word(self, spec: Any, at: Place) -> tuple[str, Any]:
        """The word of a step and what it is told."""
        if isinstance(spec, Mapping) and len(spec) == 1:
            word, given = next(iter(spec.items()))
        elif isinstance(spec, str):
            word, given = spec, {}
        else:
            raise self._error(at, "a step is a word or a map with one key", value=spec)
        if word not in FUSIONS and word not in stage_words() and ":" not in word:
            known = sorted({*FUSIONS, *stage_words(), *self.definitions})
            close = nearest(word, known)
            fix = f"did you mean {close!r}?" if close else None
            if word in self.definitions:
                fix = "a definition is used by its name alone; change its parameters where it is defined"
            raise self._error(at, "unknown stage", value=word, accepted=", ".join(known), fix=fix)
        return word, given

    def _values(self, word: str, given: Any, at: Place) -> dict[str, Any]:
        """Checked parameters of a step: those that were given."""
        model = parameters(word)
        if given is None:
            given = {}
        if not isinstance(given, Mapping):
            first = first_parameter(word)
            if first is None:
                raise self._error(at, f"{word} takes no value", value=given)
            given = {first: given}
        return self._checked(word, model, given, at)

    def _checked(self, word: str, model: type[BaseModel], given: Mapping[str, Any], at: Place) -> dict[str, Any]:
        """Parameters of a step or of a language model, of the right types, with files as they are found."""
        try:
            checked = model.model_validate(dict(given))
        except ValidationError as error:
            raise self._invalid(word, error, at, model) from None
        values = {name: getattr(checked, name) for name in given}
        try:
            return signature_schema.located(model, values, self.locations.folder, stage=word)
        except ConfigError as error:
            raise ConfigError(f"{self.locations.where((*at, word))}: {error}") from error

    def _over_corpus(
        self, word: str, values: dict[str, Any], at: Place, corpus: Corpus | None, session: Session
    ) -> Stage:
        """A stage, given the corpus if it searches one."""
        make = builder(word)
        for name in labels_read(word):
            if self.labels.get(name) is None:
                raise self._error(at, f"{word} needs {LABELS[name]}", fix="take a collection that has some")
            values = {**values, name: self.labels[name]}
        if not hasattr(stage_class(word), "for_corpus"):
            return self._made(at, lambda: make(**values))
        if corpus is None:
            raise self._error(at, f"{word} needs a corpus", fix="name one under `collection`")
        return self._made(at, lambda: make(corpus, session, **values))

    def _made(self, at: Place, make: Callable[[], _Made]) -> _Made:
        """What `make` makes; a refused parameter is an error with file and line."""
        try:
            return make()
        except TypeError as error:  # such as a fusion of two that is given three inputs
            raise self._error(at, f"it can not be made: {error}") from error
        except RankloomError as error:
            if error.exit_code in (2, 5) and not isinstance(error, CompositionError | ConfigError):
                raise ConfigError(f"{self.locations.where(at)}: {error}") from error
            raise

    def _invalid(self, word: str, error: ValidationError, at: Place, model: type[BaseModel]) -> ConfigError:
        """All that is wrong with a step's parameters, as one error."""
        problems = []
        for one in error.errors():
            name = str(one["loc"][0]) if one["loc"] else ""
            line = self.locations.where((*at, word, *one["loc"]))
            if one["type"] == "extra_forbidden":
                known = list(model.model_fields)
                close = nearest(name, known)
                hint = f"; did you mean {close!r}?" if close else f"; accepted: {', '.join(known)}"
                problems.append(f"{line}: {word} has no parameter {name!r}{hint}")
            elif one["type"] == "missing":
                problems.append(f"{line}: {word} needs {name!r}{_kind(model, name)}")
            else:
                problems.append(f"{line}: {word}.{name}: {one['msg']}; got {one['input']!r}")
        return ConfigError("\n".join(problems))

    def _error(self, at: Place, problem: str, **details: Any) -> ConfigError:
        """An error with file and line."""
        return ConfigError(f"{self.locations.where(at)}: {problem}", **details)


def _kind(model: type[BaseModel], name: str) -> str:
    """What a parameter holds, where its name does not say."""
    if name in signature_schema.marked(model, HoldsModel()):
        return ": a language model, such as {replay: transcript.jsonl}"
    return ": a stage, or a list of stages" if name in signature_schema.marked(model, HoldsSteps()) else ""


def _sketch(word: str, values: dict[str, Any]) -> Stage:
    """The stage itself where it is light to make, a stand-in for a retriever over a corpus."""
    found = stage_class(word)
    if hasattr(found, "for_corpus") and issubclass(found, Retriever):
        return StandIn(found, k=values.get("k", 1))
    # of what `for_corpus` takes, the constructor takes what needs no corpus
    taken = inspect.signature(found).parameters if hasattr(found, "for_corpus") else values
    return found(**{name: value for name, value in values.items() if name in taken})
