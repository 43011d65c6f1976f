"""monoT5: a sequence-to-sequence model is asked whether a document is relevant; the logits of yes and no are the score.

Nogueira et al.: Document Ranking with a Pretrained Sequence-to-Sequence Model, Findings of EMNLP 2020
(arXiv:2003.06713).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rankloom.checks import whole
from rankloom.errors import UsageError
from rankloom.parameter_kinds import ModelName
from rankloom.rerank.model_reranker import Batch, ModelReranker
from rankloom.rerank.t5_model import answer_logits, load_t5, word_token
from rankloom.session import Session

_HEAD, _BETWEEN, _TAIL = "Query:", "Document:", "Relevant:"


class MonoT5(ModelReranker):
    """Rerank by a checkpoint such as `castorini/monot5-base-msmarco`.

    The model reads `Query: ... Document: ... Relevant:`; the score is the logit of the word for yes above that of the
    word for no, at the first place of the answer. (The paper's probability is the logistic function of it: the same
    order, with ties near 1, where float32 has few numbers.) What does not fit is cut from the document, then from the
    query, never from the words of the prompt, and noted.

    Args:
        model: A folder, or a name; see `rankloom.models.resolve_model`.
        true_word: The token for yes; `▁true` as the authors trained it, `▁yes` for checkpoints of mT5.
        false_word: The token for no.
        max_tokens: Tokens of a prompt; 512 as in the paper.
        depth: How many hits of each query are scored; 100 as in most published reranking runs.
        batch_size: Pairs in one batch. Scores depend on it only by float noise.

    Raises:
        UsageError: A number is not positive and whole, or the two words are the same.
    """

    name = "mono_t5"

    def __init__(
        self,
        model: ModelName,
        *,
        true_word: str = "▁true",
        false_word: str = "▁false",
        max_tokens: int = 512,
        depth: int = 100,
        batch_size: int = 32,
    ) -> None:
        super().__init__(model, depth=depth, batch_size=batch_size)
        if true_word == false_word:
            raise UsageError("the words for yes and for no are the same", stage=self.name, value=true_word)
        self.true_word, self.false_word = true_word, false_word
        self.max_tokens = whole(max_tokens, least=16, stage=self.name, parameter="max_tokens")

    @staticmethod
    def load_model(folder: str, device: str, dtype: Any) -> Any:
        """See `ModelReranker.load_model`."""
        return load_t5(
            folder,
            device,
            dtype,
            stage=MonoT5.name,
            accepted="a checkpoint of T5 or mT5 trained as monoT5",
            fix="for other rerankers, take CrossEncoder",
        )

    def score_batch(self, model: Any, queries: list[str], documents: list[str], session: Session) -> Batch:  # noqa: ARG002  # it keeps nothing
        """See `ModelReranker.score_batch`.

        Raises:
            DataError: A word for yes or no is not one token of the model.
        """
        fix = "give true_word and false_word as the model was trained with, such as ▁yes and ▁no"
        yes, no = (
            word_token(model.tokenizer, word, stage=self.name, fix=fix) for word in (self.true_word, self.false_word)
        )
        prompts = [
            prompt_tokens(model.tokenizer, query, document, self.max_tokens)
            for query, document in zip(queries, documents, strict=True)
        ]
        scores = answer_logits(model, [one.ids for one in prompts], yes=yes, no=no)
        read = np.array([len(one.ids) for one in prompts], dtype=np.int64)
        return Batch(scores, read, np.array([one.cut for one in prompts], dtype=np.int64))


class PromptTokens(NamedTuple):
    """A prompt as tokens.

    Args:
        ids: The tokens, the one that ends a text among them.
        cut: How many of the query and the document were left out.
    """

    ids: list[int]
    cut: int


def prompt_tokens(tokenizer: Any, query: str, document: str, limit: int) -> PromptTokens:
    """A prompt of at most so many tokens; its own words are always whole.

    Args:
        tokenizer: A tokenizer that splits at white space, as SentencePiece does: the parts are tokenised apart.
        query: The query.
        document: The document.
        limit: Most tokens, more than those of the prompt's own words.
    """
    query, document = " ".join(query.split()), " ".join(document.split())  # as SentencePiece reads white space
    parts = tokenizer([_HEAD, query, _BETWEEN, document, _TAIL], add_special_tokens=False, verbose=False)["input_ids"]
    head, asked, between, told, tail = parts
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    room = limit - len(head) - len(between) - len(tail) - len(end)
    kept = asked[:room]
    shown = told[: room - len(kept)]
    cut = len(asked) - len(kept) + len(told) - len(shown)
    return PromptTokens([*head, *kept, *between, *shown, *tail, *end], cut)
