"""Token encoders against sentence-transformers, and against transformers with ColBERT's rules written out."""

import json
import pickle
import string
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from transformers import AutoTokenizer, BertModel

from rankloom import Session
from rankloom.checkpoint_layout import saved_layout
from rankloom.encoders import SentenceEncoder
from rankloom.errors import DataError, UsageError
from rankloom.reduction import reductions
from rankloom.token_adapter import TokenAdapterSettings, adapted, load_adapter, save_adapter, trained
from rankloom.token_encoder import TokenEncoder
from rankloom.token_layout import TokenLayout
from tests.tiny_models import tiny_colbert, tiny_encoder, tiny_pylate_colbert, tiny_stanford_colbert

SESSION = Session(offline=True, device="cpu")
TEXTS = ["the sky is blue, the sea too!", "tide", "", "?!", "light " * 40, "moon (blue) moon", "tide"]
MAKERS = {
    "sentence-transformers": tiny_colbert, "stanford": tiny_stanford_colbert, "pylate": tiny_pylate_colbert,
}  # fmt: skip
MARKERS = {"stanford": ("[unused0]", "[unused1]"), "pylate": ("[Q] ", "[D] ")}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {name: str(make(tmp_path_factory.mktemp(name))) for name, make in MAKERS.items()}
    return made | {"encoder": str(tiny_encoder(tmp_path_factory.mktemp("encoder")))}


def encoded(encoder, texts=TEXTS, role="document", session=SESSION):
    return encoder.encode(texts, role=role, session=session)


def same(one, other, atol=1e-5):
    assert [len(vectors) for vectors in one] == [len(vectors) for vectors in other]
    for left, right in zip(one, other, strict=True):
        np.testing.assert_allclose(left, right, atol=atol)


# --- layouts of checkpoints ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts(folders):
    """Tokenizer, BERT and projection of each checkpoint, as transformers loads them."""
    files = {"stanford": "model.safetensors", "pylate": "1_Dense/model.safetensors"}
    return {
        kind: (
            AutoTokenizer.from_pretrained(folders[kind]),
            BertModel.from_pretrained(folders[kind], add_pooling_layer=False).eval(),
            load_file(f"{folders[kind]}/{files[kind]}")["linear.weight"],
        )
        for kind in MARKERS
    }


def by_the_book(parts, marker, text, role):
    """ColBERT's vectors of a text: the marker stands behind [CLS]; queries are filled up with [MASK], to which nothing
    attends; punctuation in documents has no vector. Also the tokens that are read, and those that are not."""
    tokenizer, bert, projection = parts
    most = 12 if role == "query" else 20
    words = tokenizer(text, add_special_tokens=False).input_ids
    ids = [tokenizer.cls_token_id, tokenizer.convert_tokens_to_ids(marker), *words[: most - 3], tokenizer.sep_token_id]
    real = len(ids)
    if role == "query":
        ids += [tokenizer.mask_token_id] * (most - real)
    mask = [1] * real + [0] * (len(ids) - real)
    with torch.no_grad():
        states = bert(torch.tensor([ids]), attention_mask=torch.tensor([mask])).last_hidden_state[0]
        vectors = torch.nn.functional.normalize(states @ projection.T, dim=-1).numpy()
    skipped = set(tokenizer.convert_tokens_to_ids(list(string.punctuation))) if role == "document" else set()
    return vectors[[one not in skipped for one in ids]], real, max(0, len(words) - (most - 3))


@pytest.mark.parametrize("role", ["query", "document"])
@pytest.mark.parametrize("kind", sorted(MARKERS))
def test_checkpoints_of_others_give_the_vectors_of_their_own_rules(folders, parts, kind, role):
    found = encoded(TokenEncoder(folders[kind]), role=role)
    marker = MARKERS[kind][role == "document"]
    books = [by_the_book(parts[kind], marker, text, role) for text in TEXTS]
    vectors, tokens, truncated = zip(*books, strict=True)
    same(found.vectors, vectors)
    assert found.tokens.tolist() == list(tokens)
    assert found.truncated.tolist() == list(truncated)


