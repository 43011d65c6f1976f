"""TK: word vectors, a small transformer over each text, and soft counts of matches (kernel pooling).

Hofstätter et al.: Interpretable & Time-Budget-Constrained Contextualization for Re-Ranking, ECAI 2020
(arXiv:2002.01854), in the form that the authors distilled (arXiv:2010.02666): positions of queries and documents that
differ, one logarithm of each kernel's sum, scaled by kernel. Kernels: Xiong et al., SIGIR 2017 (arXiv:1706.06613).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from rankloom.errors import DataError
from rankloom.files import write_json

KIND = "rankloom-tk"
#: Centres of the kernels: 1 counts equal words, the others similar ones; all of width SIGMA.
CENTRES = (1.0, 0.9, 0.7, 0.5, 0.3, 0.1, -0.1, -0.3, -0.5, -0.7, -0.9)
SIGMA = 0.1
_LEAST = 1e-10  # of a soft count, before its logarithm
_DOCUMENT_OFFSET = 500  # of a document's positions, as in the authors' code
_FIRST_WEIGHT = 0.014  # of a kernel's sum, at most, before training


@dataclass(frozen=True, slots=True)
class TKSettings:
    """The sizes of a model.

    Args:
        layers: Of the transformer.
        heads: Of its attention; must divide the width of the word vectors.
        feed_forward: Width of its inner layers.
        query_tokens: Of a query that are read.
        max_tokens: Of a document that are read.
    """

    layers: int = 2
    heads: int = 10
    feed_forward: int = 100
    query_tokens: int = 32
    max_tokens: int = 256


class TKModel(nn.Module):
    """The model.

    Args:
        settings: Its sizes.
        vectors: The word vectors, which are trained further, float of shape (vocabulary, width).
        tokenizer: Cuts texts into words of the vocabulary; special tokens are not added.
    """

    def __init__(self, settings: TKSettings, vectors: Tensor, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.settings, self.tokenizer = settings, tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        width = vectors.shape[1]
        self.embeddings = nn.Embedding(len(vectors), width, _weight=vectors.detach().float().clone())
        layer = nn.TransformerEncoderLayer(
            width, settings.heads, dim_feedforward=settings.feed_forward, dropout=0.0, batch_first=True
        )
        self.contextualizer = nn.TransformerEncoder(layer, settings.layers, enable_nested_tensor=False)
        self.mixer = nn.Parameter(torch.tensor(0.5))  # share of the plain word vectors
        self.kernel_scale = nn.Parameter(torch.ones(len(CENTRES)))
        self.kernel_weights = nn.Linear(len(CENTRES), 1, bias=False)
        nn.init.uniform_(self.kernel_weights.weight, -_FIRST_WEIGHT, _FIRST_WEIGHT)
        positions = sinusoids(_DOCUMENT_OFFSET + max(settings.query_tokens, settings.max_tokens), width)
        self.register_buffer("positions", positions, persistent=False)
        self.positions: Tensor

    def tokens(self, texts: Sequence[str], limit: int) -> tuple[Tensor, Tensor, list[int]]:
        """Numbers of tokens, int64 (texts, length); which are there, bool; and how many of each text were cut."""
        rows = [one.ids for one in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)]
        length = max(1, *(min(limit, len(row)) for row in rows))
        numbers = torch.zeros(len(rows), length, dtype=torch.long)
        for place, row in enumerate(rows):
            numbers[place, : len(row[:limit])] = torch.tensor(row[:limit], dtype=torch.long)
        lengths = torch.tensor([len(row[:limit]) for row in rows])
        mask = torch.arange(length) < lengths.unsqueeze(1)
        device = self.mixer.device
        return numbers.to(device), mask.to(device), [max(0, len(row) - limit) for row in rows]

    def vectors(self, numbers: Tensor, mask: Tensor, role: Literal["query", "document"]) -> Tensor:
        """Contextual vectors of tokens, float of shape (texts, length, width)."""
        words = self.embeddings(numbers)
        start = _DOCUMENT_OFFSET if role == "document" else 0
        hidden = ~mask
        hidden[:, 0] = False  # a text without tokens would attend to nothing; its first place is left out of the sums
        placed = words + self.positions[start : start + numbers.shape[1]].to(words.dtype)
        context: Tensor = self.contextualizer(placed, src_key_padding_mask=hidden)
        mixed: Tensor = self.mixer * words + (1 - self.mixer) * context
        return mixed

    def compare(self, queries: Tensor, query_mask: Tensor, documents: Tensor, document_mask: Tensor) -> Tensor:
        """Scores of pairs that stand side by side, float32 of shape (pairs,)."""
        with torch.autocast(queries.device.type, enabled=False):
            left = nn.functional.normalize(queries.float(), dim=-1)
            right = nn.functional.normalize(documents.float(), dim=-1)
            sums = kernel_sums(left @ right.transpose(1, 2), document_mask)
            logs = torch.log(torch.clamp(sums * self.kernel_scale.float(), min=_LEAST))
            pooled = (logs * query_mask.unsqueeze(-1)).sum(dim=1)
            return nn.functional.linear(pooled, self.kernel_weights.weight.float()).squeeze(1)

    def save(self, folder: Path) -> None:
        """Write it to a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", {"model_type": KIND, **asdict(self.settings)})
        (folder / "tokenizer.json").write_text(self.tokenizer.to_str(), encoding="utf-8")
        save_file({name: one.contiguous() for name, one in self.state_dict().items()}, folder / "model.safetensors")

    @classmethod
    def load(cls, folder: Path) -> TKModel:
        """Read what `save` has written.

        Raises:
            DataError: The folder holds another kind of model.
        """
        fields: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if fields.pop("model_type", None) != KIND:
            raise DataError(
                "this is not a TK model",
                stage="tk",
                value=str(folder),
                accepted="a student of `architecture: tk`",
                fix="name the folder `student` that such a recipe wrote, or take the stage that this model is for",
            )
        weights = load_file(folder / "model.safetensors")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        model = cls(TKSettings(**fields), weights["embeddings.weight"], tokenizer)
        model.load_state_dict(weights)
        return model.eval()


def kernel_sums(cosines: Tensor, document_mask: Tensor) -> Tensor:
    """How many words of a document are about as similar as each kernel's centre, softly counted.

    Args:
        cosines: Of every word of a query with every word of a document, float (pairs, query words, document words).
        document_mask: Which of the latter are there, bool (pairs, document words).

    Returns:
        float of shape (pairs, query words, kernels).
    """
    centres = torch.tensor(CENTRES, device=cosines.device)
    matches = torch.exp(-((cosines.unsqueeze(-1) - centres) ** 2) / (2 * SIGMA**2))
    return (matches * document_mask[:, None, :, None]).sum(dim=2)


def sinusoids(length: int, width: int) -> Tensor:
    """Position features of Vaswani et al., 2017: float32 of shape (length, width), sines first, then cosines."""
    half = width // 2
    rates = torch.exp(torch.arange(half).float() * (-math.log(1e4) / max(1, half - 1)))
    angles = torch.arange(length).float().unsqueeze(1) * rates
    features = torch.cat([angles.sin(), angles.cos()], dim=1)
    return nn.functional.pad(features, (0, width - 2 * half))
