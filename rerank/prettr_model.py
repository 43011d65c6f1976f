"""PreTTR: a cross-encoder whose lower layers read the query and the document apart.

What the lower layers make of a document does not depend on the query, so it can be computed ahead and stored.
MacAvaney et al.: Efficient Document Re-Ranking for Transformers by Precomputing Term Representations, SIGIR 2020
(arXiv:2004.14255).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from rankloom.errors import DataError

_FIELD = "prettr"  # of the model's configuration file


@dataclass(frozen=True, slots=True)
class PreTTRSettings:
    """How pairs are read.

    Args:
        split: How many layers read query and document apart; 0 is a plain cross-encoder.
        query_tokens: Of a query that are read, special ones included.
        max_tokens: Of a document that are read, the one that ends it included.
    """

    split: int = 3
    query_tokens: int = 32
    max_tokens: int = 128


class Tokens(NamedTuple):
    """Texts as a model reads them.

    Args:
        numbers: int64 of shape (texts, length).
        mask: Which are there, bool of that shape.
        cut: How many tokens of each text are not read.
    """

    numbers: Tensor
    mask: Tensor
    cut: list[int]


class PreTTRModel(nn.Module):
    """A cross-encoder of the BERT family, split.

    Documents' positions begin where the longest query ends, so that they do not depend on the query; with split 0 they
    follow the query, as in any cross-encoder.

    Args:
        model: A `BertForSequenceClassification` with one output.
        tokenizer: Its tokenizer.
        settings: How pairs are read.

    Raises:
        DataError: It has too few layers or positions, or is no such model.
    """

    def __init__(self, model: Any, tokenizer: Any, settings: PreTTRSettings) -> None:
        super().__init__()
        if not hasattr(model, "bert") or model.config.num_labels != 1:
            raise DataError(
                "this is no cross-encoder of BERT with one output", stage=_FIELD, value=type(model).__name__
            )
        depth, places = model.config.num_hidden_layers, model.config.max_position_embeddings
        if settings.split > depth or settings.query_tokens + settings.max_tokens > places:
            raise DataError(
                "the model is too small to be split so",
                stage=_FIELD,
                value=asdict(settings),
                accepted=f"a split of at most {depth}, and at most {places} tokens together",
            )
        self.model, self.tokenizer, self.settings = model, tokenizer, settings

    def tokens(self, texts: Sequence[str], role: Literal["query", "document"]) -> Tokens:
        """Texts as [CLS] query [SEP], or document [SEP]."""
        before = [self.tokenizer.cls_token_id] if role == "query" else []
        limit = self.settings.query_tokens if role == "query" else self.settings.max_tokens
        room = limit - len(before) - 1
        read = self.tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        rows = [[*before, *row[:room], self.tokenizer.sep_token_id] for row in read]
        length = max(map(len, rows))
        numbers = torch.tensor([row + [self.tokenizer.pad_token_id] * (length - len(row)) for row in rows])
        mask = torch.arange(length) < torch.tensor([len(row) for row in rows]).unsqueeze(1)
        device = self.model.device
        return Tokens(numbers.to(device), mask.to(device), [max(0, len(row) - room) for row in read])

    def lower(self, tokens: Tokens, role: Literal["query", "document"], starts: Tensor | int = 0) -> Tensor:
        """States of texts below the split, float of shape (texts, length, width).

        Args:
            tokens: The texts.
            role: What they are.
            starts: The first position of each; int64 of shape (texts, 1), or one for all.
        """
        bert, places = self.model.bert, torch.arange(tokens.numbers.shape[1], device=tokens.numbers.device)
        segment = torch.full_like(tokens.numbers, int(role == "document"))
        states: Tensor = bert.embeddings(
            input_ids=tokens.numbers,
            token_type_ids=segment,
            position_ids=(places + starts).expand_as(tokens.numbers).contiguous(),
        )
        return self._through(states, tokens.mask, 0, self.settings.split)

    def documents(self, tokens: Tokens, query_mask: Tensor | None = None) -> Tensor:
        """`lower` of documents.

        Args:
            tokens: The documents.
            query_mask: Which tokens of each one's query are there; only with split 0 does it matter.
        """
        if self.settings.split:
            return self.lower(tokens, "document", self.settings.query_tokens)
        if query_mask is None:
            raise DataError(
                "with split 0 nothing of a document can be computed ahead",
                stage=_FIELD,
                value=self.settings.split,
                accepted="a split of 1 or more",
                fix="train the student with a split of 1 or more, or let it read documents with their queries",
            )
        return self.lower(tokens, "document", query_mask.sum(dim=1, keepdim=True))

    def upper(self, queries: Tensor, query_mask: Tensor, documents: Tensor, document_mask: Tensor) -> Tensor:
        """Scores of pairs that stand side by side, given their states below the split; float of shape (pairs,)."""
        states, mask = torch.cat([queries, documents], dim=1), torch.cat([query_mask, document_mask], dim=1)
        states = self._through(states, mask, self.settings.split, None)
        pooled = self.model.dropout(self.model.bert.pooler(states))
        scores: Tensor = self.model.classifier(pooled)
        return scores.squeeze(1)

    def save(self, folder: Path) -> None:
        """Write it to a folder, as transformers does."""
        setattr(self.model.config, _FIELD, asdict(self.settings))
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @classmethod
    def load(cls, folder: str, dtype: Any) -> PreTTRModel:
        """Read what `save` has written.

        Raises:
            DataError: The folder holds another kind of model.
        """
        from transformers import AutoConfig, AutoTokenizer, BertForSequenceClassification

        settings = getattr(AutoConfig.from_pretrained(folder, local_files_only=True), _FIELD, None)
        if not isinstance(settings, dict):
            raise DataError(
                "the model says nothing of a split",
                stage=_FIELD,
                value=folder,
                accepted="a student of `architecture: prettr`",
                fix="for a cross-encoder that reads all of a pair at once, take cross_encoder",
            )
        model = BertForSequenceClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=dtype
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return cls(model, tokenizer, PreTTRSettings(**settings)).eval()

    def _through(self, states: Tensor, mask: Tensor, first: int, last: int | None) -> Tensor:
        """States after some layers; tokens attend to those that are there."""
        unseen = torch.finfo(states.dtype).min
        added = torch.zeros_like(mask, dtype=states.dtype).masked_fill(~mask, unseen)[:, None, None, :]
        for layer in self.model.bert.encoder.layer[first:last]:
            states = layer(states, added)
        return states