@pytest.mark.parametrize("role", ["query", "document"])
@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_vectors_are_those_of_sentence_transformers(folders, kind, role):
    peer = MultiVectorEncoder(folders[kind], device="cpu", local_files_only=True)
    found = encoded(TokenEncoder(folders[kind]), role=role)
    encode = peer.encode_query if role == "query" else peer.encode_document
    same(found.vectors, encode(TEXTS, convert_to_numpy=True))


def test_the_files_that_loading_reads_decide_the_fingerprint(tmp_path):
    folder = tiny_stanford_colbert(tmp_path)
    encoder = TokenEncoder(str(folder))
    before = encoder.fingerprint()
    (folder / "artifact.metadata").write_text(json.dumps({"doc_maxlen": 30}))
    after = encoder.fingerprint()
    (folder / "reduction.json").write_text(json.dumps({"reduction": "C2x2"}))
    assert len({before, after, encoder.fingerprint()}) == 3
    assert encoder.fingerprint() == encoder.fingerprint(SESSION)


# --- batches ---------------------------------------------------------------------------------------------------


@settings(max_examples=5, deadline=None)
@given(
    texts=st.lists(st.text(alphabet="ab sky,!", max_size=60), max_size=8),
    role=st.sampled_from(["query", "document"]),
    reduction=st.sampled_from(["none", "C2x3", "pool2"]),
    batch_size=st.sampled_from([None, 1, 2]),
)
def test_vectors_do_not_depend_on_the_batch(folders, texts, role, reduction, batch_size):
    folder = folders["sentence-transformers"]
    found = encoded(TokenEncoder(folder, reduction=reduction, batch_size=batch_size), texts, role)
    alone = [encoded(TokenEncoder(folder, reduction=reduction), [text], role) for text in texts]
    same(found.vectors, [one.vectors[0] for one in alone])
    assert found.tokens.tolist() == [int(one.tokens[0]) for one in alone]
    assert found.truncated.tolist() == [int(one.truncated[0]) for one in alone]


def test_nothing_to_encode(folders):
    found = encoded(TokenEncoder(folders["pylate"]), [])
    assert (len(found.vectors), found.vectors.dimensions, found.tokens.shape, found.calls) == (0, 16, (0,), 0)


def test_equal_texts_go_through_the_model_once(folders):
    found = encoded(TokenEncoder(folders["pylate"], batch_size=1), ["sky", "sea", "sky"])
    assert found.calls == 2
    np.testing.assert_array_equal(found.vectors[0], found.vectors[2])


@pytest.mark.parametrize("attend", [False, True])
@pytest.mark.parametrize("strategy", ["fixed", "min"])
def test_queries_are_filled_up_as_sentence_transformers_does(folders, strategy, attend):
    encoder = TokenEncoder(folders["sentence-transformers"])
    first = encoder.load(SESSION).model[0]
    first.query_length = 16
    first.query_expansion = {"strategy": strategy, "attend": attend, "length": 9}
    texts = ["sky", "why is the sky blue", "sky " * 12, "sky " * 40]
    found = encoded(encoder, texts, "query")
    same(found.vectors, encoder.load(SESSION).model.encode_query(texts, convert_to_numpy=True))
    most = 9 if strategy == "fixed" else 16
    assert found.tokens.tolist() == [3, 7, min(14, most), most]
    assert found.truncated.tolist() == [0, 0, 14 - min(14, most), 42 - most]
    encoder.close()


