"""What every pruner promises, whatever text, splitter and block: sentences with offsets that are safe to cite.

A new pruner goes into `MADE`; a test tells if one has been forgotten.
"""

from functools import partial
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankloom import Document, Run, Session
from rankloom.kept_text import kept_text
from rankloom.registry import stage_class, stage_words
from rankloom.rerank import prune
from rankloom.rerank.pruning import SPLITTERS, SentenceStage, Splitter
from rankloom.stage import Pruner, Reranker
from tests.rerank.pruning.citers import Citer, truth
from tests.tiny_models import tiny_cross_encoder, tiny_encoder
from tests.tiny_provence import tiny_joint_adapter, tiny_open_provence, tiny_provence

SESSION = Session(offline=True, device="cpu")
QUESTION = "why is the sky blue"

#: Name -> the word of a pruner, and what makes one: given a folder, keyword parameters and where a block ends.
MADE = {
    "provence": ("provence", lambda made, folder, **more: made(str(tiny_provence(folder / "m")[0]), **more)),
    "xprovence": (
        "provence",
        lambda made, folder, **more: made(str(tiny_provence(folder / "m", multilingual=True)[0]), **more),
    ),
    "open provence": ("provence", lambda made, folder, **more: made(str(tiny_open_provence(folder / "m")[0]), **more)),
    "adapter": (
        "provence",
        lambda made, folder, **more: made(str(tiny_joint_adapter(folder, below_last=True)[0]), **more),
    ),
    "sentence_pruner": ("sentence_pruner", lambda made, folder, **more: made(str(tiny_encoder(folder)), **more)),
    "sentence_cross_encoder": (
        "sentence_cross_encoder",
        lambda made, folder, **more: made(str(tiny_cross_encoder(folder / "m")), **more),
    ),
    "citation_pruner": ("citation_pruner", lambda made, _, **more: made(Citer(says=truth), **more)),
    "lead_pruner": ("lead_pruner", lambda made, _, **more: made(2, **more)),
    "oracle_pruner": ("oracle_pruner", lambda made, _, **more: made({}, **more)),
}
#: Parameter -> smallest and largest value, of pruners that read long texts in blocks.
BLOCKS = {"max_tokens": (8, 64), "block_words": (1, 20)}

