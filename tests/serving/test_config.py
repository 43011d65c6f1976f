"""What a server's file says, and what is refused of it."""

import pytest

from rankloom.errors import ConfigError
from rankloom.serving.config import Keys, ServeFile
from rankloom.serving.keys import KeyRing
from rankloom.serving.pipelines import ServedPipelines


def read(tmp_path, text):
    path = tmp_path / "serve.yaml"
    path.write_text(text)
    return ServeFile.read(path)


def test_loopback_is_the_default(tmp_path):
    config = read(tmp_path, "pipelines: {p: [bm25]}\ncollection: mini\n").config
    assert (config.host, config.keys, config.live) == ("127.0.0.1", None, False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pipelines: {p: [bm25]}\nhots: 1\n", r"serve.yaml:2: unknown key 'hots'; did you mean 'host'\?"),
        ("pipelines: {p: [bm25]}\nlimits: {q: 1}\n", r"serve.yaml:2: unknown key 'limits.q'; accepted: body_bytes"),
        ("pipelines: {p: [bm25]}\nhost: 0.0.0.0\n", r"serve.yaml:2: '0.0.0.0' is reached from other machines"),
        ("pipelines: {p: [bm25]}\nhost: '::'\n", r"'::' is reached from other machines"),
        ("pipelines: {p: [bm25]}\nhost: example.org\n", r"reached from other machines"),
        ("pipelines: {p: [bm25]}\nindex: a\ncollection: mini\n", r"serve.yaml:3: documents come from an `index` or"),
        ("pipelines: {p: [bm25]}\nlive: true\n", r"serve.yaml:2: only the documents of an `index` can change"),
        ("pipelines: {p: [bm25]}\nkeys: {}\n", r"serve.yaml:2: keys: keys are in an `environment` variable or in"),
        ("pipelines: {}\n", r"serve.yaml:1: pipelines"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, told):
    with pytest.raises(ConfigError, match=told):
        read(tmp_path, text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_no_keys(tmp_path, host):
    assert read(tmp_path, f"pipelines: {{p: [bm25]}}\nhost: '{host}'\n").config.host == host


def test_overrides_count_and_are_checked(tmp_path):
    path = tmp_path / "serve.yaml"
    path.write_text("pipelines: {p: [bm25]}\nport: 1\n")
    assert ServeFile.read(path, {"port": 2}).again().config.port == 2
    with pytest.raises(ConfigError, match="reached from other machines"):
        ServeFile.read(path, {"host": "0.0.0.0"})


def test_keys_come_from_the_environment_or_a_file(tmp_path, monkeypatch):
    file = read(tmp_path, "pipelines: {p: [bm25]}\n")
    monkeypatch.setenv("SOME_KEYS", "a-key-of-sixteen-characters, another-key-of-that-kind")
    ring = KeyRing.read(Keys(environment="SOME_KEYS"), file)
    assert ring.takes("a-key-of-sixteen-characters")
    assert ring.takes("another-key-of-that-kind")
    assert not ring.takes("a-key-of-sixteen-character")
    assert not ring.takes("")
    (tmp_path / "keys.txt").write_text("# keys\n\na-key-of-sixteen-characters\n")
    ring = KeyRing.read(Keys(file="keys.txt"), file)
    assert ring.takes("a-key-of-sixteen-characters")
    assert not ring.takes("# keys")


@pytest.mark.parametrize("keys", ["", " , ", "tiny", "a-key-of-sixteen-characters,tiny"])
def test_weak_keys_are_refused_and_not_shown(tmp_path, monkeypatch, keys):
    monkeypatch.setenv("SOME_KEYS", keys)
    with pytest.raises(ConfigError, match=r"there is no key|a key is too short") as caught:
        KeyRing.read(Keys(environment="SOME_KEYS"), read(tmp_path, "pipelines: {p: [bm25]}\n"))
    assert "tiny" not in str(caught.value)
    assert "a-key" not in str(caught.value)


def test_missing_keys_are_an_error(tmp_path, monkeypatch):
    monkeypatch.delenv("SOME_KEYS", raising=False)
    file = read(tmp_path, "pipelines: {p: [bm25]}\n")
    with pytest.raises(ConfigError, match="the environment variable with the keys is not set; got 'SOME_KEYS'"):
        KeyRing.read(Keys(environment="SOME_KEYS"), file)
    with pytest.raises(ConfigError, match=r"keys is not there; got 'keys\.txt'"):
        KeyRing.read(Keys(file="keys.txt"), file)


# --- pipelines ------------------------------------------------------------------------------------------------------


def searches(spec, **define):
    return ServedPipelines(define).searches(spec, at=("pipelines", "p"))


def test_a_pipeline_searches_if_it_begins_with_a_retriever():
    assert searches(["bm25", "lead", {"top": 3}], lead={"lead_pruner": 2})
    assert not searches(["lead", {"top": 3}], lead={"lead_pruner": 2})
    assert not searches([{"top": 3}])
    assert searches({"rrf": {"inputs": ["bm25", "dense"]}})


@pytest.mark.parametrize("spec", [["rm3"], ["bm25", "rm3"], ["bm25", "bm25"], ["no_such_stage"], []])
def test_pipelines_that_can_not_be_are_refused(spec):
    with pytest.raises(ConfigError):
        searches(spec)