@pytest.mark.parametrize("role", ["query", "document"])
def test_a_model_that_prepares_texts_itself_gives_the_same(folders, monkeypatch, role):
    """As sentence-transformers does for all models; batches by tokens are for those that read plain text."""
    encoder = TokenEncoder(folders["sentence-transformers"])
    first = encoder.load(SESSION).model[0]
    first.query_expansion = {"strategy": "fixed", "attend": True, "length": 12}
    by_tokens = encoded(encoder, role=role)
    monkeypatch.setattr("rankloom.encoders.batches.plain_transformer", lambda model: model is None)
    found = encoded(encoder, role=role)
    same(found.vectors, by_tokens.vectors)
    assert found.tokens.tolist() == by_tokens.tokens.tolist() == [min(12, one) if role == "query" else one for one in (
        [13, 3, 2, 4, 12, 7, 3] if role == "query" else [13, 3, 2, 4, 32, 7, 3])]  # fmt: skip
    assert found.truncated.tolist() == by_tokens.truncated.tolist()
    encoder.close()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("word", ["none", "C2x3", "pool2"])
def test_a_gpu_gives_the_same(folders, word):
    encoder = TokenEncoder(folders["stanford"], reduction=word)
    same(encoded(encoder, session=Session(offline=True, device="cuda")).vectors, encoded(encoder).vectors, atol=1e-3)


# --- any transformer -------------------------------------------------------------------------------------------


def states(folder, texts):
    """The normalised states of the tokens of each text."""
    tokenizer, bert = AutoTokenizer.from_pretrained(folder), BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        read = [tokenizer(text, return_tensors="pt", truncation=True, max_length=32) for text in texts]
        return [torch.nn.functional.normalize(bert(**one).last_hidden_state[0], dim=-1).numpy() for one in read]


@pytest.mark.parametrize("plain", [False, True])
def test_an_untrained_model_gives_the_states_of_its_tokens(folders, plain, caplog):
    inner = folders["encoder"].replace("/model", "/bert")
    encoder = TokenEncoder(inner if plain else folders["encoder"], untrained=True, skip_punctuation=False)
    found = encoded(encoder)
    same(found.vectors, states(inner, TEXTS))
    assert found.truncated.tolist() == [0, 0, 0, 0, 10, 0, 0]
    assert "pools token vectors" not in caplog.text


def test_the_layout_of_an_untrained_model(folders):
    layout = {
        "query_tokens": 8, "document_tokens": 6, "expand_queries": True, "query_prefix": "query: ",
        "document_prefix": "the ",
    }  # fmt: skip
    encoder = TokenEncoder(folders["encoder"], untrained=True, **layout)
    queries = encoded(encoder, ["sky", "sky " * 9], "query")
    assert queries.vectors.lengths.tolist() == [8, 8]
    assert (queries.tokens.tolist(), queries.truncated.tolist()) == ([5, 8], [0, 5])  # [CLS] query : sky [SEP]
    documents = encoded(encoder, ["sky!", "sky ! sea moon !"])
    assert documents.vectors.lengths.tolist() == [4, 5]  # one of six tokens that are read is a mark
    assert documents.truncated.tolist() == [0, 2]
    unfilled = TokenEncoder(folders["encoder"], untrained=True)
    assert encoded(unfilled, ["sky"], "query").vectors.lengths.tolist() == [3]
    filled = TokenEncoder(folders["encoder"], untrained=True, expand_queries=True)
    assert encoded(filled, ["sky"], "query").vectors.lengths.tolist() == [32]


def test_a_prompt_of_a_sentence_encoder_is_kept(tmp_path):
    folder = str(tiny_encoder(tmp_path, prompts={"query": "query: ", "passage": "the "}))
    encoder = TokenEncoder(folder, untrained=True)
    assert encoded(encoder, ["sky"], "query").tokens.tolist() == [5]
    assert encoded(encoder, ["sky"]).tokens.tolist() == [4]


def test_a_model_without_a_transformer_has_no_states(folders, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folders["pylate"]).backend_tokenizer
    static = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
    static.save_pretrained(str(tmp_path))
    with pytest.raises(DataError, match=r"no states of tokens.*transformer"):
        encoded(TokenEncoder(str(tmp_path), untrained=True))


