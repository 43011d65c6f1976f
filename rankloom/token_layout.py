"""Which tokens of a text get a vector, and the multi-vector encoder that gives them, over any transformer.

Khattab and Zaharia: ColBERT, SIGIR 2020 (arXiv:2004.12832). Encoders are those of sentence-transformers.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Any

from rankloom.errors import UsageError


@dataclass(frozen=True, slots=True)
class TokenLayout:
    """Which tokens of queries and documents get a vector.

    Args:
        query_tokens: How many are read of a query.
        document_tokens: How many are read of a document; 180 as in ColBERTv2.
        expand_queries: Whether queries are filled up to `query_tokens` with [MASK], which look for more matches.
        skip_punctuation: Whether documents have no vectors for punctuation.
        query_prefix: What stands before a query, such as `query: `.
        document_prefix: What stands before a document.
    """

    query_tokens: int = 32
    document_tokens: int = 180
    expand_queries: bool = False
    skip_punctuation: bool = True
    query_prefix: str = ""
    document_prefix: str = ""


def multi_vector_encoder(transformer: Any, layout: TokenLayout, *, dimensions: int | None = None) -> Any:
    """A `MultiVectorEncoder` whose vectors have length 1, on the device and in the numbers of its transformer.

    Args:
        transformer: A `Transformer` of sentence-transformers; it becomes a part of the encoder, and is told the layout.
        layout: Which tokens get a vector.
        dimensions: Of the vectors, by a linear projection with arbitrary weights; None keeps those of the transformer.

    Raises:
        UsageError: The transformer can not read as many tokens as the layout wants.
    """
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    positions = getattr(transformer.model.config, "max_position_embeddings", None)
    if positions is not None and max(layout.query_tokens, layout.document_tokens) > positions:
        raise UsageError(
            "the model can not read that many tokens",
            stage="token_layout",
            value=max(layout.query_tokens, layout.document_tokens),
            accepted=f"query_tokens and document_tokens of at most {positions}",
        )
    transformer.query_expansion = None  # it would have a say in the lengths
    transformer.query_length, transformer.document_length = layout.query_tokens, layout.document_tokens
    if layout.expand_queries:
        transformer.query_expansion = {"strategy": "fixed", "length": layout.query_tokens}
    weight = transformer.model.get_input_embeddings().weight
    modules: list[Any] = [transformer]
    if dimensions is not None:
        projection = Dense(
            transformer.get_embedding_dimension(),
            dimensions,
            bias=False,
            activation_function=torch.nn.Identity(),
            module_input_name="token_embeddings",
        )
        modules.append(projection.to(weight.dtype))
    skipped = list(string.punctuation) if layout.skip_punctuation else None
    modules += [MultiVectorMask(skiplist_words=skipped), Normalize(module_input_name="token_embeddings")]
    prefixes = {"query": layout.query_prefix, "document": layout.document_prefix}
    prompts = {role: prefix for role, prefix in prefixes.items() if prefix}
    return MultiVectorEncoder(modules=modules, device=str(weight.device), prompts=prompts)
