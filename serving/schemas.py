"""What requests and answers look like; OpenAPI is made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def writable(text: str) -> str:
    """The text, if UTF-8 can hold it: JSON can hold halves of surrogate pairs, which no file can.

    Raises:
        ValueError: It can not.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"not a text: half of a surrogate pair at character {error.start}") from None
    return text


Str = Annotated[str, AfterValidator(writable)]
Count = Annotated[int, Field(ge=1, strict=True)]
Milliseconds = Annotated[float, Field(gt=0, le=3_600_000, allow_inf_nan=False)]


class Asked(BaseModel):
    """A request: unknown members are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Question(Asked):
    """A question to a pipeline.

    Args:
        query: The question.
        pipeline: Name of a pipeline; by default the first for this use.
        deadline_ms: How long it may take; never longer than the server allows.
    """

    query: Str
    pipeline: Str | None = None
    deadline_ms: Milliseconds | None = None


class SearchRequest(Question):
    """A search.

    Args:
        k: How many hits at most.
        trace: Whether each hit tells its rank and score after every stage.
        stream: Whether what each stage finds is sent as soon as it is there, as lines of JSON (NDJSON).
    """

    k: Count = 10
    trace: bool = False
    stream: bool = False


class ContextRequest(Question):
    """A search, packed for a language model.

    Args:
        k: From how many hits at most.
        max_tokens: Budget of the whole text, in words and punctuation marks.
        cite: Whether `[n]` stands before each passage.
    """

    k: Count = 10
    max_tokens: Count = 1500
    cite: bool = True


class Text(Asked):
    """A document that comes with a request; a bare string is its text."""

    text: Str
    title: Str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        """A bare string is a text."""
        return {"text": value} if isinstance(value, str) else value


class PruneRequest(Question):
    """Pruning of documents.

    Args:
        documents: Texts, or objects with `text` and `title`.
    """

    documents: list[Text | Str]


class RerankRequest(BaseModel):
    """Reranking, in the shape that Cohere's (v1, v2) and Jina's clients send.

    Args:
        query: The question.
        documents: Texts, or objects with `text`.
        model: Name of a pipeline; by default the first that reranks.
        top_n: How many results at most; by default one for each document.
        return_documents: Whether results have the documents with them.
        deadline_ms: As for a search.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    query: Str
    documents: list[Str | dict[str, Any]]
    model: Str | None = None
    top_n: Count | None = None
    return_documents: bool = False
    deadline_ms: Milliseconds | None = None


class NewDocument(Asked):
    """A document to be kept."""

    id: Annotated[str, Field(min_length=1, max_length=512), AfterValidator(writable)]
    text: Str
    title: Str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)


class DocumentsRequest(Asked):
    """Documents to be kept."""

    documents: list[NewDocument]


class DeleteRequest(Asked):
    """Documents to be deleted."""

    ids: list[Str]


class SnapshotRequest(Asked):
    """A snapshot to be written."""

    name: Str


# --- answers ---------------------------------------------------------------------------------------------------------


class Sentence(BaseModel):
    """A sentence as offsets into the text of its document; kept or dropped by a pruner, and why."""

    start: int
    end: int
    probability: float
    kept: bool
    reason: str


class Standing(BaseModel):
    """Where a document stood after one stage; fusions deep inside come with their depth."""

    stage: str
    rank: int | None
    score: float | None
    depth: int


class HitModel(BaseModel):
    """One document of a ranking; `reranked` is false below the depth of the last reranker."""

    rank: int
    doc_id: str
    score: float
    retrieval_score: float | None
    reranked: bool
    title: str
    text: str
    pruned_text: str | None
    spans: list[Sentence] | None
    metadata: dict[str, Any]
    trace: list[Standing] | None


class LeftOutModel(BaseModel):
    """Stages that the answer was made without, and why."""

    stages: str
    reason: Literal["deadline", "busy", "failed", "impossible"]
    detail: str


class NoteModel(BaseModel):
    """What one would otherwise never learn, such as a text that was cut."""

    stage: str
    kind: str
    doc_id: str
    amount: int
    detail: str


class StageModel(BaseModel):
    """What a stage took, for all requests that were carried out together."""

    stage: str
    seconds: float
    calls: int
    tokens: int


class Told(BaseModel):
    """What every answer tells of how it came about; `degraded` if stages were left out."""

    pipeline: str
    degraded: bool
    left_out: list[LeftOutModel]
    notes: list[NoteModel]
    stages: list[StageModel]
    batch_size: int


class SearchAnswer(Told):
    """Hits, best first."""

    query: str
    score_kind: str
    hits: list[HitModel]


class CitationModel(BaseModel):
    """Where a numbered passage comes from: the document, and offsets into its text."""

    number: int
    doc_id: str
    spans: list[tuple[int, int]]
    text: str


class ContextAnswer(Told):
    """Text for a language model."""

    context: str
    tokens: int
    citations: list[CitationModel]
    documents_left_out: list[str]


class PrunedModel(BaseModel):
    """What is left of a document; `index` is its place in the request."""

    index: int
    text: str
    score: float | None
    spans: list[Sentence]


class PruneAnswer(Told):
    """Documents in the order of the request; `compression` is the share of their characters that was taken away."""

    documents: list[PrunedModel]
    compression: float


class ResultModel(BaseModel):
    """A reranked document by its place in the request; scores that are logits come as probabilities."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class RerankMeta(BaseModel):
    """What Cohere's clients look for, and what every answer of this server tells."""

    api_version: dict[str, str]
    billed_units: dict[str, float]
    warnings: list[str]
    rankloom: Told


class RerankAnswer(BaseModel):
    """Results, best first; `usage` counts words and punctuation marks of the request."""

    id: str
    model: str
    results: list[ResultModel]
    usage: dict[str, int]
    meta: RerankMeta


class ChangeAnswer(BaseModel):
    """What has changed; searches that begin from now on see it."""

    change: int
    documents: int
    ids: list[str]


class DocumentAnswer(BaseModel):
    """A document of the live index."""

    id: str
    text: str
    title: str
    metadata: dict[str, Any]


class SnapshotAnswer(BaseModel):
    """A snapshot that was written."""

    name: str
    documents: int
    change: int


class PipelineModel(BaseModel):
    """A pipeline that is served."""

    name: str
    uses: list[Literal["search", "rerank", "prune"]]
    stages: list[str]


class Status(BaseModel):
    """How the server is."""

    status: str
    version: str
    documents: int | None = None


class Problem(BaseModel):
    """What is wrong (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    stage: str | None = None
    value: str | None = None
    accepted: str | None = None
    fix: str | None = None
