"""A transformer with two heads: one scores a query and a document, the other judges each of their tokens.

Chirkova et al.: Provence: efficient and robust context pruning for retrieval-augmented generation, ICLR 2025
(arXiv:2501.16214). One pass reranks and prunes. Imports torch.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Heads(NamedTuple):
    """What the heads say of some rows of tokens.

    Args:
        scores: Raw scores; of shape (rows,).
        tokens: Logits of each token being dropped (0) and kept (1); of shape (rows, tokens, 2).
    """

    scores: Tensor
    tokens: Tensor


class TwoHeads(torch.nn.Module):
    """A model of transformers for sequence classification, with a second head that reads its tokens.

    Several threads may call one at a time each. It can be copied and pickled: its hooks are methods, which go along.

    Args:
        classifier: The model and its own head, of which the first output is the score.
        token_head: Maps the state of a token to two logits.
        before: A part of the classifier; the second head reads what goes into it. None: what the encoder gives.
    """

    def __init__(self, classifier: Any, token_head: torch.nn.Linear, before: Any = None) -> None:
        super().__init__()
        self.classifier, self.token_head = classifier, token_head
        self._states: dict[int, Tensor] = {}  # of each thread that is computing
        if before is None:
            classifier.base_model.register_forward_hook(self._keep_output)
        else:
            self.read_before(before)

    def read_before(self, part: Any) -> None:
        """Let the second head read what goes into a part of the classifier, such as one that replaces another."""
        part.register_forward_pre_hook(self._keep_input)

    def forward(self, **features: Tensor) -> Heads:
        """Both outputs, from one pass.

        Args:
            features: What the classifier is called with: `input_ids`, `attention_mask` and perhaps `token_type_ids`.
        """
        thread = threading.get_ident()
        try:
            output = self.classifier(**features, return_dict=True)
            return Heads(output.logits[:, 0], self.token_head(self._states[thread]))
        finally:  # a pass that fails must not hold a batch of states for good
            self._states.pop(thread, None)

    def _keep_output(self, _module: Any, _given: Any, output: Any) -> None:
        """Remember what the encoder gives, on its way to the first head."""
        self._states[threading.get_ident()] = output[0]

    def _keep_input(self, _module: Any, given: tuple[Any, ...]) -> None:
        """Remember what goes into a part, on its way to the first head."""
        self._states[threading.get_ident()] = given[0]
