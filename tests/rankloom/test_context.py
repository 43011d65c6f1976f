from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Document, Run
from rankloom.context import estimate_tokens
from rankloom.errors import CompositionError, UsageError
from rankloom.records import TITLE, Span
from rankloom.rerank import split_sentences
from tests.rankloom.stages_for_tests import TEXTS, Sentences, Words

WORDS = st.text("ab .,\n", max_size=20)
#: Counters whose count of a whole is not the sum over its parts, as that of real tokenizers.
COUNTERS = [
    None,
    len,
    lambda text: len(text.encode()) + 2,  # special tokens on every call
    lambda text: (len(text) + 3) // 4,
    lambda text: len(text) ** 2,
]


def hits_of(texts, titles=None):
    titles = titles or [""] * len(texts)
    documents = [Document(f"d{n}", text, title) for n, (text, title) in enumerate(zip(texts, titles, strict=True))]
    return next(iter(Run.from_documents("q", documents).values()))


def test_the_estimate_counts_words_and_marks():
    assert estimate_tokens("It's blue, isn't it?") == 10
    assert estimate_tokens(" \n") == 0


def test_passages_stand_in_rank_order_with_titles_and_numbers():
    context = hits_of(["First.", "Second."], ["One", ""]).context()
    assert context.text == "[1] One\nFirst.\n\n[2] Second."
    assert [(cited.number, cited.doc_id, cited.spans) for cited in context.citations] == [
        (1, "d0", ((0, 6),)),
        (2, "d1", ((0, 7),)),
    ]
    assert context.tokens == estimate_tokens(context.text)


def test_without_citations_there_are_no_marks():
    assert hits_of(["First.", "Second."]).context(cite=False).text == "First.\n\nSecond."


@given(st.lists(WORDS, max_size=5), st.integers(1, 60), st.sampled_from(COUNTERS), st.booleans())
@settings(deadline=None)
def test_the_budget_holds_for_the_whole_text(texts, budget, count, cite):
    context = hits_of(texts, ["title" if len(text) % 2 else "" for text in texts]).context(
        max_tokens=budget, count_tokens=count, cite=cite
    )
    counted = (count or estimate_tokens)(context.text)
    assert not context.citations or counted <= budget
    assert not context.citations or context.tokens == counted


@pytest.mark.parametrize("count", COUNTERS)
def test_the_budget_holds_for_what_joins_the_sentences(count):
    hits = (Words() >> Sentences(threshold=0.1)).search("blue sea moon", k=5)
    for budget in range(1, 160):
        context = hits.context(max_tokens=budget, count_tokens=count)
        assert not context.text or (count or estimate_tokens)(context.text) <= budget


@given(st.lists(WORDS, max_size=5), st.integers(1, 60))
@settings(deadline=None)
def test_every_hit_is_either_cited_or_left_out(texts, budget):
    hits = hits_of(texts)
    context = hits.context(max_tokens=budget)
    cited = [citation.doc_id for citation in context.citations]
    assert sorted(cited + list(context.left_out)) == sorted(hits.doc_ids)
    assert list(context.left_out) == [doc_id for doc_id in hits.doc_ids if doc_id in context.left_out]
    assert [citation.number for citation in context.citations] == list(range(1, len(cited) + 1))


def test_a_context_into_which_nothing_fits_is_told(caplog):
    assert hits_of(["one two three four five six"]).context(max_tokens=3).text == ""
    assert "no sentence of any hit fits into a context of 3 tokens" in caplog.text


def test_a_hit_that_is_too_long_makes_room_for_the_next():
    context = hits_of(["one two three four five six", "seven"]).context(max_tokens=5)
    assert context.text == "[1] seven"
    assert context.left_out == ("d0",)


def test_a_pruned_hit_gives_its_kept_sentences_as_far_as_they_fit():
    hits = (Words() >> Sentences(threshold=0.01)).search("moon sea tides", k=1)
    assert hits.doc_ids == ["d4"]
    whole = hits.context(max_tokens=100)
    assert whole.text == "[1] About d4\n" + TEXTS["d4"]
    part = hits.context(max_tokens=13)
    assert part.text == "[1] About d4\nTides follow the moon."
    assert part.citations[0].spans == ((0, 22),)


def marked(text, *probabilities, reasons=()):
    """A list of one hit whose sentences are all kept, with these probabilities and reasons."""
    told = zip(split_sentences(text), probabilities, reasons or [""] * len(probabilities), strict=True)
    spans = [Span(start, end, one, True, reason) for (start, end), one, reason in told]
    run = Run.from_documents("q", [Document("d", text)])
    return run.ranked(replace(run.ranking, spans=(tuple(spans),)))["q1"]


