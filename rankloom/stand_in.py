"""Stand-ins: what a configuration is checked with, before any index is built or model loaded."""

from __future__ import annotations

from rankloom.checks import whole
from rankloom.errors import CompositionError, ConfigError
from rankloom.records import Document, Documents
from rankloom.run import Run
from rankloom.stage import Retriever


class StandIn(Retriever):
    """Stands for a retriever whose index is not built yet, to check what may follow what.

    Args:
        stands_for: The class of the retriever.
        k: Depth of its rankings; a bad one is found before an index is built for nothing.

    Raises:
        UsageError: k is not a positive whole number.
    """

    def __init__(self, stands_for: type[Retriever], *, k: int = 1) -> None:
        self.stood_for, self.k = stands_for, whole(k, least=1, stage=stands_for.name, parameter="k")
        self.name, self.accepts = stands_for.name, stands_for.accepts
        self.needs, self.provides, self.drops = stands_for.needs, stands_for.provides, stands_for.drops

    def __call__(self, run: Run) -> Run:
        """A stand-in is never carried out."""
        raise CompositionError(f"a stand-in can not search for {run!r}", stage=self.name)

    def fingerprint(self) -> str:
        """The class it stands for."""
        return f"stand-in for {self.stood_for.__name__}"

    @property
    def stands_for(self) -> type[Retriever]:
        """The class of the retriever."""
        return self.stood_for

    @property
    def documents(self) -> Documents:
        """Some documents: a corpus always has texts."""
        return _NO_DOCUMENTS


class _NoDocuments:
    """The texts of a stand-in."""

    def get(self, doc_ids: list[str]) -> list[Document]:
        """Nothing is known of any document."""
        raise ConfigError("a stand-in has no documents", value=doc_ids)

    def fingerprint(self) -> str:
        """There is only one."""
        return "none"


_NO_DOCUMENTS = _NoDocuments()