def test_what_was_trained_for_tokens_is_no_untrained_model_and_the_other_way_round(folders):
    with pytest.raises(DataError, match=r"no vectors of tokens.*untrained=True"):
        encoded(TokenEncoder(folders["encoder"]))
    with pytest.raises(UsageError, match="leave untrained=True out"):
        encoded(TokenEncoder(folders["pylate"], untrained=True))


# --- adapters --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapter(folders, tmp_path_factory):
    """One whose changes do something: their second matrices begin as zeros."""
    settings = TokenAdapterSettings(
        folders["encoder"],
        layout=TokenLayout(query_tokens=9, document_tokens=14),
        dimensions=8,
        reduction="C3x4",
        rank=2,
    )
    model = adapted(SentenceTransformer(folders["encoder"], device="cpu"), settings)
    torch.manual_seed(3)
    for one in trained(model).values():
        torch.nn.init.normal_(one, std=0.1)
    folder = tmp_path_factory.mktemp("adapter") / "adapter"
    save_adapter(model, folder, settings)
    return str(folder)


def test_an_adapter_is_read_with_its_backbone_its_layout_and_its_reduction(folders, adapter):
    peer = load_adapter(adapter, SentenceTransformer(folders["encoder"], device="cpu"))
    whole = encoded(TokenEncoder(adapter, reduction="none"))
    same(whole.vectors, peer.encode_document(TEXTS, convert_to_numpy=True))
    assert whole.truncated.tolist() == [0, 0, 0, 0, 28, 0, 0]
    for role in ("query", "document"):
        found = encoded(TokenEncoder(adapter), role=role).vectors
        same(found, encoded(TokenEncoder(adapter, reduction="C3x4"), role=role).vectors)
        assert found.lengths.max() == (3 if role == "query" else 4)
    changed = encoded(TokenEncoder(adapter, reduction="none", document_tokens=20))
    assert changed.truncated.tolist() == [0, 0, 0, 0, 22, 0, 0]
    with pytest.raises(UsageError, match="leave untrained=True out"):
        encoded(TokenEncoder(adapter, untrained=True))


def test_an_adapter_shares_the_weights_of_its_backbone_and_leaves_them_as_they_are(folders, adapter):
    dense, encoder = SentenceEncoder(folders["encoder"]), TokenEncoder(adapter)
    before = dense.encode(["sky"], role="document", session=SESSION).vectors
    model = encoder.load(SESSION).model
    backbone = dense.load(SESSION).model
    shared = {id(one) for one in backbone.parameters()}
    assert sum(id(one) in shared for one in model.parameters()) == len(shared)
    encoded(encoder)
    np.testing.assert_array_equal(dense.encode(["sky"], role="document", session=SESSION).vectors, before)


# --- a model's layout, changed ---------------------------------------------------------------------------------


def test_more_of_a_document_is_read_if_asked_for(folders):
    found = encoded(TokenEncoder(folders["stanford"], document_tokens=30), ["sky " * 30])
    assert (found.tokens.tolist(), found.truncated.tolist()) == ([30], [3])
    with pytest.raises(UsageError, match=r"many tokens.*up to 64"):
        encoded(TokenEncoder(folders["stanford"], document_tokens=65))


def test_queries_and_punctuation_as_asked_for(folders):
    folder = folders["stanford"]
    assert encoded(TokenEncoder(folder, query_tokens=5), ["sky"], "query").vectors.lengths.tolist() == [5]
    assert encoded(TokenEncoder(folder, expand_queries=False), ["sky"], "query").vectors.lengths.tolist() == [4]
    assert encoded(TokenEncoder(folder, skip_punctuation=False), ["sky!"]).vectors.lengths.tolist() == [5]
    assert encoded(TokenEncoder(folder, document_prefix=""), ["sky!"]).vectors.lengths.tolist() == [3]
    assert encoded(TokenEncoder(folder), ["sky!"]).vectors.lengths.tolist() == [4]  # the others changed no model


