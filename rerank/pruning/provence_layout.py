"""What the files of a Provence model say of it, read without loading it: whose layout it has, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rankloom.errors import DataError
from rankloom.model_files import read_json_object
from rankloom.models import ResolvedModel
from rankloom.provence_adapter import ProvenceSettings, Rounding, read_settings
from rankloom.ranking import ScoreKind

Layout = Literal["provence", "xprovence", "open_provence", "adapter"]
#: What a class that a configuration names has in its name -> whose layout it is; the first that fits counts. The last
#: two are what BERGEN's training saves.
_NAMED: Mapping[str, Layout] = {
    "openprovence": "open_provence",
    "xprovence": "xprovence",
    "provence": "provence",
    "xlmrobertaforcompressionandranking": "xprovence",
    "debertav2forcompressionandranking": "provence",
}
_TOKENS = 512  # that Naver's models read, whatever their backbones could
_LEAST_PIECE = 16  # tokens of a piece of OpenProvence's, however few a block holds
_BEHIND_PADDING = frozenset({"roberta", "xlm-roberta", "camembert"})  # their first position is behind the padding's


@dataclass(frozen=True, slots=True)
class ProvenceLayout:
    """How a Provence model is built and read.

    Args:
        name: `provence` (DeBERTa-v2) and `xprovence` (XLM-RoBERTa) of Naver, `open_provence`, or `adapter` (ours).
        kind: What scores are: raw logits, but for OpenProvence's, which pass a sigmoid.
        rounding: How its authors decide on sentences. That Naver's models share out decisions of tokens is what third
            parties say; the code that comes with them was not to be had.
        threshold: Which sentences its authors keep.
        plain_question: Questions are read in lower case and without punctuation, as Provence was trained. That
            XProvence reads them so, too, and has between them and texts what its tokenizer puts there, is an
            assumption.
        space: Sentences are tokenised one by one, with the `before` one a space (but for the first), or with the
            space that stands `after` each in the text, a title with a line break.
        longest: Tokens of the pieces in which a longer sentence is read; None: it is cut where a block ends.
        max_tokens: Tokens of a block, special ones included.
    """

    name: Layout
    kind: ScoreKind
    rounding: Rounding
    threshold: float
    plain_question: bool
    space: Literal["before", "after"]
    longest: int | None
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
        return adapter_layout(read_settings(found.path), max_tokens=max_tokens)
    config = read_json_object(found.path / "config.json", stage=stage)
    name = _name(config, found, stage=stage)
    if name == "open_provence":
        limit = max_tokens or int(config.get("max_length") or _TOKENS)
        said = config.get("default_threadshold", config.get("default_threshold"))  # the first is how they spell it
        threshold, longest = 0.1 if said is None else float(said), max(_LEAST_PIECE, limit // 2)
        return ProvenceLayout(
            name, ScoreKind.PROBABILITY, "probability", threshold, False, "after", longest=longest, max_tokens=limit
        )
    places = positions({**config, "model_type": "xlm-roberta" if name == "xprovence" else "deberta-v2"})
    limit, threshold = max_tokens or min(_TOKENS, places), 0.3 if name == "xprovence" else 0.1
    return ProvenceLayout(name, ScoreKind.LOGIT, "decision", threshold, True, "before", longest=None, max_tokens=limit)


def adapter_layout(settings: ProvenceSettings, *, max_tokens: int | None = None) -> ProvenceLayout:
    """The layout of an adapter.

    Args:
        settings: What it says of itself.
        max_tokens: As for `read_layout`.
    """
    limit, kind = max_tokens or settings.max_tokens, ScoreKind.LOGIT
    rounding, threshold = settings.rounding, settings.threshold
    return ProvenceLayout("adapter", kind, rounding, threshold, False, "before", longest=limit, max_tokens=limit)


def positions(config: Mapping[str, Any]) -> int:
    """Tokens that a model of transformers has positions for, as its configuration tells."""
    places = int(config.get("max_position_embeddings") or _TOKENS)
    return places - int(config.get("pad_token_id") or 0) - 1 if config["model_type"] in _BEHIND_PADDING else places


def _name(config: Mapping[str, Any], found: ResolvedModel, *, stage: str) -> Layout:
    """Whose layout it is."""
    said = [str(one) for one in (config.get("model_type"), *(config.get("architectures") or [])) if one]
    plain = [one.lower().replace("_", "").replace("-", "") for one in said]
    name = next((name for part, name in _NAMED.items() if any(part in one for one in plain)), None)
    if name is None:
        raise DataError(
            "the model is none that prunes",
            stage=stage,
            value=f"{found.name} ({', '.join(said)})",
            accepted="a checkpoint of Provence, XProvence or OpenProvence, or an adapter of `rankloom train`",
            fix="to rerank by a cross-encoder, take CrossEncoder; to prune without a trained model, SentencePruner",
        )
    return name
