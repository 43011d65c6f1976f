"""A first head for a backbone that comes without one: every token predicts itself.

Sentence encoders have no masked-language-model head, and a random one predicts noise, from which the penalty on
expansion leads to empty documents. A head that predicts the token that is there makes a lexical retriever of the
backbone; what else to predict is learnt from teachers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rankloom.retrieval.sparse_adapter import document_modules

_STEPS, _TOKENS, _OTHERS = 120, 768, 4096  # of Adam; tokens in a step; other terms they are told from
_LEARNING_RATE = 3e-3
_LINEAR = 3.0  # where gelu is nearly the identity
_TEXTS_AT_ONCE = 32


def warm_start(encoder: Any, texts: Sequence[str], *, terms: int = 10, seed: int = 7) -> float:
    """Fit a head to predict each token from its own state; the backbone stays as it is.

    Args:
        encoder: An encoder of `rankloom.retrieval.sparse_adapter.adapted`.
        texts: A few hundred are enough; the last eighth is held out.
        terms: About how many terms a token is to have weights for afterwards; sets the bias of all terms.
        seed: Of the draws.

    Returns:
        Share of the held-out tokens whose own term gets the largest weight.
    """
    transformer, head = document_modules(encoder)
    draws = torch.Generator().manual_seed(seed)
    states, tokens = _states(transformer, texts)
    held = max(1, len(tokens) // 8)
    table = head.embeddings.weight.detach().float()
    with torch.no_grad():
        head.dense.weight.copy_(torch.eye(len(head.dense.weight)))
        head.dense.bias.fill_(_LINEAR)
    parameters = [*head.dense.parameters(), *head.norm.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=_LEARNING_RATE)
    for step in range(_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * (1 - step / _STEPS)
        picked = torch.randint(len(tokens) - held, (_TOKENS,), generator=draws).to(tokens.device)
        others = torch.randint(len(table), (_OTHERS,), generator=draws).to(tokens.device)
        told, own = torch.unique(torch.cat([tokens[picked], others]), return_inverse=True)
        logits = functional.linear(head.transform(states[picked]), table[told])
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(logits, own[:_TOKENS]))
        optimizer.step()
    with torch.no_grad():
        logits = functional.linear(head.transform(states[-held:]), table)
        head.bias.fill_(-logits.topk(min(terms, len(table)), dim=1).values[:, -1].mean())
    return float((logits.argmax(dim=1) == tokens[-held:]).float().mean())


def _states(transformer: Any, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The backbone's state of every token but special ones, float32 (tokens, width), and the tokens' numbers."""
    special = torch.tensor(transformer.tokenizer.all_special_ids)
    device = next(transformer.parameters()).device
    states, tokens = [], []
    training = transformer.training
    transformer.eval()
    with torch.no_grad():
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            features = transformer.preprocess(list(texts[start : start + _TEXTS_AT_ONCE]))
            plain = ~torch.isin(features["input_ids"], special) & features["attention_mask"].bool()
            read = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in features.items()}
            states.append(transformer(read)["token_embeddings"].float()[plain.to(device)])
            tokens.append(features["input_ids"][plain].to(device))
    transformer.train(training)
    return torch.cat(states), torch.cat(tokens)
