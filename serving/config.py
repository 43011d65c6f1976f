"""The YAML of a server as typed models: what it serves, to whom, and how much of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from rankloom.errors import ConfigError
from rankloom.eval.config_problems import described, joined
from rankloom.eval.strict import Strict
from rankloom.loopback import on_loopback
from rankloom.session import DType, OnTruncate
from rankloom.yaml_file import Locations, Place, find_beside, places_tried, read_yaml


class Keys(Strict):
    """Where API keys are, which never stand in the file itself; exactly one of the two is given.

    Args:
        environment: Name of an environment variable with keys, separated by commas.
        file: A file with one key a line; empty lines and lines that begin with `#` do not count.
    """

    environment: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        """Refuse both, and none."""
        if (self.environment is None) == (self.file is None):
            raise ValueError("keys are in an `environment` variable or in a `file`; name one of them")
        return self


class Settings(Strict):
    """How pipelines are carried out; see `rankloom.Session`."""

    seed: int = 7
    device: str = "auto"
    dtype: DType = "float32"
    on_truncate: OnTruncate = "record"
    threads: int = Field(default=1, ge=1)


class Limits(Strict):
    """What one request, and all together, may take; more is refused with 413, 422 or 429.

    Args:
        body_bytes: Size of a request.
        body_seconds: Time a client may take to send it, and to take each part of an answer.
        query_chars: Length of a question.
        document_chars: Length of a document, title and metadata included.
        documents: Documents of a request.
        k: Hits that may be asked for.
        context_tokens: Tokens of a context that may be asked for.
        concurrency: Requests that are worked on at a time.
    """

    body_bytes: int = Field(default=4 << 20, ge=1024)
    body_seconds: float = Field(default=10.0, gt=0)
    query_chars: int = Field(default=4_000, ge=1)
    document_chars: int = Field(default=200_000, ge=1)
    documents: int = Field(default=1_000, ge=1)
    k: int = Field(default=100, ge=1)
    context_tokens: int = Field(default=100_000, ge=1)
    concurrency: int = Field(default=64, ge=1)


class Batching(Strict):
    """Requests that wait for the same pipeline are carried out together.

    Args:
        max_size: How many at most; 1 for none with others.
        max_wait_ms: How long the first of them waits for others, where the pipeline is idle.
        workers: How many batches of a pipeline are carried out at a time.
    """

    max_size: int = Field(default=16, ge=1)
    max_wait_ms: float = Field(default=2.0, ge=0, le=1000)
    workers: int = Field(default=1, ge=1, le=64)


class ServeConfig(Strict):
    """A server. Relative paths are taken from the folder of the YAML file, or else from the current folder.

    Args:
        index: A folder made by `rankloom index`, which the words `bm25`, `dense` and `multi_vector` search.
        collection: Or the name of a collection, as in experiments. With neither, documents come with the requests.
        live: Whether documents of `index` may be added, replaced and deleted; an index that is not there begins empty.
        define: Names for steps and pipelines, to be used in pipelines.
        pipelines: Name -> list of steps. One that begins with a retriever searches; one that begins with a reranker or
            a pruner works on documents that come with a request. The first of each kind is taken where none is named.
        session: Seed, device and numbers.
        host: Address to listen on. One that other machines reach needs `keys`.
        port: Port to listen on.
        keys: API keys; without, everybody on this machine is served.
        limits: What may be asked for.
        batching: How requests are put together.
        deadline_seconds: How long a request may take. A late one gets what there is, and is told which stages are left
            out; one that has nothing yet is an error.
        on_failure: What happens where a stage behind the first fails: an `error`, or its results are left out.
        shutdown_seconds: How long requests under way may take when the server ends.
        tracing: Whether requests, batches and stages are spans of OpenTelemetry (extra `otel`).
    """

    index: str | None = None
    collection: str | None = None
    live: bool = False
    define: dict[str, Any] = Field(default_factory=dict)
    pipelines: dict[str, Any] = Field(min_length=1)
    session: Settings = Field(default_factory=Settings)
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    keys: Keys | None = None
    limits: Limits = Field(default_factory=Limits)
    batching: Batching = Field(default_factory=Batching)
    deadline_seconds: float = Field(default=30.0, gt=0, le=3600)
    on_failure: Literal["error", "degrade"] = "error"
    shutdown_seconds: int = Field(default=30, ge=1)
    tracing: bool = False


_NOTHING: Mapping[str, Any] = {}


class ServeFile:
    """A configuration and the file that it comes from.

    Args:
        config: What it says.
        locations: Where that stands in the file.
        overrides: What counts in place of what stands in the file, by key.
    """

    def __init__(
        self, config: ServeConfig, locations: Locations | None = None, overrides: Mapping[str, Any] = _NOTHING
    ) -> None:
        self.config, self.locations, self.overrides = config, locations or Locations(), overrides

    @classmethod
    def read(cls, path: str | Path, overrides: Mapping[str, Any] = _NOTHING) -> ServeFile:
        """Read a YAML file; every problem in it is found and told at once.

        Args:
            path: The file.
            overrides: What counts in place of what stands in it, by key.

        Raises:
            NotFoundError: There is no such file.
            ConfigError: It is not valid; a line for each problem, with file, line and nearest word.
        """
        values, locations = read_yaml(path)
        found = cls.of({**values, **overrides}, locations)
        return cls(found.config, locations, overrides)

    def again(self) -> ServeFile:
        """The same file as it is now.

        Raises:
            ConfigError: It is not valid, or there never was a file.
        """
        if not Path(self.locations.file).is_file():
            raise ConfigError("the configuration comes from no file", stage="reload")
        return self.read(self.locations.file, self.overrides)

    @classmethod
    def of(cls, values: Mapping[str, Any], locations: Locations | None = None) -> ServeFile:
        """The same of values that are read already.

        Raises:
            ConfigError: As for `read`.
        """
        locations = locations or Locations()
        try:
            config = ServeConfig.model_validate(values)
        except ValidationError as error:
            raise joined([described(problem, locations, _MODELS) for problem in error.errors()]) from None
        found = [f"{locations.where(place)}: {text}" for place, text in _inconsistencies(config)]
        if found:
            raise joined(found)
        return cls(config, locations)

    def path(self, name: str, *, key: str) -> Path:
        """Where a file or folder is that the configuration names and that must be there.

        Raises:
            ConfigError: It is nowhere.
        """
        found = find_beside(name, self.locations.folder)
        if found is None:
            where = self.locations.where((key,))
            tried = places_tried(name, self.locations.folder)
            raise ConfigError(f"{where}: {key} is not there", value=name, accepted=tried)
        return found


_MODELS: dict[str, type[BaseModel]] = {
    "": ServeConfig,
    "session": Settings,
    "keys": Keys,
    "limits": Limits,
    "batching": Batching,
}


def _inconsistencies(config: ServeConfig) -> Iterator[tuple[Place, str]]:
    """What types alone do not tell: where, and what."""
    if config.index is not None and config.collection is not None:
        yield ("collection",), "documents come from an `index` or from a `collection`, not from both"
    if config.live and config.index is None:
        yield ("live",), "only the documents of an `index` can change; name its folder"
    address = f"[{config.host}]" if ":" in config.host else config.host
    if config.keys is None and not on_loopback(f"http://{address}"):
        yield ("host",), f"{config.host!r} is reached from other machines, and there are no `keys`"
