"""Small random models, saved as hub checkpoints are: they load through the same code, in a moment."""

import json
import random
import string
from pathlib import Path

MARKERS = ("[unused0]", "[unused1]")  # what stands before queries and documents of ColBERT
WORDS = ("sky", "blue", "light", "sea", "moon", "tide", "bread", "yeast", "why", "is", "the", "query", ":", *MARKERS)


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


def tiny_t5(folder: Path, *, seed: int = 1) -> Path:
    """A T5 as transformers saves it, with a SentencePiece-like tokenizer of the tests' words and letters."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    torch.manual_seed(seed)
    words = [f"▁{word}" for word in ("true", "false", "Query:", "Document:", "Relevant:", *WORDS)]
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    scored = [(word, -2.0) for word in dict.fromkeys([*words, "▁", *letters])]
    pieces = Tokenizer(models.Unigram([("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -50.0), *scored], unk_id=2))
    pieces.pre_tokenizer, pieces.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    pieces.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=pieces, **names).save_pretrained(folder)
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
    config = T5Config(vocab_size=len(scored) + 3, decoder_start_token_id=0, initializer_factor=4.0, **sizes)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def tiny_splade(folder: Path, *, seed: int = 1, max_length: int = 32, two_logs: bool = False) -> Path:
    """A masked language model as transformers saves it, or (two_logs) a sparse encoder of sentence-transformers.

    The latter reads queries without a model, by a table of weights, as the OpenSearch v3 models do.
    """
    import torch
    from transformers import AutoTokenizer, BertForMaskedLM

    torch.manual_seed(seed)
    tiny_tokenizer(folder / "mlm", max_length=max_length)
    tokenizer, model = AutoTokenizer.from_pretrained(folder / "mlm"), BertForMaskedLM(tiny_config())
    if two_logs:  # both routes give one weight for each token
        model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder / "mlm")
    if not two_logs:  # more outputs than tokens, as checkpoints have that are padded to a round number
        return folder / "mlm"
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling

    static = SparseStaticEmbedding(tokenizer, weight=torch.rand(len(tokenizer)))
    document = [
        Transformer(str(folder / "mlm"), transformer_task="fill-mask"),
        SpladePooling(activation_function="log1p_relu"),
    ]
    router = Router.for_query_document(query_modules=[static], document_modules=document)
    SparseEncoder(modules=[router], device="cpu").save_pretrained(str(folder / "routed"))
    return folder / "routed"


def tiny_tk(folder: Path, *, seed: int = 1, query_tokens: int = 8, max_tokens: int = 32) -> Path:
    """A TK model of rankloom."""
    import torch
    from tokenizers import Tokenizer

    from rankloom.rerank.tk_model import TKModel, TKSettings

    torch.manual_seed(seed)
    tiny_tokenizer(folder / "words", max_length=64)
    tokenizer = Tokenizer.from_file(str(folder / "words" / "tokenizer.json"))
    sizes = TKSettings(heads=2, feed_forward=16, query_tokens=query_tokens, max_tokens=max_tokens)
    model = TKModel(sizes, torch.randn(tokenizer.get_vocab_size(), 32), tokenizer)
    torch.nn.init.normal_(model.kernel_weights.weight, std=0.05)
    model.save(folder / "tk")
    return folder / "tk"


def tiny_colbert(folder: Path, *, seed: int = 1, max_length: int = 32, expand: bool = True, skip=(",", "!")) -> Path:
    """A multi-vector encoder of sentence-transformers: BERT, a projection, and [MASK] behind queries if asked for."""
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
    from transformers import BertModel

    torch.manual_seed(seed)
    BertModel(tiny_config()).save_pretrained(folder / "bert")
    tiny_tokenizer(folder / "bert", max_length=max_length)
    transformer = Transformer(str(folder / "bert"), query_length=12, document_length=max_length)
    if expand:
        transformer.query_expansion = {"strategy": "fixed", "length": 12}
    projection = Dense(
        32, 16, bias=False, activation_function=torch.nn.Identity(), module_input_name="token_embeddings"
    )
    modules = [
        transformer,
        projection,
        MultiVectorMask(skiplist_words=list(skip)),
        Normalize(module_input_name="token_embeddings"),
    ]
    MultiVectorEncoder(modules=modules, device="cpu").save_pretrained(str(folder / "colbert"))
    return folder / "colbert"


def tiny_stanford_colbert(folder: Path, *, seed: int = 1) -> Path:
    """A ColBERT as its authors save it: a BERT and a projection in one file, the rest in `artifact.metadata`."""
    import torch
    from safetensors.torch import save_file
    from transformers import BertModel

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config(architectures=["HF_ColBERT"])
    bert = BertModel(config, add_pooling_layer=False)
    weights = {f"bert.{name}": one.contiguous() for name, one in bert.state_dict().items()}
    save_file({**weights, "linear.weight": torch.randn(16, 32)}, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(config.to_json_string(use_diff=False))
    tiny_tokenizer(folder, max_length=64)
    said = {"query_maxlen": 12, "doc_maxlen": 20, "query_token_id": "[unused0]", "doc_token_id": "[unused1]"}
    (folder / "artifact.metadata").write_text(json.dumps({**said, "mask_punctuation": True}))
    return folder


def tiny_pylate_colbert(folder: Path, *, seed: int = 1) -> Path:
    """A ColBERT as PyLate saves it: markers that are tokens of their own, and its own class for the projection."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoTokenizer, BertModel

    torch.manual_seed(seed)
    BertModel(tiny_config(), add_pooling_layer=False).save_pretrained(folder)
    tiny_tokenizer(folder, max_length=64)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["[Q] ", "[D] "])
    tokenizer.save_pretrained(folder)
    (folder / "1_Dense").mkdir()
    save_file({"linear.weight": torch.randn(16, 32)}, folder / "1_Dense" / "model.safetensors", {"format": "pt"})
    files = {
        "1_Dense/config.json": {
            "in_features": 32, "out_features": 16, "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
        ],
        "sentence_bert_config.json": {"max_seq_length": 19, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "model_type": "ColBERT", "prompts": {}, "default_prompt_name": None, "similarity_fn_name": "MaxSim",
            "query_prefix": "[Q] ", "document_prefix": "[D] ", "query_length": 12, "document_length": 20,
            "attend_to_expansion_tokens": False, "skiplist_words": list(string.punctuation),
        },
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def tiny_prettr(folder: Path, *, seed: int = 1, split: int = 1, query_tokens: int = 12, max_tokens: int = 32) -> Path:
    """A PreTTR model of rankloom, of the weights of `tiny_cross_encoder`."""
    from transformers import AutoTokenizer, BertForSequenceClassification

    from rankloom.rerank.prettr_model import PreTTRModel, PreTTRSettings

    plain = tiny_cross_encoder(folder / "plain", seed=seed)
    model = BertForSequenceClassification.from_pretrained(plain)
    tokenizer = AutoTokenizer.from_pretrained(plain)
    PreTTRModel(model, tokenizer, PreTTRSettings(split, query_tokens, max_tokens)).save(folder / "prettr")
    return folder / "prettr"


def tiny_idcm(folder: Path, *, seed: int = 1, student="ck", sample: int = 2, max_tokens: int = 40) -> Path:
    """An adapter of IDCM on `tiny_encoder`, with windows of 6 tokens and 2 more on either side."""
    import torch
    from sentence_transformers import SentenceTransformer

    from rankloom.rerank.idcm_adapter import IDCMSettings, adapted, save_adapter, trained
    from rankloom.rerank.idcm_model import IDCMSizes

    backbone = tiny_encoder(folder / "backbone", seed=seed, max_length=64)
    sizes = IDCMSizes(core=6, overlap=2, query_tokens=8, max_tokens=max_tokens, sample=sample, student=student)
    settings = IDCMSettings(backbone=str(backbone), rank=2, sizes=sizes)
    torch.manual_seed(seed)
    model = adapted(SentenceTransformer(str(backbone), device="cpu"), settings)
    for name, one in trained(model).items():
        if "lora_B" in name or "kernel_weights" in name or name == "weights":
            torch.nn.init.normal_(one.data, std=0.3)
    save_adapter(model, folder / "idcm", settings)
    return folder / "idcm"


def tiny_published_idcm(folder: Path, *, seed: int = 1, student: str = "ck") -> Path:
    """An IDCM checkpoint under the names of its authors' code, with DistilBERT."""
    import torch
    from safetensors.torch import save_file
    from torch import nn
    from transformers import DistilBertConfig, DistilBertModel

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    tiny_tokenizer(folder, max_length=64)
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    bert = DistilBertModel(DistilBertConfig(vocab_size=256, max_position_embeddings=64, initializer_range=0.3, **sizes))
    parts = {"_classification_layer": nn.Linear(32, 1), "sampling_binweights": nn.Linear(11, 1)}
    if student == "ck-small":
        parts["sample_projector"] = nn.Linear(32, 384)
    width, inner = (384, 128) if student == "ck-small" else (32, 32)
    parts["sample_cnn3.1"] = nn.Conv1d(width, inner, 3)
    weights = {f"bert_model.{name}": one for name, one in bert.state_dict().items()}
    weights |= {f"{part}.{name}": one for part, made in parts.items() for name, one in made.state_dict().items()}
    weights |= {"top_k_scoring": torch.rand(1, 3) + 0.5, "kernel_alpha_scaler": torch.rand(1, 1, 11) + 0.5}
    weights |= {"mu": torch.zeros(1, 1, 1, 11), "sigma": torch.full((1, 1, 1, 11), 0.1)}
    save_file({name: one.contiguous() for name, one in weights.items()}, folder / "model.safetensors")
    told = {"model_type": "IDCM", "bert_model": "distilbert-base-uncased", "sample_n": 2, "sample_context": student}
    told |= {"top_k_chunks": 3, "chunk_size": 6, "overlap": 2, "padding_idx": 0, "n_heads": 2}
    (folder / "config.json").write_text(json.dumps(told))
    return folder


CHAT = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def tiny_byte_tokenizer(folder: Path, *, max_length: int, chat: str | None = None) -> None:
    """A tokenizer of bytes, with a token that ends texts; a chat template if one is given."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    words.add_special_tokens(["<end>", "<pad>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<end>", pad_token="<pad>", model_max_length=max_length
    )
    tokenizer.chat_template = chat
    tokenizer.save_pretrained(folder)


def tiny_causal(folder: Path, *, seed: int = 1, max_length: int = 128, chat: str | None = None) -> Path:
    """A causal language model of bytes, whose file asks for sampling, as those of many models do."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=258, max_position_embeddings=max_length, initializer_range=0.3, **sizes)
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=5.0, repetition_penalty=3.0, eos_token_id=[256, 257], pad_token_id=257
    )
    model.save_pretrained(folder)
    tiny_byte_tokenizer(folder, max_length=max_length, chat=chat)
    return folder


