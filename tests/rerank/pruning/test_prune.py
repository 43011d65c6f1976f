"""Pruning without a corpus: what is meant by what is given, order, and compression before any cut."""

import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import ScoreKind, Session
from rankloom.context import estimate_tokens
from rankloom.errors import DataError, UsageError
from rankloom.models import shared_model
from rankloom.rerank import Provence, SentencePruner, prune
from rankloom.rerank.pruning import SentenceStage
from tests.tiny_provence import tiny_provence

SESSION = Session(offline=True, device="cpu")
CONTEXTS = ["Bread needs yeast. The sky is blue.", "", "Light! Blue light.  Moon.", "The sea. The sky, why?", "Tide."]
QUESTION = "why is the sky blue"


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    """A stage whose threshold keeps some sentences and drops others."""
    folder, _ = tiny_provence(tmp_path_factory.mktemp("prune") / "model")
    stage = Provence(str(folder), threshold=0.5, rounding="probability")
    stage.warm_up(SESSION)
    probabilities = sorted(span.probability for one in asked(stage).contexts for span in one.spans)
    middle = stage.replace(threshold=(probabilities[3] + probabilities[4]) / 2)
    middle.warm_up(SESSION)
    return middle


def asked(by, contexts=CONTEXTS, **more):
    return prune(QUESTION, contexts, by=by, session=SESSION, **more)


def test_contexts_come_back_in_the_order_they_were_given(joint):
    found = asked(joint)
    assert [one.place for one in found.contexts] == list(range(len(CONTEXTS)))
    assert [one.context for one in found.contexts] == CONTEXTS
    assert found.score_kind == ScoreKind.LOGIT
    for one in found.contexts:
        sentences = [one.context[span.start : span.end] for span in one.spans if span.kept]
        assert one.text.split() == " ".join(sentences).split()
        whole = " ".join(one.context[span.start : span.end] for span in one.spans)
        assert one.compression == pytest.approx(1 - len(one.text) / len(whole) if whole else 0)
    assert {span.kept for one in found.contexts for span in one.spans} == {True, False}


def test_it_is_what_the_stage_gives(joint):
    from rankloom import Document, Run

    documents = [Document(f"d{place}", text) for place, text in enumerate(CONTEXTS)]
    hits = joint.run(Run.from_documents(QUESTION, documents), session=SESSION)["q1"]
    found = asked(joint, reorder=True)
    assert [f"d{one.place}" for one in found.contexts] == hits.doc_ids
    assert [one.text for one in found.contexts] == [hit.pruned_text for hit in hits]
    assert [one.score for one in found.contexts] == hits.scores == sorted(hits.scores, reverse=True)


def test_the_model_stays_loaded_between_calls_with_more_contexts_than_depth(tmp_path, monkeypatch):
    loads = []

    def counting(kind, found, session, load, **more):
        def counted(*given):
            loads.append(kind)
            return load(*given)

        return shared_model(kind, found, session, counted, **more)

    monkeypatch.setattr("rankloom.rerank.pruning.provence_model.shared_model", counting)
    stage = Provence(str(tiny_provence(tmp_path / "model")[0]), depth=2)
    for _ in range(3):
        asked(stage)
        gc.collect()
    assert loads == ["provence"]


def test_compression_is_that_of_all_contexts_whatever_is_left_out(joint):
    whole, best = asked(joint), asked(joint, reorder=True, top_k=2)
    assert len(best.contexts) == 2
    assert (best.compression, best.compression_tokens) == (whole.compression, whole.compression_tokens)
    left = [one.text for one in whole.contexts]
    sizes = [len(" ".join(context.split())) for context in CONTEXTS]
    assert whole.compression == pytest.approx(1 - len("".join(left)) / sum(sizes))
    tokens = sum(map(estimate_tokens, left)) / sum(map(estimate_tokens, CONTEXTS))
    assert whole.compression_tokens == pytest.approx(1 - tokens)
    assert asked(joint, count_tokens=len).compression_tokens == whole.compression


def test_sentences_may_be_given(joint):
    lists = [["Bread needs yeast. The sky", "is blue."], [], ["Light! Blue light.", "Moon."], ["Tide."], ["a", " "]]
    found = asked(joint, lists)
    for one, sentences in zip(found.contexts, lists, strict=True):
        assert one.context == " ".join(sentences).replace("a  ", "a ")
        assert [one.context[span.start : span.end] for span in one.spans] == [
            text for text in sentences if text.strip()
        ]
    assert found.contexts[2].score == pytest.approx(
        asked(joint, ["Light! Blue light. Moon."]).contexts[0].score, abs=1e-4
    )
    assert asked(joint, [["One.", "Two."], ["One.", "Two."]]).contexts[1].place == 1


