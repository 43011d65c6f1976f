"""Students that rerank: TK, ColBERT and PreTTR, each started from a sentence encoder."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from rankloom.encoders import Role, readable
from rankloom.errors import ConfigError
from rankloom.rerank.prettr_model import PreTTRModel, PreTTRSettings
from rankloom.rerank.tk_model import TKModel, TKSettings
from rankloom.token_layout import TokenLayout, multi_vector_encoder
from rankloom.training.distillation_config import ColBERTStudent, PreTTRStudent, TKStudent
from rankloom.training.pool import prompts_of
from rankloom.training.student import CrossingStudent, Student, keep_layers, on_device


class TKLearner(Student):
    """A TK model whose word vectors are the backbone's table of word pieces: the paper's, GloVe, is a download.

    Args:
        settings: How it is made.
        backbone: The `SentenceTransformer` that gives the table and the tokenizer.
    """

    stage = "tk"

    def __init__(self, settings: TKStudent, backbone: Any) -> None:
        from tokenizers import Tokenizer

        super().__init__()
        vectors = backbone[0].model.get_input_embeddings().weight
        width = vectors.shape[1]
        sizes = TKSettings(
            layers=settings.layers,
            heads=max(heads for heads in range(1, settings.heads + 1) if width % heads == 0),
            feed_forward=settings.feed_forward,
            query_tokens=settings.query_tokens,
            max_tokens=settings.max_tokens,
        )
        tokenizer = Tokenizer.from_str(backbone.tokenizer.backend_tokenizer.to_str())
        self.model = TKModel(sizes, vectors, tokenizer).to(vectors.device)
        self.scale = settings.score_scale

    def forward(self, queries: Sequence[str], documents: Sequence[str], *, crossed: bool = False) -> Tensor:  # noqa: ARG002  # it does not cross
        """See `Student.forward`."""
        model, each = self.model, len(documents) // len(queries)
        left, left_mask, _ = model.tokens([readable(text) for text in queries], model.settings.query_tokens)
        right, right_mask, _ = model.tokens([readable(text) for text in documents], model.settings.max_tokens)
        vectors = model.vectors(left, left_mask, "query").repeat_interleave(each, dim=0)
        mask = left_mask.repeat_interleave(each, dim=0)
        scores = model.compare(vectors, mask, model.vectors(right, right_mask, "document"), right_mask)
        return self.scale * scores.view(len(queries), each)

    def save(self, folder: Path) -> None:
        """Write a TK model."""
        self.model.save(folder)


class ColBERTLearner(CrossingStudent):
    """A multi-vector encoder of sentence-transformers.

    Args:
        settings: How it is made.
        backbone: The `SentenceTransformer` whose transformer it starts as; not changed.
    """

    stage = "late_interaction"

    def __init__(self, settings: ColBERTStudent, backbone: Any) -> None:
        super().__init__()
        transformer = copy.deepcopy(backbone[0])
        keep_layers(transformer.model, settings.layers)
        prompts = prompts_of(backbone)
        layout = TokenLayout(
            query_tokens=settings.query_tokens,
            document_tokens=settings.max_tokens,
            expand_queries=settings.expand_queries,
            skip_punctuation=settings.skip_punctuation,
            query_prefix=prompts.get("query", ""),
            document_prefix=prompts.get("document", ""),
        )
        self.encoder = multi_vector_encoder(transformer, layout, dimensions=settings.dimensions)
        self.scale = settings.score_scale

    def forward(self, queries: Sequence[str], documents: Sequence[str], *, crossed: bool = False) -> Tensor:
        """See `Student.forward`."""
        from sentence_transformers.util.similarity import maxsim_pairwise

        read = self.read(queries, "query"), self.read(documents, "document")
        if crossed:
            return self.cross(*read)
        (left, left_mask), (right, right_mask) = read
        each = len(documents) // len(queries)
        scores = maxsim_pairwise(
            left.repeat_interleave(each, dim=0),
            right,
            a_mask=left_mask.repeat_interleave(each, dim=0),
            b_mask=right_mask,
        )
        return self.scale * scores.view(len(queries), each)

    def save(self, folder: Path) -> None:
        """Write a model of sentence-transformers."""
        self.encoder.save_pretrained(str(folder), create_model_card=False)

    def read(self, texts: Sequence[str], role: Role) -> tuple[Tensor, Tensor]:
        """A vector of length 1 for each token, and which of them count."""
        prompt = prompts_of(self.encoder).get(role)
        features = self.encoder.preprocess([readable(text) for text in texts], prompt=prompt, task=role)
        output = self.encoder(on_device(features, self.encoder), task=role)
        return output["token_embeddings"].float(), output["attention_mask"].bool()

    def cross(self, queries: tuple[Tensor, Tensor], documents: tuple[Tensor, Tensor]) -> Tensor:
        """See `CrossingStudent.cross`."""
        from sentence_transformers.util.similarity import maxsim

        scores: Tensor = maxsim(queries[0], documents[0], a_mask=queries[1], b_mask=documents[1])
        return self.scale * scores


class PreTTRLearner(Student):
    """A split cross-encoder with a fresh head.

    Args:
        settings: How it is made.
        backbone: The `SentenceTransformer` whose transformer it starts as; not changed.

    Raises:
        ConfigError: The backbone is not a BERT.
        DataError: It has too few layers or positions.
    """

    stage = "prettr"

    def __init__(self, settings: PreTTRStudent, backbone: Any) -> None:
        from transformers import BertForSequenceClassification, BertModel

        super().__init__()
        start = backbone[0].model
        if not isinstance(start, BertModel):
            raise ConfigError(
                "the backbone can not be split",
                value=type(start).__name__,
                accepted="a BERT",
                fix="take another backbone",
            )
        start = copy.deepcopy(start)
        keep_layers(start, settings.layers)
        config = copy.deepcopy(start.config)
        config.num_labels = 1
        model = BertForSequenceClassification(config)
        model.bert.load_state_dict(start.state_dict())
        sizes = PreTTRSettings(settings.split, settings.query_tokens, settings.max_tokens)
        self.model = PreTTRModel(model, backbone.tokenizer, sizes).to(start.device)
        self.scale = settings.score_scale

    def forward(self, queries: Sequence[str], documents: Sequence[str], *, crossed: bool = False) -> Tensor:  # noqa: ARG002  # it does not cross
        """See `Student.forward`."""
        each = len(documents) // len(queries)
        left = self.model.tokens([readable(text) for text in queries], "query")
        right = self.model.tokens([readable(text) for text in documents], "document")
        mask = left.mask.repeat_interleave(each, dim=0)
        states = self.model.lower(left, "query").repeat_interleave(each, dim=0)
        scores = self.model.upper(states, mask, self.model.documents(right, mask), right.mask)
        return self.scale * scores.float().view(len(queries), each)

    def save(self, folder: Path) -> None:
        """Write a PreTTR model."""
        self.model.save(folder)
