import numpy as np
import pytest

from rankloom.errors import DataError
from rankloom.records import Document, Query, as_queries


def test_contents_are_title_and_text():
    assert Document("d", "text", title="title").contents == "title text"
    assert Document("d", "text").contents == "text"


@pytest.mark.parametrize("bad", ["", None, 7])
def test_a_document_needs_an_id(bad):
    with pytest.raises(DataError, match="id"):
        Document(bad, "text")


@pytest.mark.parametrize("fields", [{"text": None}, {"text": "x", "title": 3}])
def test_texts_and_titles_are_strings(fields):
    with pytest.raises(DataError, match="strings"):
        Document("d", **fields)


@pytest.mark.parametrize("bad", ["", None, 7])
def test_a_query_needs_an_id(bad):
    with pytest.raises(DataError, match="id"):
        Query(bad, "text")


def test_a_querys_text_is_a_string():
    with pytest.raises(DataError, match="string"):
        Query("q", 3)


def test_records_do_not_change():
    for record in (Document("d", "text"), Query("q", "text")):
        with pytest.raises(AttributeError):
            record.text = "other"


def test_terms_and_vectors_of_a_query_do_not_change():
    query = Query("q", "text").with_terms({"a": 1}).with_vector("v", np.ones(2, np.float32))
    for mapping in (query.terms, query.vectors):
        with pytest.raises(TypeError):
            mapping["b"] = 2


def test_weights_become_plain_floats():
    weights = Query("q", "").with_terms({"a": np.float32(0.1), "b": 2}).terms
    assert {type(weight) for weight in weights.values()} == {float}
    assert weights["a"] == float(np.float32(0.1))


def test_a_new_vector_joins_the_old_ones():
    query = Query("q", "").with_vector("a", np.zeros(1)).with_vector("b", np.ones(1))
    assert list(query.vectors) == ["a", "b"]


@pytest.mark.parametrize(
    ("query", "blank"),
    [
        (Query("q", ""), True),
        (Query("q", " \n\t\u00a0"), True),
        (Query("q", "", {}), True),
        (Query("q", "a"), False),
        (Query("q", "", {"a": 1.0}), False),
        (Query("q", "", vectors={"v": np.ones(1)}), False),
    ],
)
def test_blank_means_nothing_to_search_for(query, blank):
    assert query.blank is blank


BASE = Query("q", "text", {"a": 1.0}, {"v": np.ones(2, np.float32)})


@pytest.mark.parametrize(
    "other",
    [
        Query("q", "other", BASE.terms, BASE.vectors),
        Query("q", "text", {"a": 1.5}, BASE.vectors),
        Query("q", "text", {"b": 1.0}, BASE.vectors),
        Query("q", "text", None, BASE.vectors),
        Query("q", "text", BASE.terms, {"w": BASE.vectors["v"]}),
        Query("q", "text", BASE.terms, {"v": np.zeros(2, np.float32)}),
        Query("q", "text", BASE.terms, {"v": np.ones(2)}),
        Query("q", "text", BASE.terms),
    ],
)
def test_the_fingerprint_changes_with_what_stages_read(other):
    assert other.fingerprint() != BASE.fingerprint()


def test_the_fingerprint_leaves_out_the_id_and_the_order_of_terms():
    assert Query("q1", "x", {"a": 1.0, "b": 2.0}).fingerprint() == Query("q2", "x", {"b": 2.0, "a": 1.0}).fingerprint()


SETTINGS = {"bm25": {"k1": 1.2}}


def test_settings_of_a_query_are_part_of_its_fingerprint_and_other_metadata_is_not():
    plain, told = Query("q", "x"), Query("q", "x", metadata={"stage_settings": SETTINGS})
    assert (dict(plain.settings("bm25")), dict(told.settings("bm25")), dict(told.settings("rm3"))) == (
        {},
        {"k1": 1.2},
        {},
    )
    assert plain.fingerprint() != told.fingerprint()
    assert plain.fingerprint() == Query("q", "x", metadata={"source": "log"}).fingerprint()


@pytest.mark.parametrize("wrong", [7, {"bm25": 7}, [], None])
def test_settings_that_can_not_be_read(wrong):
    with pytest.raises(DataError, match="stage_settings"):
        Query("q", "x", metadata={"stage_settings": wrong}).settings("bm25")


def test_half_a_surrogate_pair_in_a_query_has_a_fingerprint():
    assert Query("q", "\ud83d").fingerprint() != Query("q", "\ud83e").fingerprint()


def ids_and_texts(queries):
    return [(query.id, query.text) for query in as_queries(queries)]


def test_queries_from_what_users_hand_over():
    assert ids_and_texts("sky") == [("q1", "sky")]
    assert ids_and_texts(Query("x", "sky")) == [("x", "sky")]
    assert ids_and_texts(["sky", Query("x", "sea")]) == [("q1", "sky"), ("x", "sea")]
    assert ids_and_texts(text for text in ("sky", "sea")) == [("q1", "sky"), ("q2", "sea")]
    assert ids_and_texts({"a": "sky", 2: "sea"}) == [("a", "sky"), ("2", "sea")]
    assert ids_and_texts([]) == []


@pytest.mark.parametrize("bad", [5, None, [5], {"a": None}, b"sky"])
def test_what_is_no_query_is_refused(bad):
    with pytest.raises(DataError):
        as_queries(bad)


@pytest.mark.parametrize("bad", [[Query("a", "x"), Query("a", "y")], [Query("q2", "x"), "y"]])
def test_an_id_used_twice_is_refused(bad):
    with pytest.raises(DataError, match="same id"):
        as_queries(bad)