def test_of_a_hit_that_does_not_fit_the_most_probable_sentences_are_shown_in_text_order():
    hits = marked("Air is thin. Blue light scatters. Red does not. So it is.", 0.2, 0.9, 0.8, 0.7)
    assert hits.context(max_tokens=100).text.startswith("[1] Air is thin. Blue light")
    part = hits.context(max_tokens=3 + 4 + 4)
    assert part.text == "[1] Blue light scatters. Red does not."
    assert part.citations[0].spans == ((13, 33), (34, 47))
    assert hits.context(max_tokens=3 + 4).text == "[1] Blue light scatters."


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(1, 40), st.sampled_from(COUNTERS))
@settings(deadline=None)
def test_no_sentence_that_is_left_out_is_more_probable_and_would_have_fitted(probabilities, budget, count):
    text = " ".join(f"{'Word ' * (1 + place % 3)}{place}." for place in range(len(probabilities)))
    context = marked(text, *probabilities).context(max_tokens=budget, count_tokens=count)
    shown = [span for cited in context.citations for span in cited.spans]
    assert shown == sorted(shown)
    counted = count or estimate_tokens
    assert not shown or counted(context.text) <= budget
    assert context.shortened == (("d",) if 0 < len(shown) < len(probabilities) else ())
    by_place = dict(zip(split_sentences(text), probabilities, strict=True))
    in_turn = sorted(by_place, key=lambda span: (-by_place[span], span))
    last = max((in_turn.index(span) for span in shown), default=-1)
    for turn, span in enumerate(in_turn[:last]):  # one that is left out before others was too long when its turn came
        if span not in shown:
            taken = [one for one in in_turn[:turn] if one in shown]
            assert counted("[1] ") + sum(counted(text[slice(*one)]) for one in [*taken, span]) > budget


def test_a_hit_of_which_kept_sentences_did_not_fit_is_named():
    hits = marked("Air is thin. Blue light scatters. Red does not.", 0.2, 0.9, 0.8)
    assert hits.context(max_tokens=100).shortened == ()
    part = hits.context(max_tokens=3 + 4)
    assert (part.shortened, part.left_out) == (("d",), ())
    assert hits.context(max_tokens=3).shortened == ()  # nothing of it is there
    assert hits.context(max_tokens=3).left_out == ("d",)


@pytest.mark.parametrize("budget", range(1, 20))
def test_a_title_never_stands_alone(budget):
    hits = marked("Blue sky. Air scatters blue light a lot. Red.", 0.9, 0.8, 0.1, reasons=(TITLE, "", ""))
    shown = hits.context(max_tokens=budget).text
    assert shown != "[1] Blue sky."
    assert ("Blue sky." in shown) == (budget in (8, 9) or budget >= 15)  # with the shortest sentence, or with both
    assert marked("Blue sky. Red.", 0.9, 0.1).context(max_tokens=6).text == "[1] Blue sky."  # it is no title there


def test_lists_keep_their_lines():
    context = marked("Buy:\n- milk\n\n- eggs", 0.9, 0.9, 0.9).context()
    assert context.text == "[1] Buy:\n- milk\n- eggs"


@pytest.mark.parametrize("budget", [8, 12, 15, 20, 40])
def test_citations_resolve_to_exactly_what_is_shown(budget):
    hits = (Words() >> Sentences(threshold=0.3)).search("blue sea moon", k=5)
    context = hits.context(max_tokens=budget)
    passages = context.text.split("\n\n") if context.text else []
    assert len(passages) == len(context.citations)
    for passage, cited in zip(passages, context.citations, strict=True):
        shown = " ".join(TEXTS[cited.doc_id][start:end] for start, end in cited.spans)
        assert passage == f"[{cited.number}] About {cited.doc_id}\n{shown}"


def test_dropped_sentences_never_show():
    hits = (Words() >> Sentences(threshold=1.0)).search("blue sky", k=1)
    assert hits.context().text == "[1] About d1\nThe sky is blue."


def test_a_hit_with_no_kept_sentence_is_left_out():
    hits = (Words() >> Sentences(threshold=1.0)).search("blue moon", k=1)
    context = hits.context()
    assert (context.text, context.citations, context.left_out) == ("", (), tuple(hits.doc_ids))


def test_no_hits_give_an_empty_context():
    context = Words().search("zebra").context()
    assert (context.text, context.citations, context.tokens, context.left_out) == ("", (), 0, ())


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_that_is_not_positive_is_refused(budget):
    with pytest.raises(UsageError, match="positive"):
        hits_of(["x"]).context(max_tokens=budget)


def test_a_run_without_texts_has_no_context():
    with pytest.raises(CompositionError, match="texts"):
        Run.from_dict({"q": {"d": 1.0}})["q"].context()
