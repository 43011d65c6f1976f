"""Causal language models that were trained to rerank: the logit of yes at the last token is the score.

Zhang et al.: Qwen3 Embedding, 2025 (arXiv:2506.05176); Chen et al.: M3-Embedding, 2024 (arXiv:2402.03216), for the
rerankers of BAAI.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import choice, whole
from rankloom.errors import DataError, UsageError
from rankloom.extras import require
from rankloom.parameter_kinds import ModelName
from rankloom.rerank.model_reranker import Batch, ModelReranker
from rankloom.session import Session

Layout = Literal["auto", "qwen3", "bge"]
_FAMILIES = {"qwen": "qwen3", "gemma": "bge"}  # what the types of models begin with
_LONGEST = {"qwen3": 8192, "bge": 1024}  # tokens, as the authors' code has it (of `bge`, without the prompt)
_WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"
_QWEN_HEAD = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
_QWEN_TAIL = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
_BGE_TAIL = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
    "prediction of either 'Yes' or 'No'."
)


class CausalReranker(ModelReranker):
    """Rerank by a checkpoint such as `Qwen/Qwen3-Reranker-0.6B` or `BAAI/bge-reranker-v2-gemma`.

    The model reads the query and the document in the prompt that it was trained with. The score is the logit of `yes`
    above that of `no` (`qwen3`), or the logit of `Yes` (`bge`), at the last token. What does not fit is cut from the
    document, and noted; the query and the words of the prompt are always whole.

    Args:
        model: A folder, or a name; see `rankloom.models.resolve_model`.
        layout: The prompt: that of Qwen3-Reranker, or of BAAI's bge-reranker-v2-gemma. `auto` goes by the type of the
            model: Qwen or Gemma. Nothing in its files tells a reranker from a model that chats, whose scores mean
            little: see its card.
        instruction: What is sought, for `qwen3`; the authors advise one for each task, in English. Default: theirs for
            web search.
        max_tokens: Tokens of a pair. Default: 8192 (`qwen3`), or 1024 besides the words of the prompt (`bge`), as in
            the authors' code. In any case no more than the model has positions for.
        depth: How many hits of each query are scored; 100 as in most published reranking runs.
        batch_size: Pairs in one batch. Scores depend on it only by float noise.

    Raises:
        UsageError: A number is not positive and whole, a layout is unknown, or one without instructions has one.
    """

    name = "causal_reranker"

    def __init__(
        self,
        model: ModelName,
        *,
        layout: Layout = "auto",
        instruction: str | None = None,
        max_tokens: int | None = None,
        depth: int = 100,
        batch_size: int = 8,
    ) -> None:
        super().__init__(model, depth=depth, batch_size=batch_size)
        choice(layout, get_args(Layout), stage=self.name, parameter="layout")
        self.layout: Layout = layout
        if layout == "bge" and instruction is not None:
            raise UsageError("this layout has no instruction", stage=self.name, value=instruction, accepted="None")
        self.instruction = instruction
        if max_tokens is not None:
            whole(max_tokens, least=1, stage=self.name, parameter="max_tokens")
        self.max_tokens = max_tokens

    @staticmethod
    def load_model(folder: str, device: str, dtype: Any) -> Any:
        """See `ModelReranker.load_model`."""
        transformers = require("transformers", extra="dense", stage=CausalReranker.name)
        safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        config = transformers.AutoConfig.from_pretrained(folder, **safe)
        if not str((config.architectures or [""])[0]).endswith("ForCausalLM"):
            raise DataError(
                "the model is no causal language model",
                stage=CausalReranker.name,
                value=config.architectures,
                accepted="a checkpoint of Qwen3-Reranker or bge-reranker-v2-gemma",
                fix="for other rerankers, take CrossEncoder",
            )
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True, **safe)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **safe)
        positions = getattr(config.get_text_config(), "max_position_embeddings", None)
        return _Model(model.to(device).eval(), tokenizer, str(config.model_type), positions)

    def score_batch(self, model: Any, queries: list[str], documents: list[str], session: Session) -> Batch:  # noqa: ARG002  # it keeps nothing
        """See `ModelReranker.score_batch`.

        Raises:
            DataError: Nobody says which layout the model has, it has no instruction, a query leaves no room for a
                document, or `yes` or `no` is not one token of the model.
        """
        layout = self._layout(model.family)
        prompts = [
            self._prompt(model, layout, query, document) for query, document in zip(queries, documents, strict=True)
        ]
        words = [_token(model.tokenizer, word) for word in (("yes", "no") if layout == "qwen3" else ("Yes",))]
        logits = _last_logits(model, [one.ids for one in prompts], words)
        scores = logits[:, 0] - logits[:, 1] if len(words) > 1 else logits[:, 0]
        read = np.array([len(one.ids) for one in prompts], dtype=np.int64)
        return Batch(scores, read, np.array([one.cut for one in prompts], dtype=np.int64))

    def _layout(self, family: str) -> str:
        """The layout, by the type of the model where it is not given."""
        by_family = [layout for begin, layout in _FAMILIES.items() if family.startswith(begin)]
        layout: str = self.layout if self.layout != "auto" else next(iter(by_family), "")
        if not layout:
            raise DataError(
                "nobody says how the model reads pairs",
                stage=self.name,
                value=family,
                accepted="models of Qwen or Gemma",
                fix="give the layout that it was trained with: layout='qwen3' or 'bge'",
            )
        if layout == "bge" and self.instruction is not None:
            raise DataError("this model reads no instruction", stage=self.name, value=self.instruction)
        return layout

    def _prompt(self, model: _Model, layout: str, query: str, document: str) -> PairTokens:
        """A pair as the model reads it."""
        most, tokenizer = self.max_tokens or _LONGEST[layout], model.tokenizer
        besides = 0 if layout == "qwen3" else sum(map(len, _tokens(tokenizer, ["\n", _BGE_TAIL])))
        if model.positions is not None:
            most = min(most, model.positions - besides)
        if layout == "qwen3":
            return qwen3_tokens(tokenizer, query, document, instruction=self.instruction or _WEB_SEARCH, most=most)
        return bge_tokens(tokenizer, query, document, most=most)


class PairTokens(NamedTuple):
    """A pair as tokens.

    Args:
        ids: The tokens.
        cut: How many of the document were left out.
    """

    ids: list[int]
    cut: int


def qwen3_tokens(tokenizer: Any, query: str, document: str, *, instruction: str, most: int) -> PairTokens:
    """A pair in the prompt of Qwen3-Reranker, at most so many tokens.

    Raises:
        DataError: There is no room for the document.
    """
    asked = f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>:"
    head, own, body, tail = _tokens(tokenizer, [_QWEN_HEAD, asked, f"{asked} {document}", _QWEN_TAIL])
    ids, cut = _cut(body, own=len(own), room=most - len(head) - len(tail), query=query)
    return PairTokens([*head, *ids, *tail], cut)


def bge_tokens(tokenizer: Any, query: str, document: str, *, most: int) -> PairTokens:
    """A pair in the prompt of bge-reranker-v2-gemma, at most so many tokens before the question.

    Raises:
        DataError: There is no room for the document.
    """
    line, asked, own, told, tail = _tokens(tokenizer, ["\n", f"A: {query}", "B:", f"B: {document}", _BGE_TAIL])
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    before = [*start, *asked, *line]
    ids, cut = _cut(told, own=len(own), room=most - len(before), query=query)
    return PairTokens([*before, *ids, *line, *tail], cut)


def _cut(body: Sequence[int], *, own: int, room: int, query: str) -> tuple[Sequence[int], int]:
    """The tokens of a text that ends with a document and has room for so many; and how many were cut.

    Args:
        body: The tokens.
        own: How many of them, from the first, are not the document's.
        room: How many may stand.
        query: For the error.
    """
    if len(body) > room and room <= own:
        raise DataError(
            f"the query leaves no room for the document: {max(0, room)} tokens, of which the prompt needs {own}",
            stage=CausalReranker.name,
            value=query,
            fix="allow more (max_tokens=), as far as the model reads more, or shorten the query",
        )
    return body[:room], max(0, len(body) - room)


def _tokens(tokenizer: Any, parts: list[str]) -> list[list[int]]:
    """Parts of a prompt, tokenised apart as the authors do, without what begins and ends texts."""
    told: list[list[int]] = tokenizer(parts, add_special_tokens=False, verbose=False)["input_ids"]
    return told


class _Model(NamedTuple):
    """A model, its tokenizer, its type, and how many tokens it has positions for, where it says so."""

    model: Any
    tokenizer: Any
    family: str
    positions: int | None


def _last_logits(model: _Model, prompts: Sequence[list[int]], words: list[int]) -> NDArray[np.float32]:
    """The logits of some tokens at the end of each prompt; float32 of shape (prompts, words). Padding stands before."""
    import torch

    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), model.tokenizer.pad_token_id or 0, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(prompts):
        ids[row, width - len(tokens) :], mask[row, width - len(tokens) :] = torch.tensor(tokens), 1
    tensors = {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
    given: dict[str, Any] = {name: tensor.to(model.model.device) for name, tensor in tensors.items()}
    if "logits_to_keep" in inspect.signature(model.model.forward).parameters:
        given["logits_to_keep"] = 1
    with torch.inference_mode():
        logits = model.model(**given, use_cache=False).logits[:, -1, words]
    found: NDArray[np.float32] = logits.float().cpu().numpy()
    return found


def _token(tokenizer: Any, word: str) -> int:
    """The number of a word that is one token."""
    (found,) = _tokens(tokenizer, [word])
    if len(found) != 1 or found[0] == tokenizer.unk_token_id:
        raise DataError(
            "the word is not one token of the model",
            stage=CausalReranker.name,
            value=word,
            accepted="a model whose vocabulary has it, as those of the layout do",
            fix="take the layout that the model was trained with",
        )
    return found[0]
