"""The contract of a stage, and the operators that every stage has.

A stage is a light object: its constructor stores parameters and touches nothing heavy; models load on first use or
by `warm_up`. It turns one run into the next by `__call__`, which must be a pure function of the run, the stage's
parameters and the session's numerics. Caching, timing and history happen around it, in `rankloom.execution`.

Every constructor parameter is kept as an attribute of the same name: this is how a stage is fingerprinted, shown,
copied with a change, and written as YAML.
"""

from __future__ import annotations

import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from types import CodeType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from rankloom.errors import CompositionError, UsageError
from rankloom.fingerprint import digest
from rankloom.records import Documents, Query
from rankloom.run import Run
from rankloom.session import Session

if TYPE_CHECKING:
    from rankloom.pipeline import Pipeline
    from rankloom.ranked_list import RankedList
    from rankloom.score_parts import ScoreParts

#: What a run can hold, beyond its queries. `terms` and `vectors` are rewritten forms of the queries.
Trait = Literal["ranking", "text", "spans", "terms", "vectors"]
Traits = frozenset[Trait]
NO_TRAITS: Traits = frozenset()
REWRITTEN: Traits = frozenset({"terms", "vectors"})
_FIXES: dict[Trait, str] = {
    "ranking": "put a retriever before it",
    "text": "retrieve from a corpus with texts, or pass documents= when the run is made",
    "spans": "put a pruner before it",
    "terms": "put a feedback stage that writes terms before it",
    "vectors": "put a feedback stage that writes vectors before it",
}


def traits_of(run: Run) -> Traits:
    """What a run holds, in the words of `Stage.needs` and `Stage.provides`."""
    held: dict[Trait, bool] = {
        "ranking": run.ranking is not None,
        "text": run.documents is not None,
        "spans": run.ranking is not None and run.ranking.spans is not None,
        "terms": any(query.terms is not None for query in run.queries),
        "vectors": any(query.vectors for query in run.queries),
    }
    return frozenset(trait for trait, there in held.items() if there)


