"""T5 as a reranker: loaded, and asked for true or false at the first place of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError
from rankloom.extras import require


class T5(NamedTuple):
    """A sequence-to-sequence model of transformers and its tokenizer."""

    model: Any
    tokenizer: Any


def load_t5(folder: str, device: str, dtype: Any, *, stage: str, accepted: str, fix: str) -> T5:
    """A model from its folder, in evaluation mode.

    Args:
        folder: The model.
        device: Where it computes.
        dtype: With what, a dtype of torch.
        stage: Who asks, for errors.
        accepted: What may be asked for, for errors.
        fix: What to do about another model, for errors.

    Raises:
        DataError: It is no sequence-to-sequence model.
    """
    transformers = require("transformers", extra="dense", stage=stage)
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not config.is_encoder_decoder:
        raise DataError(
            "the model is no sequence-to-sequence model",
            stage=stage,
            value=config.model_type,
            accepted=accepted,
            fix=fix,
        )
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        folder, dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return T5(model.to(device).eval(), tokenizer)


def word_token(tokenizer: Any, word: str, *, stage: str, fix: str) -> int:
    """The number of a word that is one token.

    Args:
        tokenizer: The model's.
        word: The word, with the sign that SentencePiece puts before words.
        stage: Who asks, for errors.
        fix: What to do about a model without it, for errors.

    Raises:
        DataError: It is not one token of the model.
    """
    number = tokenizer.convert_tokens_to_ids(word)
    if number is None or number == tokenizer.unk_token_id:
        raise DataError(
            "the model has no such token",
            stage=stage,
            value=word,
            accepted="a token of the model's vocabulary",
            fix=fix,
        )
    return int(number)


def answer_logits(t5: T5, prompts: Sequence[list[int]], *, yes: int, no: int) -> NDArray[np.float32]:
    """The logit of one token above that of another, at the first place of the answer.

    Args:
        t5: The model.
        prompts: Tokens of each prompt.
        yes: The one token.
        no: The other.

    Returns:
        float32 of shape (prompts,).
    """
    import torch

    width = max(map(len, prompts))
    padded = torch.full((len(prompts), width), t5.tokenizer.pad_token_id or 0, dtype=torch.int64)
    mask = torch.zeros_like(padded)
    for row, tokens in enumerate(prompts):
        padded[row, : len(tokens)], mask[row, : len(tokens)] = torch.tensor(tokens), 1
    device, start = t5.model.device, t5.model.config.decoder_start_token_id
    with torch.inference_mode():
        logits = t5.model(
            input_ids=padded.to(device),
            attention_mask=mask.to(device),
            decoder_input_ids=torch.full((len(prompts), 1), start, dtype=torch.int64, device=device),
        ).logits[:, 0, [yes, no]]
        above: NDArray[np.float32] = (logits[:, 0].float() - logits[:, 1].float()).cpu().numpy()
    return above
