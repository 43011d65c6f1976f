"""What the files of a Provence model say of it, read without loading it: whose layout it has, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from rankloom.errors import DataError
from rankloom.model_files import read_json_object
from rankloom.models import ResolvedModel
from rankloom.provence_adapter import Rounding, read_settings
from rankloom.ranking import ScoreKind

#: Whose layout it is, by the class that a configuration names: `Provence` and what BERGEN's training saves, ...
_CLASSES: dict[str, Literal["provence", "xprovence", "open_provence"]] = {
    "Provence": "provence",
    "DebertaV2ForCompressionAndRanking": "provence",
    "XProvence": "xprovence",
    "XLMRobertaForCompressionAndRanking": "xprovence",
    "OpenProvenceForSequenceClassification": "open_provence",
    "OpenProvenceForTokenClassification": "open_provence",
    "OpenProvenceModel": "open_provence",
    "open_provence": "open_provence",
}
_TOKENS = 512  # that Naver's models read, whatever their backbones could


@dataclass(frozen=True, slots=True)
class ProvenceLayout:
    """How a Provence model is built and read.

    Args:
        name: `provence` (DeBERTa-v2) and `xprovence` (XLM-RoBERTa) of Naver, `open_provence`, or `adapter` (ours).
        kind: What scores are: raw logits, but for OpenProvence's, which pass a sigmoid.
        rounding: How its authors decide on sentences.
        plain_question: Questions are read in lower case and without punctuation, as Naver's models were trained.
        space: Sentences are tokenised one by one, with the `before` one a space (but for the first), or with the
            space that stands `after` each in the text.
        max_tokens: Tokens of a block, special ones included.
    """

    name: Literal["provence", "xprovence", "open_provence", "adapter"]
    kind: ScoreKind
    rounding: Rounding
    plain_question: bool
    space: Literal["before", "after"]
    max_tokens: int


def read_layout(found: ResolvedModel, *, max_tokens: int | None = None, stage: str) -> ProvenceLayout:
    """The layout of a model.

    Args:
        found: Where it is.
        max_tokens: Tokens of a block, if not as many as the model's own limit.
        stage: Who asks, for errors.

    Raises:
        DataError: It is no Provence model, or a file can not be read.
    """
    if found.backbone is not None:
        settings = read_settings(found.path)
        limit = max_tokens or settings.max_tokens
        return ProvenceLayout("adapter", ScoreKind.LOGIT, settings.rounding, False, "before", limit)
    config = read_json_object(found.path / "config.json", stage=stage)
    named = [config.get("model_type"), *(config.get("architectures") or [])]
    name = next((_CLASSES[one] for one in named if one in _CLASSES), None)
    if name is None:
        raise DataError(
            "the model is none that prunes",
            stage=stage,
            value=f"{found.name} ({', '.join(str(one) for one in named if one)})",
            accepted="a checkpoint of Provence, XProvence or OpenProvence, or an adapter of `rankloom train`",
            fix="to rerank by a cross-encoder, take CrossEncoder; to prune without a trained model, SentencePruner",
        )
    if name == "open_provence":
        limit = max_tokens or int(config.get("max_length") or _TOKENS)
        return ProvenceLayout(name, ScoreKind.PROBABILITY, "probability", False, "after", limit)
    limit = max_tokens or min(_TOKENS, _places(config))
    return ProvenceLayout(name, ScoreKind.LOGIT, "decision", True, "before", limit)


def _places(config: dict[str, Any]) -> int:
    """Tokens that a model has positions for; RoBERTa's begin behind the padding's."""
    places = int(config.get("max_position_embeddings") or _TOKENS)
    return places if config.get("relative_attention") else places - int(config.get("pad_token_id") or 0) - 1