def tiny_causal_reranker(folder: Path, family: str, *, seed: int = 1, positions: int = 4096) -> Path:
    """A causal language model with the tokens that rerankers of a family (`qwen3`, `gemma`) say and read."""
    import torch
    from transformers import AutoTokenizer, GemmaConfig, GemmaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    tiny_byte_tokenizer(folder, max_length=4096)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if family == "gemma":
        tokenizer.add_special_tokens({"bos_token": "<bos>"})
        tokenizer.add_tokens(["Yes", "No"])
    else:
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
        tokenizer.add_tokens(["yes", "no", "<think>", "</think>"])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    known = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": positions,
        "num_key_value_heads": 2,
        "head_dim": 16,
    }
    kind, of = (GemmaForCausalLM, GemmaConfig) if family == "gemma" else (Qwen3ForCausalLM, Qwen3Config)
    kind(of(initializer_range=0.3, **known, **sizes)).save_pretrained(folder)
    return folder


def tiny_chooser(folder: Path, *, passages: int, seed: int = 1) -> Path:
    """A causal language model of words that answers in Rank-R1's form every other time, with a label at random."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from rankloom.rerank.llm.template import load_template

    template, chance = load_template("rank_r1"), random.Random(seed)
    labels = [f"[{number + 1}]" for number in range(passages)]
    marks = ["<end>", "<pad>", "<unk>", "<think>", "</think>", "<answer>", "</answer>"]
    said = template.showing("why", [])
    known = dict.fromkeys([*marks, *labels, *WORDS, *f"{said.system} {said.text}".split()])
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"eos_token": "<end>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=512, **names)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"eos_token_id": 0, "pad_token_id": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(known), **sizes, **ends))
    forms = ["<think> sky </think> <answer> {} </answer> <end>", "<think> sky <answer> {} </answer> </think> <end>"]
    texts = [form.format(label) for form in forms for label in labels]
    told = torch.tensor(tokenizer(texts)["input_ids"])
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        shown = [" ".join(chance.choices(WORDS, k=chance.randint(2, 12))) for _ in labels]
        prompt = template.showing(" ".join(chance.choices(WORDS, k=4)), shown)
        asked = tokenizer([f"{prompt.system}\n\n{prompt.text}"] * len(texts), return_tensors="pt")["input_ids"]
        optimiser.zero_grad()
        unasked = torch.full_like(asked, -100)
        model(input_ids=torch.cat([asked, told], 1), labels=torch.cat([unasked, told], 1)).loss.backward()
        optimiser.step()
    model.save_pretrained(folder)
    return folder


def tiny_seq2seq(folder: Path, *, seed: int = 1, max_length: int = 64) -> Path:
    """An encoder-decoder language model of bytes."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(seed)
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
    special = {"decoder_start_token_id": 257, "eos_token_id": 256, "pad_token_id": 257}
    T5ForConditionalGeneration(T5Config(vocab_size=258, initializer_factor=3.0, **sizes, **special)).save_pretrained(
        folder
    )
    tiny_byte_tokenizer(folder, max_length=max_length)
    return folder
