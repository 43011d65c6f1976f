"""What a token index holds, and its folder.

    manifest.json          what it is made of, and the checksum of each file
    ids.arrow              document ids, sorted
    offsets.npy            where each document's vectors start, documents in order of their ids
    truncated.npy          tokens of each document that the model did not read
    vectors/               the vectors, as the kind of storage keeps them; memory-mapped
    search/                what the kind of search needs besides

The folder appears whole or not at all, and never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.corpus import Corpus
from rankloom.errors import DamagedIndexError, DataError, UsageError
from rankloom.files import Manifest, refused_by_system
from rankloom.fingerprint import digest
from rankloom.ids import DocIds
from rankloom.order import Offsets
from rankloom.progress import Progress
from rankloom.retrieval.index.storage import read_strings, write_strings
from rankloom.retrieval.token_index.kinds import TokenSearch, build_settings, search_kind, storage_kind
from rankloom.retrieval.token_index.shards import EncodedCorpus
from rankloom.retrieval.token_index.storage import TokenStorage

FORMAT, VERSION = "rankloom-token-index", 2
_VECTORS, _SEARCH = "vectors", "search"
_IDS, _OFFSETS, _TRUNCATED = "ids.arrow", "offsets.npy", "truncated.npy"
_STAGE = "multi_vector"
#: What the manifest says of what the index was made of.
_ABOUT = (
    *("model", "encoder", "encoder_kind", "encoder_settings", "encoder_parameters"),
    *("precision", "corpus", "asked", "contents"),
)


@dataclass(frozen=True)
class TokenContents:
    """Vectors, and which document each is of.

    Args:
        storage: The vectors.
        offsets: Where those of each document start, int64 of shape (documents + 1,).
        ids: Ids of the documents, sorted.
        truncated: Tokens of each document that the model did not read, int64 of shape (documents,).
        search: What finds documents.
        about: What it was made of: JSON values by name.
    """

    storage: TokenStorage
    offsets: Offsets
    ids: DocIds
    truncated: NDArray[np.int64]
    search: TokenSearch
    about: Mapping[str, Any]

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        encoded: EncodedCorpus,
        origin: Mapping[str, Any],
        *,
        folder: Path | None,
        progress: Progress,
    ) -> TokenContents:
        """Keep the vectors of a corpus, and make what is searched of them.

        Args:
            corpus: The documents.
            encoded: Their vectors.
            origin: What they are made by (`made_by.facts`); `encoder_parameters`, to make the encoder again; and under
                `asked` the storage, the search, and settings.
            folder: Where all is written, not there yet; None keeps it in memory.
            progress: What is shown of it.
        """
        asked = origin["asked"]
        places: dict[str, Path | None] = {_VECTORS: None, _SEARCH: None}
        if folder is not None:
            places = {name: folder / name for name in places}
            for name in places:
                (folder / name).mkdir(parents=True)
        kept = storage_kind(asked["storage"], stage=_STAGE)
        taken = build_settings(kept.kind, asked["settings"])
        storage = kept.build(encoded, folder=places[_VECTORS], progress=progress, **taken)
        found = search_kind(asked["search"], stage=_STAGE)
        others = {name: value for name, value in asked["settings"].items() if name not in taken}
        settings = build_settings(found.kind, others)
        search = found.build(storage, encoded.offsets, folder=places[_SEARCH], progress=progress, **settings)
        made = (origin["encoder"], origin["precision"])
        about = {**origin, "corpus": corpus.fingerprint(), "contents": digest(*made, corpus, asked)}
        built = cls(storage, encoded.offsets, corpus.ids, encoded.truncated, search, about)
        if folder is not None:
            built._write(folder)
        return built

    def _write(self, folder: Path) -> None:
        """Write tables and manifest beside vectors and search."""
        np.save(folder / _OFFSETS, self.offsets)
        np.save(folder / _TRUNCATED, self.truncated)
        write_strings(folder / _IDS, self.ids.array)
        fields = {
            **self.about,
            "documents": len(self.ids),
            "vectors": len(self.storage),
            "dimensions": self.storage.dimensions,
            "truncated_documents": int(np.count_nonzero(self.truncated)),
            "storage": self.storage.kind,
            "storage_settings": self.storage.settings(),
            "search": self.search.kind,
            "search_settings": self.search.settings(),
        }
        Manifest.write(folder, format=FORMAT, version=VERSION, fields=fields)

    @classmethod
    def read(cls, folder: Path, *, verify: bool = False) -> TokenContents:
        """What a folder holds; vectors and what is searched are memory-mapped.

        Args:
            folder: Where the index lives.
            verify: Compare the checksum of every file, also of those above 16 MiB; reads them all.

        Raises:
            NotFoundError: There is no such folder.
            DamagedIndexError: It is no token index, is of another version, or a file is missing or damaged.
            StageError: The system does not let us read a file.
        """
        fields = Manifest.read(folder, format=FORMAT, version=VERSION, verify=verify).fields
        try:
            offsets, truncated = np.load(folder / _OFFSETS), np.load(folder / _TRUNCATED)
            ids = DocIds(read_strings(folder / _IDS, fields["documents"]))
            kept = storage_kind(fields["storage"], stage=_STAGE)
            storage = kept.read(folder / _VECTORS, fields["storage_settings"])
            found = search_kind(fields["search"], stage=_STAGE)
            fitting = (
                len(storage) == fields["vectors"] == offsets[-1]
                and storage.dimensions == fields["dimensions"]
                and len(offsets) - 1 == len(truncated) == len(ids)
                and offsets[0] == 0
                and bool((np.diff(offsets) >= 0).all())
            )
            if not fitting:
                raise ValueError("the number of vectors or documents is not the one in the manifest")
            search = found.read(folder / _SEARCH, storage, offsets, fields["search_settings"])
            about = {name: fields[name] for name in _ABOUT}
        except (DataError, UsageError, KeyError, OSError, TypeError, ValueError, IndexError) as error:
            raise refused_by_system(folder, error, stage=_STAGE) or DamagedIndexError(
                f"the index can not be read ({error})",
                stage=_STAGE,
                value=str(folder),
                fix="delete the folder and build it again",
            ) from error
        return cls(storage, offsets, ids, truncated, search, about)

    @property
    def nbytes(self) -> int:
        """Bytes of vectors, of what is searched, of ids and of tables, in memory or mapped."""
        tables = self.offsets.nbytes + self.truncated.nbytes + int(self.ids.array.nbytes)
        return self.storage.nbytes + self.search.nbytes + tables