CUTS = [
    *SPLITTERS.values(),
    Splitter("letters", list),
    Splitter("words", str.split),
    Splitter("whole", lambda text: [text]),
    Splitter("second half", lambda text: [text[len(text) // 2 :]]),
]
TEXT = st.one_of(
    st.text(max_size=60),  # of anything but halves of surrogate pairs, which no document may hold
    st.text("aé.\n ؟。\u200f\u0301\t|- sky", max_size=80),
)
TEXTS = {
    "empty": "",
    "blank": " \u3000\n\t ",
    "one sentence": "The sky is blue.",
    "no end": "the sky is blue",
    "right to left": "\u202b\u05dc\u05de\u05d4 \u05d4\u05e9\u05de\u05d9\u05dd? "
    "\u0627\u0644\u0633\u0645\u0627\u0621\u061f \u0646\u0639\u0645.\u202c",
    "no spaces": "\u5929\u5f88\u70ed\u3002\u4e3a\u4ec0\u4e48\uff1f\u5929\u662f\u84dd\u8272\u7684\u3002",
    "joined signs": "Sky \U0001f469\u200d\U0001f469\u200d\U0001f467! cafe\u0301.",
}


@pytest.fixture(scope="module", params=MADE)
def pruner(request, tmp_path_factory):
    """A function that makes the pruner, with parameters; its model stays loaded."""
    word, make = MADE[request.param]
    folder = tmp_path_factory.mktemp("pruner")
    first = make(stage_class(word), folder)
    first.warm_up(SESSION)
    yield partial(_changed, first)
    first.close()


def _changed(first, text="", **parameters):
    """A pruner with those of the parameters that it has; for the oracle, half of the first text is relevant."""
    known, parameters["sentences"] = first.params(), {"q1": {"d0": [(0, len(text) // 2)]}}
    if isinstance(known.get("title"), bool):
        parameters["title"] = parameters.get("title") == "document"
    return first.replace(**{name: value for name, value in parameters.items() if name in known})


def test_no_pruner_is_forgotten():
    words = {word for word in stage_words() if issubclass(stage_class(word), Pruner | SentenceStage)}
    pruners = {word for word in words if "spans" in stage_class(word).provides}
    assert pruners == {word for word, _ in MADE.values()}


def pruned(stage, *texts):
    documents = [Document(f"d{place}", text, title="The sea" * (place % 2)) for place, text in enumerate(texts)]
    before = Run.from_documents(QUESTION, documents, session=SESSION)
    return before, stage.run(before)


def check(stage, splitter, *texts):
    """Everything that is promised of a run."""
    before, after = pruned(stage, *texts)
    if not isinstance(stage, Reranker):
        assert after.to_dict() == before.to_dict()
    assert sorted(after["q1"].doc_ids) == sorted(before["q1"].doc_ids)
    empty = {note.doc_id for note in after.ledger.notes if note.kind == "nothing_kept"}
    for hit in after["q1"]:
        check_spans(hit.text, hit.spans, splitter)
        kept = [(span.start, span.end) for span in hit.spans if span.kept]
        assert hit.pruned_text == kept_text(hit.text, kept)
        assert (hit.doc_id in empty) == (not kept) == (not hit.pruned_text)
    check_citations(after)


def check_spans(text, spans, splitter):
    """Offsets are those of the sentences; these and the spaces between them are the text."""
    assert [(span.start, span.end) for span in spans] == splitter(text)
    assert all(0 <= span.probability <= 1 and span.reason for span in spans)
    assert all(text[span.start : span.end].strip() == text[span.start : span.end] != "" for span in spans)
    ends = [0, *(place for span in spans for place in (span.start, span.end)), len(text)]
    assert all(one <= other for one, other in pairwise(ends))
    assert not "".join(text[one:other] for one, other in zip(ends[::2], ends[1::2], strict=True)).strip()
    assert "".join(text[one:other] for one, other in pairwise(ends)) == text


def check_citations(run):
    """What is shown of a hit is what its citation's offsets give, and nothing that was dropped."""
    for budget in (12, 10**9):
        context = run["q1"].context(max_tokens=budget)
        hits = {hit.doc_id: hit for hit in run["q1"]}
        assert {cited.doc_id for cited in context.citations} | set(context.left_out) == set(hits)
        for cited in context.citations:
            hit = hits[cited.doc_id]
            assert set(cited.spans) <= {(span.start, span.end) for span in hit.spans if span.kept}
            assert f"[{cited.number}] " in context.text
            assert cited.text == kept_text(hit.text, cited.spans)
            assert cited.text in context.text
            whole = len(cited.spans) == sum(span.kept for span in hit.spans)
            assert (cited.doc_id in context.shortened) == (not whole)
        if budget > 12:
            assert context.shortened == ()
            assert set(context.left_out) == {doc_id for doc_id, hit in hits.items() if not hit.pruned_text}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(TEXT, min_size=1, max_size=2),
    st.sampled_from(CUTS),
    st.fixed_dictionaries(
        {
            **{name: st.integers(*ends) for name, ends in BLOCKS.items()},
            "threshold": st.sampled_from([0.0, 0.3, 0.5, 1.0]),
            "title": st.sampled_from(["document", "first_sentence", "ignore"]),
            "best": st.sampled_from([None, None, 1]),
            "keep_at_least": st.sampled_from([0, 0, 1]),
        }
    ),
)
def test_spans_slice_back_to_any_text_at_any_cut_and_block(pruner, texts, splitter, choice):
    check(pruner(texts[0], splitter=splitter, **choice), splitter, *texts)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_texts_of_every_kind(pruner, text):
    for splitter in SPLITTERS.values():
        check(pruner(text, splitter=splitter, threshold=0.5), splitter, text, text)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["The sky is blue. Why not? ", "light ", "\u0646\u0639\u0645 \u0644\u0627. "])
def test_a_hundred_thousand_characters(pruner, unit):
    text = (unit * (100_000 // len(unit) + 1))[:100_000]
    check(pruner(text, threshold=0.5), SPLITTERS["syntok"], text)


def test_nothing_kept_is_a_result_of_prune_too(pruner):
    stage = pruner(threshold=1.0)
    if isinstance(stage, SentenceStage):
        found = prune(QUESTION, ["", " "], by=stage, session=SESSION)
        assert [(one.text, one.spans, one.compression) for one in found.contexts] == [("", (), 0.0)] * 2
        assert {note.kind for note in found.notes} == {"nothing_kept"}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.text(max_size=12), max_size=4), max_size=3))
def test_given_sentences_of_any_kind_stay_as_they_are(pruner, lists):
    stage = pruner(threshold=0.5)
    if isinstance(stage, SentenceStage):
        for one, sentences in zip(prune(QUESTION, lists, by=stage, session=SESSION).contexts, lists, strict=True):
            sliced = [one.context[span.start : span.end] for span in one.spans]
            assert sliced == [text.strip() for text in sentences if text.strip()]
            assert one.text == kept_text(one.context, [(span.start, span.end) for span in one.spans if span.kept])
