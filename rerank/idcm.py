"""IDCM: long documents reranked by their best passages, which a small model chooses and a cross-encoder scores.

Hofstätter et al.: Intra-Document Cascading: Learning to Select Passages for Neural Document Ranking, SIGIR 2021
(arXiv:2105.09816).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rankloom.adapter import merge_low_rank
from rankloom.checks import whole
from rankloom.encoders.sentence_model import sentence_model
from rankloom.errors import DataError, UsageError
from rankloom.models import LoadedModel, ResolvedModel, shared_model
from rankloom.parameter_kinds import ModelName
from rankloom.rerank.model_reranker import Batch, ModelReranker
from rankloom.session import Session

_ALL = -1


class IDCM(ModelReranker):
    """Rerank long documents by an IDCM model; `rankloom train` makes one (recipe of kind `idcm`).

    A document is cut into windows of 50 tokens and 7 more on either side. The model's student scores all of them, its
    teacher reads the best by these scores, and the document's score is a weighted sum of the three best of the
    teacher's. A document without tokens is read as one empty window.

    Args:
        model: The folder of an adapter, or its name; or the folder of a checkpoint in the authors' layout.
        sample: Windows of each document that the teacher reads, -1 for all: the scores to which those of fewer come
            near. Default: as many as the model was trained for.
        depth: How many hits of each query are scored; 100 as in most published reranking runs.
        batch_size: Pairs in one batch. Scores depend on it only by float noise.

    Raises:
        UsageError: A parameter is not a positive whole number.
    """

    name = "idcm"
    version = 2  # students of published models read padding
    requires = ("sentence_transformers",)

    def __init__(self, model: ModelName, *, sample: int | None = None, depth: int = 100, batch_size: int = 32) -> None:
        super().__init__(model, depth=depth, batch_size=batch_size)
        if sample is not None and sample != _ALL and (isinstance(sample, bool) or sample < 1):
            accepted = "a positive whole number, or -1 for all windows"
            raise UsageError("sample is out of range", stage=self.name, value=sample, accepted=accepted)
        self.sample = sample if sample is None else whole(sample, least=_ALL, stage=self.name, parameter="sample")

    @staticmethod
    def load_model(folder: str, device: str, dtype: Any) -> Any:
        """See `ModelReranker.load_model`; a checkpoint in the authors' layout."""
        from rankloom.rerank.idcm_checkpoint import is_published, load_published

        if not is_published(Path(folder)):
            raise DataError(
                "this is not an IDCM model",
                stage=IDCM.name,
                value=folder,
                accepted="an adapter of a recipe of kind `idcm`, or a checkpoint in the authors' layout",
            )
        model = load_published(Path(folder)).to(device)
        model.teacher.to(dtype)
        return model

    def loaded_model(self, found: ResolvedModel, session: Session) -> LoadedModel:
        """See `ModelReranker.loaded_model`; an adapter shares those weights of its backbone that it does not change."""
        if found.backbone is None:
            return super().loaded_model(found, session)
        own = found.backbone

        def loaded(folder: str, device: str, dtype: Any) -> Any:  # noqa: ARG001  # the backbone's
            from rankloom.rerank.cross_encoder_model import spare
            from rankloom.rerank.idcm_adapter import load_adapter

            backbone = sentence_model(own, session, precision=session.dtype, stage=self.name)
            model = load_adapter(folder, backbone.model)
            merge_low_rank(model.teacher.model, extra="mini", stage=self.name)
            spare(model.teacher.model, packed=device == "cpu")
            model.student.float()
            return model

        return shared_model(self.name, found, session, loaded, stage=self.name)

    def score_batch(self, model: Any, queries: list[str], documents: list[str], session: Session) -> Batch:  # noqa: ARG002  # it keeps nothing
        """See `ModelReranker.score_batch`."""
        from rankloom.rerank.idcm_scores import score_documents

        sample = model.sizes.sample if self.sample is None else self.sample
        return score_documents(model, queries, documents, sample=None if sample == _ALL else sample)
