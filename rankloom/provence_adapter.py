"""Adapters of Provence models: what training has changed of a sentence encoder so that it reranks and prunes at once.

Beside what an adapter of a cross-encoder holds, one has a second head: how each token's state becomes the probability
that it is kept. See `rankloom.adapter` and `rankloom.cross_encoder_adapter`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rankloom import cross_encoder_adapter
from rankloom.adapter import AdapterKind, trainable
from rankloom.cross_encoder_adapter import LIKE_BERT, CrossEncoderSettings
from rankloom.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from rankloom.two_heads import TwoHeads

_STAGE = "provence"
FORMAT, VERSION = "rankloom-provence-adapter", 1

#: How the probabilities of a sentence's tokens become a decision; see `rankloom.rerank.pruning.rounding`.
Rounding = Literal["decision", "probability", "majority"]


@dataclass(frozen=True, slots=True)
class ProvenceSettings(CrossEncoderSettings):
    """How a backbone is changed; by name also what `CrossEncoderSettings` has.

    Args:
        rounding: How its tokens' probabilities are to be read, unless a stage is told otherwise.
        threshold: Which of its sentences are to be kept, unless a stage is told otherwise; 0 to 1.
        below_last: The second head reads what goes into the last layer, of a backbone like BERT. That layer then need
            only compute what the score reads, and pruning costs hardly more than reranking alone.
    """

    rounding: Rounding = "decision"
    threshold: float = 0.1
    below_last: bool = False


def adapted(backbone: Any, settings: ProvenceSettings) -> TwoHeads:
    """The backbone with its low-rank changes, and two heads.

    The backbone's parameters are the same tensors as before and stay as they are; only the changes and the heads can
    be trained. The heads' weights are arbitrary until an adapter is loaded or trained.

    Args:
        backbone: A `SentenceTransformer` whose first module is a transformer.
        settings: How it is changed.

    Raises:
        UsageError: The second head is to read below the last layer of a backbone that is not like BERT.
    """
    return with_token_head(cross_encoder_adapter.adapted(backbone, settings), below_last=settings.below_last)


def with_token_head(cross_encoder: Any, *, below_last: bool = False) -> TwoHeads:
    """A cross-encoder with a new second head, such as one that has learnt to rerank and is now to learn to prune.

    Args:
        cross_encoder: Of `rankloom.cross_encoder_adapter`; its parameters are shared.
        below_last: See `ProvenceSettings`.

    Raises:
        UsageError: It is to read below the last layer of a model that is not like BERT.
    """
    import torch

    from rankloom.two_heads import TwoHeads

    classifier = cross_encoder[0].model
    if below_last and classifier.config.model_type not in LIKE_BERT:
        raise UsageError(
            "the second head can not read below the last layer of such a backbone",
            stage=_STAGE,
            value=classifier.config.model_type,
            accepted=", ".join(sorted(LIKE_BERT)),
            fix="below_last=False",
        )
    head = torch.nn.Linear(classifier.config.hidden_size, 2, device=classifier.device, dtype=classifier.dtype)
    return TwoHeads(classifier, head, classifier.base_model.encoder.layer[-1] if below_last else None)


def trained(model: TwoHeads) -> dict[str, Tensor]:
    """Name -> parameter, of those that training changes: the low-rank changes and both heads."""
    return trainable({"transformer": model.classifier, "token_head": model.token_head})


_KIND = AdapterKind(FORMAT, VERSION, _STAGE, ProvenceSettings, adapted, trained)
save_adapter, read_settings, load_adapter = _KIND.save, _KIND.read_settings, _KIND.load