# --- texts without vectors -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A model whose tokenizer adds no special tokens."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    folder = tiny_encoder(tmp_path_factory.mktemp("bare")).parent / "bert"
    inner = Tokenizer.from_file(str(folder / "tokenizer.json"))
    settings = json.loads(inner.to_str())
    settings["post_processor"] = None
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(settings)), model_max_length=64, **names
    ).save_pretrained(folder)
    return str(folder)


def test_a_text_without_tokens_has_no_vectors(bare):
    encoder = TokenEncoder(bare, untrained=True)
    found = encoded(encoder, ["", "sky", "?!", "sky!"])
    assert found.vectors.lengths.tolist() == [0, 1, 0, 1]
    assert found.tokens.tolist() == [0, 1, 2, 2]
    assert encoded(encoder, [""]).vectors.lengths.tolist() == [0]
    for word in ("C2x2", "C50", "K2", "T2x2", "pool2"):
        reduced = encoded(TokenEncoder(bare, untrained=True, reduction=word), ["", "sky", "?!"])
        assert reduced.vectors.lengths.tolist() == [0, 1, 0]


def test_special_tokens_of_a_text_of_marks_have_vectors(folders):
    assert encoded(TokenEncoder(folders["stanford"]), ["", "?!"]).vectors.lengths.tolist() == [3, 3]


# --- reductions, numbers, settings -----------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["C2x3", "C50", "K2", "T2x3", "pool2"])
def test_a_reduction_is_applied_to_the_vectors_of_each_side(folders, word):
    for role in ("query", "document"):
        whole = encoded(TokenEncoder(folders["pylate"]), role=role).vectors
        found = encoded(TokenEncoder(folders["pylate"], reduction=word), role=role).vectors
        for vectors, fewer in zip(whole, found, strict=True):
            batch = torch.tensor(vectors)[None]
            expected, mask = reductions(word).of(role)(batch, torch.ones(batch.shape[:2], dtype=torch.bool))
            np.testing.assert_allclose(fewer, expected[mask].numpy(), atol=1e-5)


def test_a_model_says_which_reduction_it_was_trained_with(tmp_path):
    folder = tiny_colbert(tmp_path)
    whole = encoded(TokenEncoder(str(folder))).vectors
    (folder / "reduction.json").write_text(json.dumps({"reduction": "C2x3"}))
    assert encoded(TokenEncoder(str(folder))).vectors.lengths.max() == 3
    same(encoded(TokenEncoder(str(folder), reduction="none")).vectors, whole)
    (folder / "reduction.json").write_text("C2x3")
    with pytest.raises(DataError, match="reduction can not be read"):
        encoded(TokenEncoder(str(folder)))


@pytest.mark.parametrize(("name", "content"), [("config_sentence_transformers.json", "{"), ("config.json", "[]")])
def test_a_damaged_file_of_a_model_is_named(tmp_path, name, content):
    folder = tiny_stanford_colbert(tmp_path)
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=rf"file of the model can not be read.*{name}"):
        encoded(TokenEncoder(str(folder)))


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_bfloat16_is_close_and_of_length_one(folders, kind):
    session = Session(offline=True, device="cpu", dtype="bfloat16")
    exact, found = encoded(TokenEncoder(folders[kind])), encoded(TokenEncoder(folders[kind]), session=session)
    same(found.vectors, exact.vectors, atol=0.1)
    np.testing.assert_allclose(np.linalg.norm(found.vectors.vectors, axis=1), 1, atol=1e-6)
    named = TokenEncoder(folders[kind], precision="bfloat16")
    np.testing.assert_array_equal(encoded(named).vectors.vectors, found.vectors.vectors)
    assert named.precision_in(SESSION) == "bfloat16"
    assert TokenEncoder(folders[kind], precision="float32").precision_in(session) == "float32"