class Stage(ABC):
    """One step of a pipeline.

    A new stage sets the class attributes, stores its parameters and implements `__call__`. It is then ready for
    `>>`, YAML, caching and resume; `rankloom.testing.StageConformance` checks that it keeps the contract.

    Attributes:
        name: The word for it in YAML, in reports and in errors.
        version: Raised when the same parameters give other results than before; old cache entries then stay unused.
        needs: What the incoming run must hold.
        provides: What the outgoing run holds besides.
        drops: What the outgoing run no longer holds.
        accepts: Rewritten forms of the query that it reads; retrievers, feedback stages and some rerankers have any.
        grain: What the cache remembers: the outcome of a `query`, or nothing (`none`) because the stage is trivial
            or looks after its own caching (pointwise rerankers remember query-document pairs).
        unit: Queries computed, cached and reported at a time. A killed run loses at most one unit for each thread.
        requires: Optional modules that it runs on; an experiment looks for them before it begins.
        by_query: Parameters that a query may bring in its metadata; see `Query.settings`.
        parallel: Whether units may be carried out on several threads at once: `__call__` changes nothing that another
            call reads, and gives the same bytes whatever other queries are in the batch. `rankloom.testing` checks it.
    """

    name: str
    version: ClassVar[int] = 1
    needs: Traits = NO_TRAITS
    provides: Traits = NO_TRAITS
    drops: Traits = NO_TRAITS
    accepts: Traits = NO_TRAITS
    grain: ClassVar[Literal["query", "none"]] = "query"
    unit: ClassVar[int] = 64
    requires: ClassVar[tuple[str, ...]] = ()
    by_query: ClassVar[frozenset[str]] = frozenset()
    parallel: bool = False

    @abstractmethod
    def __call__(self, run: Run) -> Run:
        """The next run. It has the same queries in the same order; the run passed in is not changed."""

    @property
    def documents(self) -> Documents | None:
        """The documents that this stage's hits come from; None for a stage that brings no documents."""
        return None

    @property
    def model_name(self) -> str:
        """The model that this stage spends time and tokens on, for the ledger; by default its parameter `model`."""
        model = getattr(self, "model", "")
        return model if isinstance(model, str) else ""

    def params(self) -> dict[str, Any]:
        """Constructor parameters and their values."""
        try:
            return {name: getattr(self, name) for name in _parameters(type(self))}
        except AttributeError as error:
            raise UsageError(
                f"a constructor parameter is not kept as an attribute of the same name: {error}",
                stage=self.name,
                fix="store every parameter in __init__ under its own name",
            ) from error

    def fingerprint(self) -> str:
        """A digest of the class, its version and its parameters (indexes and models by their own fingerprints).

        A class of another package counts with its source, so that an edited stage never gets its old results from the
        cache; what it calls elsewhere does not: raise `version` when that changes.
        """
        known: str | None = self.__dict__.get("_fingerprint")
        if known is None:
            try:
                known = digest(
                    type(self).__module__, type(self).__qualname__, self.version, self.params(), *source_of(type(self))
                )
            except TypeError as error:
                raise UsageError(f"has a parameter that can not be fingerprinted ({error})", stage=self.name) from error
            self._fingerprint = known
        return known

    def opening(self) -> Traits:
        """What a run must hold when a pipeline begins with this stage."""
        return self.needs

    @property
    def inner(self) -> tuple[Stage, ...]:
        """The stages and pipelines that it carries out inside itself, such as the branches of a fusion."""
        return ()

    @classmethod
    def inner_queries(cls, given: Mapping[str, Any]) -> int | None:  # noqa: ARG003  # of the parameters of subclasses
        """How many queries the stages inside it get for each of its own; None if only a run can tell.

        Args:
            given: Its parameters, as a configuration has them.
        """
        return 1

    def pushed_down(self) -> Stage:
        """This stage with each `.top(k)` inside it made part of the retriever it follows."""
        return self

    def flow(self, traits: Traits, *, after: str) -> Traits:
        """What a run holds after this stage, given what it holds before.

        Args:
            traits: What the incoming run holds.
            after: The stage before, for the error.

        Raises:
            CompositionError: The stage can not work on such a run. Names both stages and the fix.
        """
        missing = self.needs - traits
        if missing:
            raise CompositionError(
                f"needs {_listed(missing)}, which {after} does not leave", stage=self.name, fix=_FIXES[min(missing)]
            )
        return (traits - self.drops) | self.provides

    def replace(self, **changes: Any) -> Self:
        """A copy with some parameters changed.

        Raises:
            UsageError: A parameter that the stage does not have.
        """
        unknown = set(changes) - set(_parameters(type(self)))
        if unknown:
            raise UsageError(
                "unknown parameter", stage=self.name, value=min(unknown), accepted=", ".join(_parameters(type(self)))
            )
        return type(self)(**{**self.params(), **changes})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its class and parameters: models load again on first use, wherever that is."""
        return _remade, (type(self), self.params())

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself, since a stage does not change: copies of what holds one, such as a host's retriever, share it."""
        return self

    def warm_up(self, session: Session | None = None) -> None:  # noqa: B027  # most stages have no models
        """Load models now rather than on first use."""

    def close(self) -> None:  # noqa: B027  # likewise
        """Free models; they load again on the next use."""

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse to change a parameter: fingerprints, and with them caches, rely on it."""
        if name in self.__dict__ and name in _parameters(type(self)):
            raise UsageError("a stage does not change", stage=self.name, value=name, fix=f"stage.replace({name}=...)")
        super().__setattr__(name, value)

    def __rshift__(self, after: Stage) -> Pipeline:
        """This stage, then another.

        Raises:
            CompositionError: The other can not follow this one. Names both and the fix.
        """
        from rankloom.pipeline import Pipeline

        return Pipeline([self, after])

    def top(self, k: int) -> Pipeline:
        """This stage, then only its best k hits; a retriever is asked for no more than k."""
        from rankloom.pipeline import Pipeline, Top

        return Pipeline([self, Top(k)])

    def run(self, queries: object, *, session: Session | None = None) -> Run:
        """Carry the stage out for a batch.

        Args:
            queries: `Query` records, strings, a mapping of id to text, or a `Run` to go on from.
            session: How to carry it out; by default the run's own, or a plain `Session()`.
        """
        from rankloom.execution import execute

        return execute(self, queries, session=session)

    async def arun(self, queries: object, *, session: Session | None = None) -> Run:
        """`run` for asynchronous callers: work runs in threads, branches of a fusion side by side."""
        from rankloom.execution import aexecute

        return await aexecute(self, queries, session=session)

    def search(self, query: str | Query, k: int = 10, *, session: Session | None = None) -> RankedList:
        """The best k hits for one query.

        Args:
            query: What to look for.
            k: How many hits at most.
            session: How to carry it out.

        Raises:
            UsageError: The query is empty, k is not positive, or the pipeline ends without a ranking.
        """
        from rankloom.execution import execute, search_plan

        plan, start = search_plan(self, query, k, session)
        return next(iter(execute(plan, start).values()))

    async def asearch(self, query: str | Query, k: int = 10, *, session: Session | None = None) -> RankedList:
        """`search` for asynchronous callers: work runs in threads, branches of a fusion side by side."""
        from rankloom.execution import aexecute, search_plan

        plan, start = search_plan(self, query, k, session)
        return next(iter((await aexecute(plan, start)).values()))

    def explain(
        self, query: str | Query, doc_id: str, *, stage: str | None = None, session: Session | None = None
    ) -> ScoreParts:
        """What each term of a query adds to a document's score, whether the document is found or not.

        Args:
            query: What was asked.
            doc_id: The document.
            stage: Of a pipeline, whose score; see `Hit.explain`.
            session: How to carry it out.

        Raises:
            UsageError: The stage's scores are not sums over terms. Names the stages that can be explained.
            DataError: The index has no such document.
        """
        from rankloom.execution import execute, search_plan
        from rankloom.score_parts import explained

        _, start = search_plan(self, query, 1, session)
        return explained(execute(self, start), 0, doc_id, stage=stage)

    def __repr__(self) -> str:
        """The call that makes an equal stage, as far as its parameters can be shown."""
        shown = ", ".join(f"{name}={value!r}" for name, value in self.params().items())
        return f"{type(self).__name__}({shown})"


class Retriever(Stage):
    """Queries to rankings over a corpus of its own.

    A retriever has a parameter `k`, the depth of its rankings, and its best k hits are the first k of any deeper
    ranking, so that `.top(k)` can be pushed down to it.
    """

    provides = frozenset({"ranking", "text"})
    drops = frozenset({"spans", "terms", "vectors"})
    k: int

    def at_depth(self, k: int) -> Self:
        """This retriever with rankings of at most k; the same object each time, so what it has loaded is kept."""
        if k >= self.k:
            return self
        shallower: dict[int, Self] = self.__dict__.setdefault("_shallower", {})
        if k not in shallower:
            shallower[k] = self.replace(k=k)
        return shallower[k]

    @property
    def index_bytes(self) -> int | None:
        """Bytes of the index that it searches, texts of documents not included; None if it does not know."""
        return None

    @property
    def stands_for(self) -> type[Retriever]:
        """The class of retriever that this is; a configuration is checked on stand-ins, before indexes are built."""
        return type(self)

    def flow(self, traits: Traits, *, after: str) -> Traits:
        """As for any stage; a rewritten query that this retriever does not read is an error, never ignored."""
        _refuse_unread(self, traits, after, fix="put a retriever over the same representation after the feedback")
        if "ranking" in traits:
            between = "put a feedback stage between them, or fuse the two with interpolate or rrf"
            raise CompositionError(
                f"would throw away the ranking that {after} leaves",
                stage=self.name,
                fix="let the feedback be then='retrieve'" if traits & REWRITTEN else between,
            )
        left = super().flow(traits, after=after)
        return left if self.documents is not None else left - {"text"}


#: What follows a feedback stage: a retriever, for which the ranking is dropped, or a reranker of the ranking it read.
Then = Literal["retrieve", "rerank"]


class Feedback(Stage):
    """A ranking to rewritten queries; the ranking itself is used up, unless it shall be reranked with them.

    Feedback reads terms or vectors of the documents from the retriever it writes the query for: the one that follows
    it in the pipeline, or whose vectors the reranker that follows reads, unless `retriever` names it. A stage that can
    come before a reranker has a parameter `then`; for `rerank` it drops nothing and keeps the ranking
    (`run.rewritten(queries, keep=True)`). Feedback that reads texts needs no retriever.

    Attributes:
        reads: The class of `rankloom.sources` that the retriever must inherit; None for feedback that needs none.
        retriever: The retriever it is bound to, or None until it is put in front of one.
    """

    needs = frozenset({"ranking"})
    drops = frozenset({"ranking", "spans"})
    reads: ClassVar[type | None] = None
    retriever: Retriever | None = None

    def bound(self, retriever: Retriever) -> Self:
        """This stage, reading from a retriever.

        Raises:
            CompositionError: The retriever has not what this feedback reads.
        """
        if self.reads is None:
            return self
        if not issubclass(retriever.stands_for, self.reads):
            raise self.unreadable(retriever)
        return self.replace(retriever=retriever)

    @classmethod
    def leaves_ranking(cls, given: Mapping[str, Any]) -> bool:
        """Whether it leaves a ranking, be it the one that it read.

        Args:
            given: All its parameters, as a configuration has them.
        """
        return given.get("then") == "rerank"

    def unreadable(self, after: Stage) -> CompositionError:
        """The error for a stage behind it that can not read what it writes."""
        form = "" if self.reads is None else f" that is a {self.reads.__name__}"
        return CompositionError(
            f"writes queries that {after.name} can not read",
            stage=self.name,
            accepted=f"a retriever{form}, or a reranker that reads one",
            fix="put one over the same representation after it, or pass retriever=",
        )


class Reranker(Stage):
    """A ranking to a ranking of the same documents, of which the best are scored anew.

    One that reads what feedback wrote into the queries (`accepts`) drops it then, as retrievers do.

    Attributes:
        reads: The class of `rankloom.sources` whose vectors it compares; None for one that reads texts.
        retriever: Whose vectors these are.
    """

    needs = frozenset({"ranking", "text"})
    reads: ClassVar[type | None] = None
    retriever: Retriever | None = None

    def flow(self, traits: Traits, *, after: str) -> Traits:
        """As for any stage; a rewritten query that this reranker does not read is an error, never ignored."""
        if "ranking" in traits:
            _refuse_unread(self, traits, after, fix="rerank with a stage that reads them, or put a retriever before it")
        elif traits & self.accepts:
            raise CompositionError(
                f"needs ranking, which {after} does not leave",
                stage=self.name,
                fix="let the feedback be then='rerank', or put a retriever between them",
            )
        return super().flow(traits, after=after)


class Pruner(Stage):
    """A ranking to the same ranking with the sentences that are kept and dropped."""

    needs = frozenset({"ranking", "text"})
    provides = frozenset({"spans"})


def _remade(stage: type[Stage], params: dict[str, Any]) -> Stage:
    """A stage of some parameters."""
    return stage(**params)


@cache
def source_of(stage: type[Stage]) -> tuple[str, ...]:
    """The source of a stage's classes that are not this package's; of one without a file, its compiled methods."""
    found = []
    for one in stage.__mro__:
        package = one.__module__.split(".", maxsplit=1)[0]
        if package == "rankloom" or package in sys.stdlib_module_names:
            continue
        try:
            found.append(inspect.getsource(one))
        except (OSError, TypeError):  # typed into a session, or run from a string
            codes = [value.__code__ for value in vars(one).values() if inspect.isfunction(value)]
            found.extend(map(_compiled, codes))
    return tuple(found)


def _compiled(code: CodeType) -> str:
    """A function's instructions, names and constants, the same in every process."""
    constants = [_compiled(one) if isinstance(one, CodeType) else _ordered(one) for one in code.co_consts]
    return f"{code.co_name} {code.co_code.hex()} {code.co_names} {constants}"


def _ordered(constant: object) -> str:
    """A constant in words; sets come in order."""
    return repr(sorted(map(repr, constant))) if isinstance(constant, frozenset) else repr(constant)


@cache
def _parameters(stage: type[Stage]) -> tuple[str, ...]:
    """Names of a stage's constructor parameters."""
    if stage.__init__ is object.__init__:  # its signature would show *args and **kwargs
        return ()
    return tuple(inspect.signature(stage.__init__).parameters)[1:]


def _refuse_unread(stage: Stage, traits: Traits, after: str, *, fix: str) -> None:
    """Refuse rewritten forms of the query that a stage would ignore."""
    unread = (traits & REWRITTEN) - stage.accepts
    if unread:
        raise CompositionError(
            f"can not read the {_listed(unread)} that {after} wrote into the query", stage=stage.name, fix=fix
        )


def _listed(traits: Traits) -> str:
    """Traits in words."""
    return " and ".join(sorted(traits))
