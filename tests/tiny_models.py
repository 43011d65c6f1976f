"""Small random models, saved as hub checkpoints are: they load through the same code, in a moment."""

from pathlib import Path

WORDS = ("sky", "blue", "light", "sea", "moon", "tide", "bread", "yeast", "why", "is", "the", "query", ":")


def tiny_tokenizer(folder: Path, *, max_length: int) -> None:
    """A WordPiece tokenizer of letters and a few words."""
    from transformers import BertTokenizer

    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), *WORDS]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=max_length).save_pretrained(folder)


def tiny_config(**more):
    """Two layers of 32 numbers; weights far larger than usual, so that different texts give different scores."""
    from transformers import BertConfig

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return BertConfig(vocab_size=256, max_position_embeddings=64, initializer_range=0.3, **sizes, **more)


def tiny_encoder(
    folder: Path, *, seed: int = 1, max_length: int = 32, normalize: bool = True, similarity=None, prompts=None
) -> Path:
    """A sentence encoder: BERT, mean pooling, and normalisation if asked for."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import BertModel

    torch.manual_seed(seed)
    BertModel(tiny_config()).save_pretrained(folder / "bert")
    tiny_tokenizer(folder / "bert", max_length=max_length)
    transformer = Transformer(str(folder / "bert"), max_seq_length=max_length)
    modules = [transformer, Pooling(32, "mean"), *([Normalize()] if normalize else [])]
    model = SentenceTransformer(modules=modules, device="cpu", similarity_fn_name=similarity, prompts=prompts)
    model.save_pretrained(str(folder / "model"))
    return folder / "model"


def tiny_cross_encoder(folder: Path, *, seed: int = 1, max_length: int = 48, labels: int = 1) -> Path:
    """A cross-encoder as transformers saves it."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(seed)
    BertForSequenceClassification(tiny_config(num_labels=labels)).save_pretrained(folder)
    tiny_tokenizer(folder, max_length=max_length)
    return folder