def test_settings_make_an_equal_encoder(folders):
    encoder = TokenEncoder(folders["pylate"], reduction="c2X3", document_tokens=15, precision="float32", batch_size=2)
    settings = encoder.settings()
    assert settings == {"reduction": "C2x3", "document_tokens": 15, "precision": "float32"}
    again = TokenEncoder(folders["pylate"], **settings)
    same(encoded(again).vectors, encoded(encoder).vectors)
    assert again.fingerprint() == encoder.fingerprint()
    others = [TokenEncoder(folders["pylate"], **settings | {name: value}) for name, value in (
        ("reduction", "C2x4"), ("document_tokens", 16), ("document_prefix", ""))]  # fmt: skip
    assert len({encoder.fingerprint(), *(one.fingerprint() for one in others)}) == 4
    assert TokenEncoder(folders["encoder"], untrained=True).settings() == {"untrained": True}


def loaded_layout(encoder):
    """The layout of a model as sentence-transformers has loaded it."""
    model = encoder.load(SESSION).model
    mask = next(module for module in model if hasattr(module, "skiplist_words"))
    expansion = model[0].query_expansion
    return {
        "query_tokens": model[0].query_length if expansion is None else expansion["length"],
        "document_tokens": model[0].document_length,
        "expand_queries": expansion is not None,
        "skip_punctuation": bool(mask.skiplist_words),
        "query_prefix": model.prompts["query"] or "",
        "document_prefix": model.prompts["document"] or "",
    }


@pytest.mark.parametrize("kind", ["plain", "stanford", "pylate"])
def test_naming_the_layout_that_a_checkpoint_has_changes_nothing(kind, folders, tmp_path):
    folder = folders.get(kind) or str(tiny_colbert(tmp_path, expand=False, skip=string.punctuation))
    own = TokenEncoder(folder)
    layout = loaded_layout(own)
    assert saved_layout(Path(folder)) == layout
    named = TokenEncoder(folder, **layout)
    assert named.fingerprint() == own.fingerprint()
    for role in ("query", "document"):
        same(encoded(named, role=role).vectors, encoded(own, role=role).vectors)
    changed = {name: not value if isinstance(value, bool) else value + value for name, value in layout.items()}
    for name, value in changed.items():
        if value != layout[name]:  # twice no prefix is none
            assert TokenEncoder(folder, **{name: value}).fingerprint() != own.fingerprint()


def test_what_the_files_do_not_say_is_not_made_up(folders, tmp_path):
    assert "skip_punctuation" not in saved_layout(Path(folders["sentence-transformers"]))  # some of it is skipped
    assert saved_layout(Path(folders["encoder"])) == {}
    folder = tiny_colbert(tmp_path)
    (folder / "modules.json").write_text("[{}]")
    with pytest.raises(DataError, match="list of modules can not be read"):
        saved_layout(folder)


def test_an_encoder_is_pickled_without_its_model(folders):
    encoder = TokenEncoder(folders["pylate"], reduction="C2x3")
    before = encoded(encoder).vectors
    again = pickle.loads(pickle.dumps(encoder))  # our own
    same(encoded(again).vectors, before)


@pytest.mark.parametrize(
    "wrong",
    [{"reduction": "C0x4"}, {"query_tokens": 0}, {"document_tokens": 1.5}, {"precision": "int8"}, {"batch_size": 0}],
)
def test_what_can_not_be_is_refused(wrong):
    with pytest.raises(UsageError):
        TokenEncoder("any", **wrong)


def test_stages_take_all_parameters_of_the_encoder_but_who_asks():
    from inspect import signature

    from rankloom.token_encoder import TokenEncoderOptions

    others = {"model", "batch_size", "stage"}
    assert set(TokenEncoderOptions.__annotations__) == set(signature(TokenEncoder).parameters) - others
