"""Names to folders, fingerprints of weights, sharing, and no socket when offline."""

import gc
import json
import shutil
import socket
import subprocess
import sys
import weakref

import pytest
from huggingface_hub import constants

from rankloom import Session
from rankloom.encoders import SentenceEncoder
from rankloom.errors import DataError, NotFoundError, UsageError
from rankloom.models import model_identity, resolve_device, resolve_model
from tests.tiny_models import tiny_cross_encoder, tiny_encoder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty Hugging Face cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to reach another machine fails the test."""

    def refuse(*arguments, **_):
        pytest.fail(f"opened a socket: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def into_hub_cache(hub_cache, model, repository, *, ref="main"):
    """Lay a model out as the Hugging Face cache does, large files as links to blobs named by their content."""
    import hashlib

    home = hub_cache / f"models--{repository.replace('/', '--')}"
    snapshot = home / "snapshots" / COMMIT
    shutil.copytree(model, snapshot)
    (home / "refs").mkdir()
    (home / "refs" / ref).write_text(COMMIT)
    (home / "blobs").mkdir()
    weights = snapshot / "model.safetensors"
    blob = home / "blobs" / hashlib.sha256(weights.read_bytes()).hexdigest()
    weights.rename(blob)
    weights.symlink_to(blob)
    return snapshot


def resolve(name, *, offline=True, **options):
    return resolve_model(name, offline=offline, stage="test", **options)


# --- where a model is found ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
@pytest.mark.usefixtures("hub_cache", "no_network")
def test_the_package_serves_its_names(name):
    found = resolve(name)
    assert found.path.name == "model"
    assert (found.path / "model.safetensors").is_file()
    assert found.fingerprint == resolve("all-MiniLM-L6-v2").fingerprint


@pytest.mark.usefixtures("hub_cache", "no_network")
def test_a_folder_comes_first(tiny, tmp_path, monkeypatch):
    shutil.copytree(tiny, tmp_path / "all-MiniLM-L6-v2")
    monkeypatch.chdir(tmp_path)
    assert resolve("all-MiniLM-L6-v2").fingerprint == resolve(str(tiny)).fingerprint


@pytest.mark.usefixtures("no_network")
def test_the_local_hub_cache_needs_no_network(tiny, hub_cache):
    snapshot = into_hub_cache(hub_cache, tiny, "someone/tiny")
    found = resolve("someone/tiny", offline=False)
    assert (found.path, found.revision) == (snapshot, COMMIT)
    assert resolve("tiny", organisation="someone").path == snapshot


@pytest.mark.usefixtures("no_network")
def test_a_revision_is_asked_for_behind_an_at_sign(tiny, hub_cache):
    into_hub_cache(hub_cache, tiny, "someone/tiny", ref="v2")
    assert resolve("someone/tiny@v2").revision == COMMIT
    assert resolve(f"someone/tiny@{COMMIT}").revision == COMMIT
    with pytest.raises(NotFoundError):
        resolve("someone/tiny@v3")


@pytest.mark.usefixtures("hub_cache", "no_network")
def test_a_revision_of_the_packaged_model_is_not_the_package():
    with pytest.raises(NotFoundError, match="without a revision"):
        resolve("all-MiniLM-L6-v2@main")


def test_an_interrupted_download_is_not_a_model(tiny, hub_cache):
    snapshot = into_hub_cache(hub_cache, tiny, "someone/tiny")
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(DataError, match="no safetensors weights"):
        resolve("someone/tiny")


@pytest.mark.usefixtures("hub_cache", "no_network")
def test_nowhere_to_be_found():
    with pytest.raises(NotFoundError, match=r"folder no/where, the local Hugging Face cache; .*offline=False"):
        resolve("no/where")
    assert model_identity("no/where", stage="test") == "not here: no/where"


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "~/no/such", "a/b/c", "two words", ""])
@pytest.mark.usefixtures("hub_cache", "no_network")
def test_a_path_is_not_sought_on_the_hub(name):
    if name:
        with pytest.raises(NotFoundError, match="check the path"):
            resolve(name, offline=False)
    else:
        with pytest.raises(DataError):  # the current folder
            resolve(name)


# --- what is a model -----------------------------------------------------------------------------------------


def test_pickled_weights_are_refused(tiny, tmp_path):
    copy = shutil.copytree(tiny, tmp_path / "copy")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(DataError, match="no safetensors weights"):
        resolve(str(copy))
    (copy / "2_Normalize").mkdir(exist_ok=True)
    shutil.copy(tiny / "model.safetensors", copy)
    (copy / "2_Normalize" / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(DataError, match="pickled"):
        resolve(str(copy))


def test_a_missing_shard_is_noticed(tiny, tmp_path):
    copy = shutil.copytree(tiny, tmp_path / "copy")
    shards = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(shards))
    with pytest.raises(DataError, match="lacks the weights model-00002"):
        resolve(str(copy))


def test_a_spoilt_configuration_is_an_error(tiny, tmp_path):
    copy = shutil.copytree(tiny, tmp_path / "copy")
    (copy / "modules.json").write_text("{")
    with pytest.raises(DataError, match="can not be read"):
        resolve(str(copy))


def test_code_that_comes_with_a_model_is_not_run(tiny, tmp_path):
    copy = shutil.copytree(tiny, tmp_path / "copy")
    modules = json.loads((copy / "modules.json").read_text())
    modules[1]["type"] = "evil.Pooling"
    (copy / "modules.json").write_text(json.dumps(modules))
    (copy / "evil.py").write_text("raise SystemExit('code of a model was run')")
    with pytest.raises(Exception, match="trust_remote_code"):
        SentenceEncoder(str(copy)).encode(["x"], role="query", session=Session(offline=True, device="cpu"))


# --- fingerprints --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_network")
def test_the_fingerprint_is_of_the_contents(tiny, hub_cache, tmp_path):
    original = resolve(str(tiny)).fingerprint
    copy = shutil.copytree(tiny, tmp_path / "elsewhere")
    assert resolve(str(copy)).fingerprint == original
    into_hub_cache(hub_cache, tiny, "someone/tiny")
    assert resolve("someone/tiny").fingerprint == original
    (copy / "README.md").write_text("another card")
    assert resolve(str(copy)).fingerprint == original


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "1_Pooling/config.json"])
def test_any_change_changes_the_fingerprint(tiny, tmp_path, name):
    copy = shutil.copytree(tiny, tmp_path / "copy")
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1  # also in the middle of the weights
    (copy / name).write_bytes(content)
    assert resolve(str(copy)).fingerprint != resolve(str(tiny)).fingerprint


# --- loading -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_network")
def test_loading_and_encoding_offline_opens_no_socket():
    encoded = SentenceEncoder().encode(["sky"], role="query", session=Session(offline=True, device="cpu"))
    assert encoded.vectors.shape == (1, 384)


def test_loading_shows_nothing(tiny, capfd):
    SentenceEncoder(str(tiny)).load(Session(offline=True, device="cpu", seed=3))
    assert capfd.readouterr() == ("", "")


def test_stages_share_one_copy(tiny):
    session = Session(offline=True, device="cpu")
    one, other = SentenceEncoder(str(tiny)), SentenceEncoder(str(tiny))
    loaded = one.load(session)
    assert other.load(session) is loaded
    half = Session(offline=True, device="cpu", dtype="bfloat16")
    assert other.load(half) is not loaded
    watched = weakref.ref(loaded.model)
    del loaded
    one.close()
    gc.collect()
    assert watched() is None  # nothing holds what no stage holds


def test_devices():
    assert resolve_device("cpu", stage="test") == "cpu"
    assert resolve_device("auto", stage="test") in ("cpu", "cuda", "mps")
    with pytest.raises(UsageError, match="unknown device"):
        resolve_device("abacus", stage="test")
    with pytest.raises(UsageError, match="no such device"):
        resolve_device("xla", stage="test")


def test_a_cross_encoder_is_a_model_too(tmp_path):
    assert resolve(str(tiny_cross_encoder(tmp_path / "ce"))).fingerprint


def test_importing_stages_with_models_imports_no_model_library():
    script = (
        "import sys; from rankloom.retrieval import Dense; from rankloom.rerank import CrossEncoder, BiEncoder;"
        "from rankloom.rerank import SentencePruner; import rankloom.models, rankloom.encoders;"
        "stages = CrossEncoder('x/y'), BiEncoder(), SentencePruner(); [stage.fingerprint() for stage in stages];"
        "bad = {'torch', 'transformers', 'sentence_transformers', 'faiss'} & set(sys.modules);"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("revision", [None, COMMIT])
@pytest.mark.usefixtures("no_network")
def test_the_model_of_a_peft_adapter_is_found_as_language_models_are(tiny, hub_cache, tmp_path, revision):
    into_hub_cache(hub_cache, tiny, "some/tiny-lm")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    told = {"base_model_name_or_path": "some/tiny-lm", "revision": revision}
    (adapter / "adapter_config.json").write_text(json.dumps(told))
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    found = resolve_model(str(adapter), offline=True, stage="test", organisation="")
    assert found.backbone.path.name == COMMIT
    assert found.backbone.name == ("some/tiny-lm" if revision is None else f"some/tiny-lm@{COMMIT}")
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "tiny-lm"}))
    with pytest.raises(NotFoundError, match="looked for: the folder tiny-lm;"):
        resolve_model(str(adapter), offline=True, stage="test", organisation="")
