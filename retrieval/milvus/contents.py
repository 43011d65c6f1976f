"""What a collection holds of each document, and the manifest that says so.

The manifest is a property of the Milvus collection, so it lives and moves with the vectors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self, get_args

from rankloom.checks import choice, whole
from rankloom.errors import DamagedIndexError, UsageError
from rankloom.extras import require
from rankloom.fingerprint import digest
from rankloom.retrieval.milvus.connection import STAGE
from rankloom.retrieval.milvus.parameters import check_meant

PROPERTY, VERSION = "rankloom", 2
Field = Literal["dense", "sparse", "bm25"]
Index = Literal["flat", "hnsw", "ivf_flat", "autoindex"]
ID, TEXT, TRUNCATED = "id", "text", "truncated"
LONGEST = 65_535  # bytes of a string in Milvus
# What both Milvus Lite and a server know; stemmers and lists of stop words are the server's alone.
_ANALYZER = {"tokenizer": "standard", "filter": ["lowercase"]}

_LINKS, _EF_CONSTRUCTION, _NLIST = 32, 200, 1024
_BM25 = {"bm25_k1": 1.2, "bm25_b": 0.75}  # a server's defaults; those of Milvus Lite are others


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How Milvus finds dense vectors.

    Args:
        index: `flat` compares with every vector and is exact. The others are approximate: `hnsw`, `ivf_flat`, and
            `autoindex`, which is for the server to choose.
        links: HNSW's M, neighbours of a vector in the graph; None for 32.
        ef_construction: HNSW's candidates while the graph is built; None for 200.
        nlist: Clusters of `ivf_flat`; None for 1024.

    Raises:
        UsageError: A parameter is out of range, or another index' own.
    """

    index: Index = "flat"
    links: int | None = None
    ef_construction: int | None = None
    nlist: int | None = None

    def __post_init__(self) -> None:
        choice(self.index, get_args(Index), stage=STAGE, parameter="index")
        for parameter, index, least in (("links", "hnsw", 2), ("ef_construction", "hnsw", 1), ("nlist", "ivf_flat", 1)):
            value = getattr(self, parameter)
            check_meant(value, parameter, f"an index of kind {self.index}", index, meant=index == self.index)
            if value is not None:
                whole(value, least=least, stage=STAGE, parameter=parameter)

    def build(self) -> dict[str, int]:
        """Milvus' build parameters, by its names."""
        if self.index == "hnsw":
            return {"M": self.links or _LINKS, "efConstruction": self.ef_construction or _EF_CONSTRUCTION}
        return {"nlist": self.nlist or _NLIST} if self.index == "ivf_flat" else {}

    def described(self) -> dict[str, Any]:
        """The index and what is built by, for the manifest; what another index would be built by does not count."""
        return {"index": self.index, **self.build()}


@dataclass(frozen=True, slots=True)
class Contents:
    """The manifest of a collection.

    Args:
        fields: What can be searched: `dense`, `sparse`, `bm25`.
        corpus: Fingerprint of the corpus it is made from; empty once documents have been added or deleted.
        encoder: Fingerprint of the dense encoder, and so of the vector space.
        model: The dense encoder's model.
        precision: What dense vectors were computed with.
        vectors: Digest of all that decides dense vectors besides the texts.
        dimensions: Numbers in a dense vector.
        terms: Fingerprint of the sparse encoder of documents.
        space: What sparse encoders of queries must agree in.
        sparse_model: The sparse encoder's model.
        settings: The dense index.
        documents: How many documents there are when loading is complete.
        complete: Whether all of them are in.
        revision: Changes with every document that is added or deleted.
    """

    fields: tuple[Field, ...]
    corpus: str
    encoder: str = ""
    model: str = ""
    precision: str = ""
    vectors: str = ""
    dimensions: int = 0
    terms: str = ""
    space: str = ""
    sparse_model: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    documents: int = 0
    complete: bool = False
    revision: str = ""

    def fingerprint(self) -> str:
        """A digest of what searches depend on; models count by their files, not their names."""
        names = (self.fields, self.corpus, self.encoder, self.vectors, self.terms, dict(self.settings), self.revision)
        return digest("milvus collection", VERSION, *names)

    def properties(self) -> dict[str, str]:
        """As a property of a Milvus collection."""
        return {PROPERTY: json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True)}

    @classmethod
    def read(cls, properties: Mapping[str, str], *, collection: str) -> Self:
        """The manifest among a collection's properties.

        Raises:
            UsageError: There is none: the collection is not ours.
            DamagedIndexError: It is of another version, or can not be read.
        """
        if PROPERTY not in properties:
            raise UsageError(
                "this collection was not made by rankloom, and is left alone",
                stage=STAGE,
                value=collection,
                fix="take another name for the collection",
            )
        try:
            held = json.loads(properties[PROPERTY])
            version = held.pop("version")
            found = cls(**held) if version == VERSION else None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _damaged(collection, f"its manifest can not be read: {error}") from error
        if found is None:
            raise _damaged(collection, f"its format is version {version}, not {VERSION}")
        return replace(found, fields=tuple(found.fields))


def _damaged(collection: str, reason: str) -> DamagedIndexError:
    """The error for a manifest that is none."""
    return DamagedIndexError(
        f"the collection can not be used ({reason})",
        stage=STAGE,
        value=collection,
        fix="drop the collection with pymilvus, and build it again",
    )


def schema_of(contents: Contents) -> tuple[Any, Any]:
    """The schema and the index parameters of a Milvus collection.

    Build parameters go in one named `params`, as all servers read them: Milvus Lite does not see those that pymilvus
    sends one by one, and takes its own defaults.
    """
    library = require("pymilvus", extra=STAGE, stage=STAGE)
    types, client = library.DataType, library.MilvusClient
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(ID, types.VARCHAR, is_primary=True, max_length=LONGEST)
    schema.add_field(TRUNCATED, types.INT64)
    indexes = client.prepare_index_params()
    if "dense" in contents.fields:
        schema.add_field("dense", types.FLOAT_VECTOR, dim=contents.dimensions)
        built = dict(contents.settings)
        indexes.add_index("dense", index_type=built.pop("index").upper(), metric_type="IP", params={"params": built})
    if "sparse" in contents.fields:
        schema.add_field("sparse", types.SPARSE_FLOAT_VECTOR)
        indexes.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    if "bm25" in contents.fields:
        schema.add_field(TEXT, types.VARCHAR, max_length=LONGEST, enable_analyzer=True, analyzer_params=_ANALYZER)
        schema.add_field("bm25", types.SPARSE_FLOAT_VECTOR)
        kind = library.FunctionType.BM25
        schema.add_function(
            library.Function(name="bm25", function_type=kind, input_field_names=[TEXT], output_field_names=["bm25"])
        )
        indexes.add_index("bm25", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params={"params": _BM25})
    return schema, indexes
