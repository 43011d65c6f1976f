import pytest

from rankloom import Session
from rankloom.cache import Cache
from rankloom.errors import UsageError


@pytest.fixture(autouse=True)
def no_offline_by_environment(monkeypatch):
    for name in ("RANKLOOM_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


def test_a_plain_session_remembers_nothing_and_may_use_the_network():
    session = Session()
    assert (session.cache, session.memo, session.offline) == (None, None, False)


def test_a_cache_is_a_folder_or_a_cache(tmp_path):
    assert Session(cache=str(tmp_path / "a")).cache.directory == tmp_path / "a"
    cache = Cache(tmp_path)
    assert Session(cache=cache).cache is cache


@pytest.mark.parametrize("name", ["RANKLOOM_OFFLINE", "HF_HUB_OFFLINE"])
@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_environment_can_forbid_the_network(monkeypatch, name, value, offline):
    monkeypatch.setenv(name, value)
    assert Session().offline is offline
    assert Session(offline=False).offline is False
    assert Session(offline=True).offline is True


@pytest.mark.parametrize(("option", "word"), [({"dtype": "float23"}, "float32"), ({"on_truncate": "eror"}, "error")])
def test_a_misspelt_option_names_the_nearest(option, word):
    with pytest.raises(UsageError, match=f"^Session: unknown .*did you mean '{word}'"):
        Session(**option)


def test_a_remembering_session_is_a_copy_with_a_memory_of_its_own():
    session = Session(seed=3, device="cpu")
    remembering = session.remembering()
    assert (remembering.memo, session.memo) == ({}, None)
    assert (remembering.seed, remembering.device) == (3, "cpu")
    assert remembering.remembering() is remembering
    assert session.remembering().memo is not remembering.memo


def test_numerics_are_what_changes_results():
    plain = Session().numerics()
    assert plain == Session(offline=True, device="cpu", on_truncate="error").numerics()
    assert plain != Session(seed=8).numerics()
    assert plain != Session(dtype="bfloat16").numerics()


def test_copies_share_the_budget_and_one_is_silent(tmp_path):
    from rankloom.budget import Budget
    from rankloom.progress import Silent

    class Loud(Silent):
        pass

    session = Session(cache=tmp_path, progress=Loud(), budget=Budget(calls=3))
    silent = session.remembering().silent()
    assert (silent.budget, silent.cache) == (session.budget, session.cache)
    assert silent.memo is not None
    assert type(silent.progress) is Silent
    assert type(session.progress) is Loud
