"""Small random Provence models, saved in each layout, and the same models in plain torch to compare with."""

import json
import string
from pathlib import Path

from tests.tiny_models import WORDS, tiny_config, tiny_encoder, tiny_tokenizer

SIZES = {
    "vocab_size": 256, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 66, "pad_token_id": 0, "initializer_range": 0.3,
}  # fmt: skip
DEBERTA = {
    "relative_attention": True, "position_buckets": 16, "max_relative_positions": -1, "norm_rel_ebd": "layer_norm",
    "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "share_att_key": True, "type_vocab_size": 0,
    "pooler_dropout": 0, "pooler_hidden_act": "gelu", "pooler_hidden_size": 32,
}  # fmt: skip


def _saved(tokenizer, folder: Path, max_length: int) -> None:
    """A tokenizer that reads pairs as BERT's does, with its numbers for special tokens."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_length, **names).save_pretrained(folder)


_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_LETTERS = tuple(chr(code) for code in range(ord("!"), ord("~") + 1))


def tiny_metaspace(folder: Path, *, max_length: int) -> None:
    """A tokenizer like SentencePiece's (XLM-RoBERTa, DeBERTa-v3): every text begins as if a space stood before it."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    pieces = [*(f"\u2581{word}" for word in WORDS), "\u2581", *_LETTERS]
    scored = [*((name, 0.0) for name in _SPECIAL), *((piece, -2.0) for piece in pieces)]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=1))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    _saved(tokenizer, folder, max_length)


def tiny_byte_bpe(folder: Path, *, max_length: int) -> None:
    """A byte-level BPE (ModernBERT) of ASCII: spaces and line breaks are letters of the word behind them."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    merges = [("\u0120", letter) for letter in string.ascii_letters]  # a space and a letter are one piece
    pieces = [*_SPECIAL, *_LETTERS, "\u0120", "\u010a", *("".join(merge) for merge in merges)]
    tokenizer = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    _saved(tokenizer, folder, max_length)


def _plain():
    """The classes of Naver's layouts, as their authors train them; torch is imported late."""
    import torch
    from transformers import DebertaV2Config, DebertaV2Model, XLMRobertaConfig, XLMRobertaModel
    from transformers.models.deberta_v2.modeling_deberta_v2 import ContextPooler

    class Plain(torch.nn.Module):
        def __init__(self, config):
            super().__init__()
            self.classifier = torch.nn.Linear(32, 1)
            self.token_classifier = torch.nn.Linear(32, 2)
            torch.nn.init.normal_(self.token_classifier.weight, std=0.6)
            if isinstance(config, DebertaV2Config):
                self.deberta, self.pooler = DebertaV2Model(config), ContextPooler(config)
            else:
                self.roberta = XLMRobertaModel(config)

        def forward(self, ids):
            if hasattr(self, "deberta"):
                states = self.deberta(ids)[0]
                pooled = self.pooler(states)
            else:
                states, pooled = self.roberta(ids)[:2]
            return self.classifier(pooled)[:, 0], self.token_classifier(states)

    return Plain, DebertaV2Config, XLMRobertaConfig


def tiny_provence(folder: Path, *, seed: int = 1, multilingual: bool = False, tokenizer=tiny_tokenizer):
    """A model of Naver's: its folder, and the model itself."""
    import torch
    from safetensors.torch import save_file

    plain, deberta, roberta = _plain()
    torch.manual_seed(seed)
    name = "XProvence" if multilingual else "Provence"
    fields = {**SIZES, **({"type_vocab_size": 1} if multilingual else DEBERTA)}
    model = plain((roberta if multilingual else deberta)(**fields)).eval()
    folder.mkdir(parents=True)
    save_file({key: one.contiguous() for key, one in model.state_dict().items()}, folder / "model.safetensors")
    says = {
        "architectures": [name], "model_type": name, "auto_map": {"AutoModel": f"modeling_provence.{name}"},
        "torch_dtype": "float32", "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps({**fields, **says}))
    tokenizer(folder, max_length=64)
    return folder, model


def tiny_open_provence(
    folder: Path, *, seed: int = 1, modern: bool = False, prefix: str = "ranking_model.", tokenizer=tiny_tokenizer
):
    """A model of OpenProvence's on BERT or ModernBERT: its folder, its ranking model and its pruning head."""
    import torch
    from safetensors.torch import save_file
    from transformers import (
        BertForSequenceClassification,
        ModernBertConfig,
        ModernBertForSequenceClassification,
    )

    torch.manual_seed(seed)
    if modern:
        sizes = {**SIZES, "max_position_embeddings": 64}
        config = ModernBertConfig(**sizes, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3, num_labels=1)
        model = ModernBertForSequenceClassification(config).eval()
        torch.nn.init.normal_(model.model.final_norm.weight, std=2.0)  # so that it matters what the head reads
    else:
        model = BertForSequenceClassification(tiny_config(num_labels=1)).eval()
    head = torch.nn.Linear(32, 2)
    torch.nn.init.normal_(head.weight, std=0.6)
    folder.mkdir(parents=True)
    weights = {f"{prefix}{key}": one.contiguous() for key, one in model.state_dict().items()}
    weights |= {f"pruning_head.classifier.{key}": one for key, one in head.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    base = {**json.loads(model.config.to_json_string(use_diff=False)), "_attn_implementation": "flash_attention_2"}
    says = {
        "architectures": ["OpenProvenceForSequenceClassification"], "model_type": "open_provence",
        "mode": "reranking_pruning", "base_model_config": base, "num_labels": 1, "num_pruning_labels": 2,
        "max_length": 48, "default_threadshold": 0.2,
        "pruning_config": {"hidden_size": 32, "num_labels": 2, "classifier_dropout": 0.0, "sentence_pooling": "mean"},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(says))
    tokenizer(folder, max_length=64)
    return folder, model, head


def tiny_joint_adapter(folder: Path, *, seed: int = 1, below_last: bool = False):
    """An adapter of our own, the adapter of the cross-encoder inside it, and their model."""
    import torch
    from sentence_transformers import SentenceTransformer

    from rankloom import cross_encoder_adapter, provence_adapter
    from rankloom.cross_encoder_adapter import CrossEncoderSettings
    from rankloom.provence_adapter import ProvenceSettings

    backbone = tiny_encoder(folder / "backbone", seed=seed, max_length=64)
    torch.manual_seed(seed)
    settings = CrossEncoderSettings(str(backbone), 48, rank=2)
    encoder = cross_encoder_adapter.adapted(SentenceTransformer(str(backbone), device="cpu"), settings)
    model = provence_adapter.with_token_head(encoder, below_last=below_last).eval()
    with torch.no_grad():
        for parameter in provence_adapter.trained(model).values():
            parameter.copy_((parameter.normal_(std=0.3)).half().float())  # as it is kept
    cross_encoder_adapter.save_adapter(encoder, folder / "cross-encoder", settings)
    own = ProvenceSettings(str(backbone), 48, rank=2, rounding="probability", below_last=below_last)
    provence_adapter.save_adapter(model, folder / "provence", own)
    return folder / "provence", folder / "cross-encoder", model
