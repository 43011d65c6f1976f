"""What is known about a test collection: one record for each, read from the YAML files of this folder."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Layout = Literal["beir", "parquet", "bright", "tsv"]
Part = Literal["documents", "queries", "judgements"]
_ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")


class _Record(BaseModel):
    """A part of the catalogue: unknown keys are refused, types are not coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class FileRecord(_Record):
    """A file that can be downloaded.

    Args:
        path: Where it comes to lie in the folder of its family; archives are unpacked beside it.
        url: Where it is.
        md5: Its published MD5 sum; None if none could be verified.
        sha256: Its SHA-256 sum, likewise.
        size: In bytes.
        listing: The address gives a list of addresses of Parquet files, as the Hugging Face Hub does.
        headers: What the server wants to be told besides.
    """

    path: str
    url: str
    md5: str | None = Field(None, pattern="^[0-9a-f]{32}$")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    size: int | None = None
    listing: bool = False
    headers: dict[str, str] = {}

    @property
    def archive(self) -> bool:
        """Whether it is unpacked after the download."""
        return self.path.endswith(_ARCHIVES)

    @property
    def place(self) -> str:
        """Where its content lies: the file itself, or the folder of an archive or a list."""
        suffix = next((suffix for suffix in _ARCHIVES if self.path.endswith(suffix)), "")
        return self.path.removesuffix(suffix)


class SplitRecord(_Record):
    """A split: documents, queries and judgements that belong together.

    Args:
        queries: How many judged queries; None where no source says.
        judgements: How many judgements, likewise.
        documents: How many documents, where they are not the collection's.
        ir_datasets: What ir_datasets calls it.
        files: Which files hold it, `KEY` or `KEY:MEMBER` of an archive; in BEIR's layout the archive tells.
        gold: The column of the relevant documents, in BRIGHT's layout.
        relevance_level: Least grade that is relevant, where it is not the collection's.
    """

    queries: int | None = None
    judgements: int | None = None
    documents: int | None = None
    ir_datasets: str | None = None
    files: dict[Part, str] = {}
    gold: str | None = None
    relevance_level: int | None = None


class CollectionRecord(_Record):
    """A test collection.

    Args:
        name: FAMILY/NAME, as `load_collection` takes it.
        title: In words.
        aliases: Other names; also those under which ir_datasets has relatives with the same quirks.
        language: ISO 639-1.
        documents: How many; None where no source says.
        fields: What a document has besides its id.
        licence: Of texts and judgements, in words; None if it could not be verified.
        homepage: Where to read more.
        access: How to come by it, where it can not be downloaded.
        layout: How its files are to be read.
        folder: Its folder in an archive of BEIR's layout, and under RANKLOOM_DATA.
        files: What can be downloaded, by key.
        splits: By name.
        default_split: The split that is meant when none is named.
        drop_self_hits: A hit with the query's own id does not count.
        relevance_level: Least grade that is relevant in binary measures.
        excluded_grade: The grade by which ir_datasets marks documents that do not count for a query.
        notes: Other things to know before comparing figures.

    Example:
        >>> from rankloom.eval.catalog import catalog
        >>> catalog()["trec-dl/2019"].relevance_level
        2
    """

    name: str
    title: str
    aliases: tuple[str, ...] = Field((), strict=False)
    language: str = "en"
    documents: int | None = None
    fields: tuple[str, ...] = Field(("title", "text"), strict=False)
    licence: str | None = None
    homepage: str | None = None
    access: str | None = None
    layout: Layout = "beir"
    folder: str | None = None
    files: dict[str, FileRecord] = {}
    splits: dict[str, SplitRecord]
    default_split: str = "test"
    drop_self_hits: bool = False
    relevance_level: int = 1
    excluded_grade: int | None = None
    notes: tuple[str, ...] = Field((), strict=False)

    @property
    def family(self) -> str:
        """What stands before the slash: `beir` for `beir/scifact`."""
        return self.name.split("/", maxsplit=1)[0]

    @property
    def quirks(self) -> tuple[str, ...]:
        """What is applied when it is measured, in words."""
        said = ["self hits dropped"] if self.drop_self_hits else []
        if self.relevance_level > 1:
            said.append(f"grades from {self.relevance_level} are relevant")
        said += [
            f"grades from {split.relevance_level} are relevant in {name}"
            for name, split in self.splits.items()
            if split.relevance_level is not None
        ]
        return (*said, "excluded documents") if self.layout == "bright" else tuple(said)

    def files_of(self, split: str) -> tuple[FileRecord, ...]:
        """What has to be downloaded for one split; nothing if it can not be."""
        keys = [key.split(":", maxsplit=1)[0] for key in self.splits[split].files.values()]
        if not keys and self.layout == "beir":
            keys = list(self.files)
        return tuple(self.files[key] for key in dict.fromkeys(keys))
