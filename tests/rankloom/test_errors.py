import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import rankloom.errors
from rankloom.checks import between, choice, same_corpus, whole
from rankloom.corpus import MemoryDocuments
from rankloom.errors import (
    CompositionError,
    ConfigError,
    DamagedIndexError,
    DataError,
    MissingExtraError,
    NotFoundError,
    PartialResultError,
    RankloomError,
    StageError,
    UsageError,
    nearest,
)
from rankloom.records import Document


def test_a_message_names_stage_problem_value_what_is_accepted_and_the_fix():
    error = UsageError("k is out of range", stage="top", value=0, accepted="at least 1", fix="pass k=1")
    assert str(error) == "top: k is out of range; got 0; accepted: at least 1; fix: pass k=1"
    assert (error.stage, error.problem, error.accepted, error.fix) == (
        "top",
        "k is out of range",
        "at least 1",
        "pass k=1",
    )


def test_a_message_leaves_out_what_is_not_known():
    assert str(DataError("bad")) == "bad"
    assert str(DataError("bad", value=None)) == "bad; got None"


EXIT_CODES = {
    UsageError: 2,
    MissingExtraError: 3,
    NotFoundError: 4,
    DataError: 5,
    DamagedIndexError: 5,
    ConfigError: 5,
    CompositionError: 5,
    StageError: 6,
    PartialResultError: 7,
}


def test_every_error_has_its_exit_code():
    classes = [
        one for one in vars(rankloom.errors).values() if isinstance(one, type) and issubclass(one, RankloomError)
    ]
    assert {one: one.exit_code for one in classes if one is not RankloomError} == EXIT_CODES


def test_a_missing_extra_can_be_caught_as_an_import_error():
    assert issubclass(MissingExtraError, ImportError)


def test_errors_survive_a_process_boundary():
    error = StageError("broke", stage="ce", value=3, fix="mend it")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.stage, again.fix) == (StageError, str(error), "ce", "mend it")


def test_the_nearest_word_or_none():
    assert nearest("dosc", ["docs", "terms"]) == "docs"
    assert nearest("zzz", ["docs", "terms"]) is None


def test_a_choice_is_one_of_the_words():
    assert choice("b", ["a", "b"], stage="s", parameter="p") == "b"
    with pytest.raises(
        UsageError, match=r"^s: unknown p; got 'minmx'; accepted: none, minmax; fix: did you mean 'minmax'\?$"
    ):
        choice("minmx", ["none", "minmax"], stage="s", parameter="p")


@pytest.mark.parametrize("bad", [1, 2.0, "3", True, None])
def test_whole_numbers(bad):
    assert whole(2, least=2, stage="s", parameter="p") == 2
    assert type(whole(np.int64(2), least=2, stage="s", parameter="p")) is int
    with pytest.raises(UsageError, match=r"^s: p is out of range; got .*at least 2"):
        whole(bad, least=2, stage="s", parameter="p")


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan"), float("inf"), "0.5", None])
def test_numbers_in_a_range(bad):
    assert between(0, 0, 1, stage="s", parameter="p") == 0.0
    assert type(between(np.float32(0.5), 0, 1, stage="s", parameter="p")) is float
    with pytest.raises(UsageError, match=r"^s: p is out of range; got .*from 0 to 1"):
        between(bad, 0, 1, stage="s", parameter="p")


def test_nothing_in_the_package_raises_a_bare_exception():
    """Errors that users meet are ours; `TypeError` and the like are for programming errors only."""
    folder = Path(rankloom.errors.__file__).parent
    bare = [
        f"{path.name}: {found}"
        for path in folder.rglob("*.py")
        for found in re.findall(
            r"raise (?:Exception|RuntimeError|ValueError|OSError|AssertionError)\b.*", path.read_text()
        )
    ]
    assert bare == []


def test_documents_that_an_index_was_not_made_from():
    documents = MemoryDocuments([Document("d1", "sky")])
    same_corpus(None, "abc", stage="bm25")
    same_corpus(documents, "", stage="bm25")  # the index does not tell
    same_corpus(documents, documents.fingerprint(), stage="bm25")
    with pytest.raises(UsageError, match=r"bm25: the index was made from another corpus.*fix: pass the corpus="):
        same_corpus(documents, "abc", stage="bm25")
