"""duoBERT and duoT5: a model reads the query and two documents together and tells which is the better one.

Nogueira et al.: Multi-Stage Document Ranking with BERT, 2019 (arXiv:1910.14424). Pradeep et al.: The Expando-Mono-Duo
Design Pattern for Text Ranking with Pretrained Sequence-to-Sequence Models, 2021 (arXiv:2101.05667).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from rankloom.checks import choice, whole
from rankloom.encoders import Precision
from rankloom.encoders.precision import chosen_precision, precision_identity
from rankloom.fingerprint import digest
from rankloom.models import ResolvedModel, model_identity, resolve_model
from rankloom.parameter_kinds import ModelName
from rankloom.rerank.duo_comparator import DuoComparator
from rankloom.rerank.duo_model import LEAST_TOKENS, DuoModel, duo_model
from rankloom.rerank.sorting import PairMethod, Sorting, by_pairs
from rankloom.rerank.sorting.reranker import QueryHits, SortingReranker
from rankloom.session import Session

_FORMAT = "duo 1"  # part of every key


class Duo(SortingReranker):
    """Rerank by a model that compares two documents; as `pairwise`, without a language model that writes.

    The model gives P(i > j), the probability that document i, which it reads first, is better than j. Both orders are
    read, and one number is made of both, whatever the method: i is better by P(i > j) - P(j > i). Where the orders
    contradict each other, the surer one decides, so a tie is left only between texts that are the same. (PRP calls any
    contradiction a tie, since a model that writes does not say how sure it is.)

    - `all_pair`: all pairs; a document's points are the sum of P(i > j) + 1 - P(j > i) over all others (SYM-SUM of
      Pradeep et al.). Pairs of two documents that can no longer be among the best k are left out.
    - `heapsort`, `sliding`, `tournament`: as for `pairwise`; the document that is better by any margin wins.

    Of a query up to a third of the tokens is read, of each document half of what the query leaves; what is cut is
    noted. A call, in the ledger and in budgets, is one order of one pair.

    Args:
        model: An adapter that `rankloom train` has made by a recipe of kind `duo`, or a checkpoint of T5 trained as
            duoT5, such as `castorini/duot5-base-msmarco` with its weights saved as safetensors; a folder, or a name.
        method: How pairs are chosen.
        k: How many of the best are wanted; 10 as in PRP. The order of the others is the one before, but for `sliding`,
            whose passes leave them as they come.
        depth: How many hits of each query are sorted; 50 as in both papers.
        precision: What is computed with; see `CrossEncoder`. T5 runs on torch alone. Default: the session's.
        max_tokens: Tokens that are read of a query and two documents. Default: what the adapter was trained with, which
            is also the most; for T5 512, as in the paper.

    Raises:
        UsageError: A number is out of range, or a word is unknown.
    """

    name = "duo"
    requires = ("sentence_transformers",)

    def __init__(
        self,
        model: ModelName,
        *,
        method: PairMethod = "heapsort",
        k: int = 10,
        depth: int = 50,
        precision: Precision | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self.model = model
        choice(method, get_args(PairMethod), stage=self.name, parameter="method")
        self.method: PairMethod = method
        self.k = whole(k, least=1, stage=self.name, parameter="k")
        self.depth = whole(depth, least=1, stage=self.name, parameter="depth")
        if precision is not None:
            choice(precision, get_args(Precision), stage=self.name, parameter="precision")
        self.precision = precision
        if max_tokens is not None:
            whole(max_tokens, least=LEAST_TOKENS, stage=self.name, parameter="max_tokens")
        self.max_tokens = max_tokens
        self._model: DuoModel | None = None

    @classmethod
    def sorting(cls, given: Mapping[str, Any], hits: int) -> Sorting:
        """The algorithm of the method."""
        return by_pairs(given["method"], hits, k=int(given["k"]))

    @classmethod
    def calls_each(cls, given: Mapping[str, Any]) -> int:  # noqa: ARG003  # of whatever parameters
        """Both orders of a pair."""
        return DuoComparator.calls_each

    def fingerprint(self) -> str:
        """A digest of the parameters and of the model."""
        return digest(super().fingerprint(), model_identity(self.model, stage=self.name))

    def comparator(self, lists: Sequence[QueryHits], session: Session) -> DuoComparator:
        """The model."""
        found = self._found(session)
        precision = precision_identity(self._precision(found, session), stage=self.name)
        key = digest(_FORMAT, found.fingerprint, precision, self.max_tokens, session.numerics())
        return DuoComparator(lists, key=key, model=lambda: self._load(session), session=session, stage=self.name)

    def warm_up(self, session: Session | None = None) -> None:
        """Load the model."""
        self._load(session or Session())

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._model = None

    def _found(self, session: Session) -> ResolvedModel:
        """The model's files."""
        return resolve_model(self.model, offline=session.offline, stage=self.name)

    def _precision(self, found: ResolvedModel, session: Session) -> str:
        """What is computed with in a session."""
        folder = found.path if found.backbone is None else found.backbone.path
        return chosen_precision(self.precision, session, folder=folder, stage=self.name)

    def _load(self, session: Session) -> DuoModel:
        """The model in memory."""
        found = self._found(session)
        precision = self._precision(found, session)
        self._model = duo_model(found, session, precision=precision, max_tokens=self.max_tokens, stage=self.name)
        return self._model
