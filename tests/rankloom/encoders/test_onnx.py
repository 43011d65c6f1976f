"""Encoders on ONNX Runtime: the numbers of torch, files that are kept, and models that can not be exported."""

import logging
import threading
import warnings

import numpy as np
import pytest
import torch

from rankloom import Session
from rankloom.encoders import SentenceEncoder
from rankloom.errors import StageError, UsageError
from tests.tiny_models import tiny_config, tiny_encoder, tiny_tokenizer

TEXTS = ["why is the sky blue", "sea", "", "the tide is why the moon : bread", "sky " * 60, "天空", "blue sea"]


def session(cache=None):
    return Session(offline=True, device="cpu", cache=cache)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny_encoder(tmp_path_factory.mktemp("tiny"), prompts={"query": "query: "}))


def test_vectors_are_those_of_torch(folder):
    expected = SentenceEncoder(folder).encode(TEXTS, role="query", session=session())
    found = SentenceEncoder(folder, precision="onnx-float32").encode(TEXTS, role="query", session=session())
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-5)
    assert found.tokens.tolist() == expected.tokens.tolist()
    assert found.truncated.tolist() == expected.truncated.tolist()
    assert found.calls == expected.calls


@pytest.mark.slow
def test_vectors_of_a_real_model_are_those_of_torch_and_near_in_int8():
    texts = ["Tides follow the moon. " * 20, *TEXTS[:4]]
    expected = SentenceEncoder().encode(texts, role="document", session=session()).vectors
    found = SentenceEncoder(precision="onnx-float32").encode(texts, role="document", session=session()).vectors
    np.testing.assert_allclose(found, expected, atol=1e-4)
    small = SentenceEncoder(precision="onnx-int8").encode(texts, role="document", session=session())
    assert (np.einsum("ij,ij->i", small.vectors, expected) > 0.97).all()
    assert np.abs(small.vectors - expected).max() > 1e-4  # it is another precision indeed


@pytest.mark.parametrize("architecture", ["Roberta", "DistilBert"])
def test_other_architectures_that_auto_takes_are_exported(tmp_path, architecture):
    import transformers

    torch.manual_seed(5)
    sizes = {name: value for name, value in tiny_config().to_dict().items() if name in {"vocab_size", "hidden_size"}}
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 64}
    if architecture == "DistilBert":
        sizes, layers = {"vocab_size": 256, "dim": 32}, {"n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    config = getattr(transformers, f"{architecture}Config")(**sizes, **layers, initializer_range=0.3, pad_token_id=0)
    getattr(transformers, f"{architecture}Model")(config).save_pretrained(tmp_path)
    tiny_tokenizer(tmp_path, max_length=32)
    expected = SentenceEncoder(str(tmp_path)).encode(TEXTS, role="document", session=session()).vectors
    found = SentenceEncoder(str(tmp_path), precision="onnx-float32").encode(TEXTS, role="document", session=session())
    np.testing.assert_allclose(found.vectors, expected, atol=1e-5)


def test_in_int8_company_changes_nothing(folder):
    encoder = SentenceEncoder(folder, precision="onnx-int8")
    together = encoder.encode(TEXTS, role="document", session=session())
    assert together.calls == len(TEXTS)
    for text, vector in zip(TEXTS, together.vectors, strict=True):
        assert encoder.encode([text], role="document", session=session()).vectors[0].tobytes() == vector.tobytes()


def test_threads_change_no_bit(folder):
    encoder = SentenceEncoder(folder, precision="onnx-float32", batch_size=1)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(encoder.encode(TEXTS, role="document", session=session()).vectors.tobytes())
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_exports_that_overlap_leave_the_warnings_of_others_alone():
    import rankloom.encoders.onnx_export as module

    before, filters = logging.root.manager.disable, list(warnings.filters)
    inside, go = threading.Event(), threading.Event()

    def second():
        with module._quiet():
            inside.set()
            go.wait(30)

    other = threading.Thread(target=second)
    with module._quiet():
        other.start()
        assert not inside.wait(0.3)
    go.set()
    other.join(30)
    assert inside.is_set()
    assert logging.root.manager.disable == before
    assert warnings.filters == filters


def test_files_are_kept_in_the_cache_and_made_again_when_damaged(folder, tmp_path, monkeypatch, caplog):
    import rankloom.encoders.onnx_files as files

    exports = []

    def counted(*args, **options):
        exports.append(args)
        return export(*args, **options)

    export = files.export
    monkeypatch.setattr(files, "export", counted)

    def vectors():
        encoder = SentenceEncoder(folder, precision="onnx-int8")
        return encoder.encode(TEXTS, role="document", session=session(tmp_path / "cache")).vectors.tobytes()

    first = vectors()
    assert vectors() == first
    assert len(exports) == 1
    (kept,) = (tmp_path / "cache" / "indexes").glob("onnx-*/transformer-0.onnx")
    kept.write_bytes(kept.read_bytes()[:-10])
    assert vectors() == first
    assert len(exports) == 2
    assert "damaged" in caplog.text


def test_a_model_that_can_not_be_exported_says_what_runs_it(folder, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("Unsupported: aten::unheard_of")

    monkeypatch.setattr("torch.onnx.export", refuse)
    encoder = SentenceEncoder(folder, precision="onnx-float32", pooling="cls")  # not the loaded one of another test
    with pytest.raises(StageError, match=r'unheard_of.*precision="float32" runs it on torch'):
        encoder.load(session())


def test_an_export_with_other_numbers_is_refused(folder, monkeypatch):
    import rankloom.encoders.onnx_export as module

    monkeypatch.setattr(module, "_TOLERANCE", 1e-12)
    with pytest.raises(StageError, match="other numbers than torch"):
        SentenceEncoder(folder, precision="onnx-float32", pooling="max").load(session())


def test_a_model_without_a_transformer_has_nothing_to_export(tmp_path):
    import sentence_transformers
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models

    static = StaticEmbedding(Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")), embedding_dim=8)
    sentence_transformers.SentenceTransformer(modules=[static]).save_pretrained(str(tmp_path / "static"))
    with pytest.raises(StageError, match="no transformer to export"):
        SentenceEncoder(str(tmp_path / "static"), precision="onnx-int8").load(session())


def test_precisions_that_do_not_exist_are_refused():
    with pytest.raises(UsageError, match="did you mean 'onnx-int8'"):
        SentenceEncoder(precision="onnx-int4")