def test_one_text_may_be_given_in_two_splits(joint, tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    for _ in range(2):  # the second from the cache
        found = prune(QUESTION, [["One. Two."], ["One.", "Two."]], by=joint, session=session)
        assert [len(one.spans) for one in found.contexts] == [1, 2]
        assert {one.context for one in found.contexts} == {"One. Two."}


def test_given_sentences_are_remembered_whatever_their_company(joint, tmp_path, monkeypatch):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    first = prune(QUESTION, [["Tide. The sky.", "Sea."], ["Moon."]], by=joint, session=session)
    monkeypatch.setattr(Provence, "judge", lambda *_: pytest.fail("it was read again"))
    again = prune(QUESTION, [["Tide. The sky.", "Sea."]], by=joint, session=session)
    assert again.contexts[0].spans == first.contexts[0].spans
    assert again.contexts[0].score == first.contexts[0].score


@pytest.mark.parametrize(
    ("sentences", "context"),
    [
        (["One.  ", "Two.  "], "One.  Two.  "),
        (["One.", "\nTwo."], "One.\nTwo."),
        (["\u5929\u5f88\u70ed\u3002", "\u4e3a\u4ec0\u4e48\uff1f"], "\u5929\u5f88\u70ed\u3002\u4e3a\u4ec0\u4e48\uff1f"),
        (["\ub369\ub2e4.", "\uc65c?"], "\ub369\ub2e4. \uc65c?"),
        (["", "One.", "", "Two."], "One. Two."),
    ],
)
def test_given_sentences_are_joined_as_they_are_or_by_a_space(joint, sentences, context):
    found = asked(joint.replace(threshold=0, rounding="probability"), [sentences])
    assert found.contexts[0].context == context
    assert all(span.kept for span in found.contexts[0].spans)
    assert (found.compression, found.compression_tokens, found.contexts[0].compression) == (0, 0, 0)


def test_of_equal_scores_the_earlier_context_comes_first(joint):
    found = asked(joint, ["Tide."] * 12, reorder=True)
    assert [one.place for one in found.contexts] == list(range(12))


def test_titles_are_read_and_are_no_part_of_the_result(joint):
    plain, titled = asked(joint), asked(joint, titles=["Sea", "", "", "", ""])
    assert titled.contexts[0].score != pytest.approx(plain.contexts[0].score, abs=1e-3)
    assert titled.contexts[0].context == CONTEXTS[0]
    assert titled.contexts[2:] == plain.contexts[2:]


def test_any_pruner_will_do_and_only_rerankers_give_scores(joint):
    found = asked(SentencePruner())
    assert found.contexts[0].text == "The sky is blue."
    assert {one.score for one in found.contexts} == {None}
    assert {one.score for one in asked(joint.replace(rerank=False)).contexts} == {None}
    only_scores = asked(joint.replace(prune=False))
    assert [one.text for one in only_scores.contexts] == CONTEXTS
    assert only_scores.compression == 0
    for by in (SentencePruner(), joint.replace(rerank=False)):
        with pytest.raises(UsageError, match="no scores to order by"):
            asked(by, reorder=True)


def test_nothing_kept_and_nothing_given_are_results(joint):
    nothing = asked(joint.replace(threshold=1.0))
    assert {one.text for one in nothing.contexts} == {""}
    assert (nothing.compression, nothing.compression_tokens) == (1.0, 1.0)
    assert {(note.kind, note.doc_id) for note in nothing.notes} == {("nothing_kept", str(place)) for place in range(5)}
    none = asked(joint, [])
    assert (none.contexts, none.compression, none.notes) == ((), 0.0, ())


def test_more_contexts_than_the_depth_are_all_pruned(joint):
    assert all(len(one.spans) == 1 for one in asked(joint.replace(depth=2), ["Tide."] * 5).contexts)


@pytest.mark.parametrize(
    ("question", "contexts", "more", "problem"),
    [
        (["why"], ["a"], {}, "a question is one string"),
        (" ", ["a"], {}, "a question is one string"),
        ("why", "a", {}, "contexts are a list"),
        ("why", {"a": "b"}, {}, "contexts are a list"),
        ("why", ["a", ["b"]], {}, "of another kind"),
        ("why", [["a", ["b"]]], {}, "of another kind"),
        ("why", [3], {}, "of another kind"),
        ("why", ["a"], {"titles": []}, "titles are a list"),
        ("why", ["a"], {"titles": "t"}, "titles are a list"),
        ("why", ["a"], {"top_k": 3}, "top_k is out of place"),
        ("why", ["a"], {"top_k": 0, "reorder": True}, "top_k is out of place"),
    ],
)
def test_what_could_mean_two_things_is_refused(question, contexts, more, problem):
    with pytest.raises(UsageError, match=problem):
        prune(question, contexts, by=SentencePruner(), session=SESSION, **more)


def test_errors_are_those_of_the_stage(joint):
    with pytest.raises(DataError, match="longer"):
        prune(QUESTION, ["light " * 90], by=joint, session=Session(offline=True, device="cpu", on_truncate="error"))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.text(max_size=20), max_size=4), max_size=3))
def test_given_sentences_of_any_kind_are_sliced(joint, lists):
    assert isinstance(joint, SentenceStage)
    for one, sentences in zip(asked(joint, lists).contexts, lists, strict=True):
        sliced = [one.context[span.start : span.end] for span in one.spans]
        assert sliced == [text.strip() for text in sentences if text.strip()]
