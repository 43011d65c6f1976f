"""Pruning by citations: prompts to the letter, what answers mean, and backends that babble, die and are recorded."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Document, Run, Session
from rankloom.budget import Budget
from rankloom.config import PipelineBuilder
from rankloom.errors import DataError, NotFoundError, StageError, UsageError
from rankloom.language_models import Local, OpenAICompatible, Recorder, Replay
from rankloom.rerank import CitationPruner, split_sentences
from rankloom.testing import StageConformance
from tests.chat_server import ChatServer, Misbehaviour
from tests.rerank.pruning.citers import DOCUMENTS, SESSION, Citer, candidates, shown, truth
from tests.tiny_models import tiny_causal

CONTEXT = "[0] On skies [1] Air scatters the light of the sky. [2] Bread needs yeast. [3] At dusk the sky is red."
ANSWER = (
    "Answer the question from the context alone. After each fact, cite every sentence of the context that it comes "
    "from by its number in brackets, such as [0] for sentence 0; leave out none that you have used. Add nothing that "
    'the question does not ask for. If the context holds nothing that helps to answer it, say "No answer" and nothing '
    "else."
)
RELEVANT = (
    "Sum up what the context says that is relevant to the question, fully or in part. After each fact, cite every "
    "sentence of the context that it comes from by its number in brackets, such as [0] for sentence 0; leave out none "
    'that is relevant. If nothing in the context is relevant to the question, say "No answer" and nothing else.'
)
STRAIGHTFORWARD = (
    "Which sentences of the context hold an answer to the question? Say only their numbers in brackets, such as "
    '[0, 5] for sentences 0 and 5. If none of them does, say "No answer" and nothing else.'
)
SHIPPED = {"answer": ANSWER, "relevant": RELEVANT, "straightforward": STRAIGHTFORWARD}


def about(text, title=""):
    """A run of one hit."""
    return Run.from_documents("sky", [Document("d", text, title)])


def one(says, text="The sky. The sea. The moon.", title="", **parameters):
    """The one hit of a pruned run, what is noted, and what was asked; `says` is an output, or a function."""
    model = Citer(says=says if callable(says) else lambda _: says, cut=parameters.pop("cut", False))
    run = CitationPruner(model, **parameters).run(
        Run.from_documents("sky", [Document("d", text, title)]), session=SESSION
    )
    return run["q1"][0], [(note.kind, note.amount, note.detail) for note in run.ledger.notes], model.prompts


# --- prompts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_prompts_to_the_letter(name):
    model = Citer()
    CitationPruner(model, prompt=name).run(candidates(documents=DOCUMENTS[:1]))
    assert model.prompts[0].text == f"Question: why is the sky blue\n\nContext:\n{CONTEXT}\n\n{SHIPPED[name]}"
    assert model.prompts[0].system == ""


def test_every_prompt_that_ships_is_tested_here():
    folder = Path(__file__).parents[3] / "rerank" / "pruning" / "prompts"
    assert {path.name for path in folder.iterdir()} == {f"citation_pruner_{name}.txt" for name in SHIPPED}


def test_a_prompt_of_your_own(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("Be brief.\n---\n{query}?\n{sentences}\n")
    model = Citer(says=lambda _: "[0]")
    stage = CitationPruner(model, prompt=str(path))
    stage.run(Run.from_documents("sky", [Document("d", "The {query}. The sea.")]), session=SESSION)
    assert (model.prompts[0].system, model.prompts[0].text) == ("Be brief.", "sky?\n[0] The {query}. [1] The sea.")
    path.write_text("{query}: {sentences}\n")
    assert CitationPruner(model, prompt=str(path)).fingerprint() != stage.fingerprint()
    path.write_text("{query}: {context}\n")
    with pytest.raises(
        DataError, match=r"citation_pruner.*gaps \{context\}, \{query\}.*exactly \{query\}, \{sentences\}"
    ):
        CitationPruner(model, prompt=str(path))
    with pytest.raises(NotFoundError, match=r"citation_pruner.*did you mean 'relevant'"):
        CitationPruner(model, prompt="relevnt")


# --- what answers mean -------------------------------------------------------------------------------------------


def test_cited_sentences_are_kept_and_the_others_dropped():
    run = CitationPruner(Citer()).run(candidates())
    kept = ["Air scatters the light of the sky. At dusk the sky is red.", "", "", "The sky."]
    assert [[hit.pruned_text for hit in hits] for hits in run.values()] == [kept, kept]
    assert [(span.probability, span.reason) for span in run["q1"][0].spans] == [
        (1, "cited"), (0, "not cited"), (1, "cited"),
    ]  # fmt: skip
    assert run.to_dict() == candidates().to_dict()
    assert {(note.kind, note.doc_id) for note in run.ledger.notes} == {("nothing_kept", "d2"), ("nothing_kept", "d3")}
    cost = run.ledger.costs[-1]
    assert (cost.calls, cost.inputs, cost.model) == (6, 8, "citer")  # nothing is asked about a text without sentences
    assert 0 < cost.written < cost.tokens


@pytest.mark.parametrize("said", ["The sky is blue.", "[7]", "", "<think>[0] or [1]"])
def test_what_can_not_be_read_keeps_everything_and_is_noted(said):
    hit, notes, _ = one(said)
    assert hit.pruned_text == "The sky. The sea. The moon."
    assert {(span.probability, span.reason) for span in hit.spans} == {(0.5, "answer unreadable")}
    kind = "unparsed_output" if said[:1] not in ("", "<") else "empty_output"
    assert (kind, 1, f"{repr(said) if said else 'nothing'}; the sentences are kept") in notes
    assert all(other in (kind, "repaired_output") for other, _, _ in notes)


def test_repairs_are_counted():
    hit, notes, _ = one("So it is [0][8], and so [1, 9].")
    assert hit.pruned_text == "The sky. The sea."
    assert notes == [("repaired_output", 2, "2 unknown")]
    hit, notes, _ = one("No answer [0][1][7].")
    assert hit.pruned_text == ""
    assert ("repaired_output", 3, "1 unknown, 2 overruled") in notes


def test_an_answer_that_was_cut_is_noted():
    hit, notes, _ = one("It is so [2] because of", cut=True)
    assert (hit.pruned_text, notes) == ("The moon.", [("cut_output", 6, "")])


def test_the_title_is_shown_first_and_kept_by_nobody():
    hit, notes, prompts = one("[0]", title="On the sky")
    assert "Context:\n[0] On the sky [1] The sky. [2] The sea." in prompts[0].text
    assert hit.pruned_text == ""
    assert [kind for kind, _, _ in notes] == ["nothing_kept"]
    hit, _, _ = one("[0][2]", title="On the sky")
    assert hit.pruned_text == "The sea."


def test_below_the_depth_documents_stay_whole():
    model = Citer()
    run = CitationPruner(model, depth=1).run(candidates())
    assert [[hit.spans is None for hit in hits] for hits in run.values()] == [[False, True, True, True]] * 2
    assert len(model.prompts) == 2


# --- long documents ----------------------------------------------------------------------------------------------

LONG = " ".join(f"Line {number} is about the {'sky' if number % 5 == 0 else 'sea'}." for number in range(60))


WORDS = st.lists(st.sampled_from(["sky", "sea", "a"]), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["sky", "sea", "a"]), min_size=1, max_size=12), max_size=12), st.integers(1, 15)
)
def test_blocks_show_every_sentence_once_and_no_more_words_than_asked_for(sentences, words):
    text = "\n".join(" ".join(one) for one in sentences)
    model = Citer()
    stage = CitationPruner(model, block_words=words, splitter="lines")
    run = stage.run(Run.from_documents("q", [Document("d", text)]), session=SESSION)
    asked = [shown(prompt.text) for prompt in model.prompts]
    cut = [" ".join(one[:words]) for one in sentences]
    assert {tuple(block) for block in asked} == {tuple(block) for block in _blocks(cut, words)}
    assert all(sum(len(sentence.split()) for sentence in block) <= words for block in asked)
    kept = [text[span.start : span.end] for span in run["q1"][0].spans if span.kept]
    assert kept == [" ".join(one) for one in sentences if "sky" in one[:words]]
    lost = sum(max(0, len(one) - words) for one in sentences)
    assert sum(note.amount for note in run.ledger.of("truncated")) == lost


def _blocks(sentences, words):
    """Sentence after sentence, as long as it fits."""
    blocks = []
    for sentence in sentences:
        if blocks and sum(len(one.split()) for one in blocks[-1]) + len(sentence.split()) <= words:
            blocks[-1].append(sentence)
        else:
            blocks.append([sentence])
    return blocks


@pytest.mark.parametrize("reads", [300, 500, 4000])
def test_blocks_fit_what_the_model_reads(reads):
    model = Citer(reads=reads)
    stage = CitationPruner(model, max_tokens=20)
    run = stage.run(about(LONG, "Lines"), session=SESSION)
    sizes = model.prompt_tokens(model.prompts, SESSION)
    assert max(sizes) <= reads - 20
    assert (len(sizes) > 1) == (reads < 4000)
    assert sum(len(shown(prompt.text)) - 1 for prompt in model.prompts) == 60
    assert [span.kept for span in run["q1"][0].spans] == [number % 5 == 0 for number in range(60)]
    assert not run.ledger.notes


def test_a_query_without_room_is_refused_before_anything_is_asked():
    model = Citer(reads=400)
    run = candidates(queries={"q1": "sky", "long": "why " * 500})
    with pytest.raises(DataError, match=r"citation_pruner.*'long'.*nothing has been asked"):
        CitationPruner(model).run(run)
    assert not model.prompts


def test_an_answer_that_can_not_be_read_keeps_its_block_alone():
    hit, notes, prompts = one(
        lambda text: truth(text) if "Line 0" in text else "Hm.", LONG, block_words=30, prompt="straightforward"
    )
    first = len(shown(prompts[0].text))
    assert [span.probability for span in hit.spans[:first]] == [1] + [0] * (first - 1)
    assert {span.probability for span in hit.spans[first:]} == {0.5}
    assert notes == [("unparsed_output", len(prompts) - 1, "'Hm.'; the sentences are kept")]


# --- what is paid for --------------------------------------------------------------------------------------------


def test_a_second_run_asks_nothing_and_says_the_same(tmp_path):
    session = Session(offline=True, cache=tmp_path)
    model = Citer(says=lambda text: "Hm [9]." if "Tides" in text else truth(text), reads=4000)
    first = CitationPruner(model).run(candidates(session))
    asked = len(model.prompts)
    again = CitationPruner(model).run(candidates(session))
    deeper = CitationPruner(model, depth=3).run(candidates(session))
    assert len(model.prompts) == asked
    assert again.ranking.fingerprint() == first.ranking.fingerprint()
    assert again.ledger.notes == first.ledger.notes != ()
    assert deeper.ledger.by_stage()["citation_pruner"].cached == 6


def test_an_answer_without_text_is_asked_for_again(tmp_path):
    session = Session(offline=True, cache=tmp_path)
    model = Citer(says=lambda _: "")
    run = CitationPruner(model).run(candidates(session, DOCUMENTS[:1]))
    assert run.ledger.of("empty_output")
    model.says = truth
    again = CitationPruner(model).run(candidates(session, DOCUMENTS[:1]))
    assert not again.ledger.of("empty_output")
    assert again["q1"][0].pruned_text.startswith("Air")


def test_drawn_answers_depend_on_the_seed(tmp_path):
    model = Citer(greedy=False)
    for seed in (0, 0, 1):
        session = Session(offline=True, cache=tmp_path, seed=seed)
        CitationPruner(model).run(candidates(session, DOCUMENTS[:1]))
    assert len(model.prompts) == 4  # two queries, for each of two seeds


def test_a_budget_prunes_the_first_hits_and_a_larger_one_goes_on(tmp_path):
    budget = Budget(calls=4)
    session = Session(offline=True, cache=tmp_path, budget=budget)
    model = Citer()
    run = CitationPruner(model).run(candidates(session))
    assert len(model.prompts) == budget.spent["calls"] == 4
    assert [[hit.spans is None for hit in hits] for hits in run.values()] == [[False] * 4, [False, True, True, True]]
    (note,) = run.ledger.of("unfinished")
    assert (note.query_id, note.detail) == ("q2", "the budget of 4 calls is spent; its first 1 hits are done")
    more = CitationPruner(model).run(candidates(Session(offline=True, cache=tmp_path, budget=Budget(calls=4))))
    assert len(model.prompts) == 6
    assert not more.ledger.of("unfinished")


def test_a_document_in_blocks_is_asked_about_wholly_or_not_at_all():
    model = Citer()
    session = Session(offline=True, budget=Budget(calls=5))
    run = CitationPruner(model, block_words=100).run(about(LONG), session=session)
    parts = len(model.prompts)
    assert parts == 4
    model = Citer()
    session = Session(offline=True, budget=Budget(calls=parts - 1))
    run = CitationPruner(model, block_words=100).run(about(LONG), session=session)
    assert (model.prompts, run["q1"][0].spans) == ([], None)
    assert run.ledger.of("unfinished")


def test_money_without_a_price_is_refused():
    session = Session(offline=True, budget=Budget(money=1, prices={"another": _Price()}))
    with pytest.raises(UsageError, match=r"citation_pruner.*nobody says what the model costs"):
        CitationPruner(Citer()).run(candidates(session))


class _Price:
    def of(self, cost):
        return float(cost.calls)


# --- backends ----------------------------------------------------------------------------------------------------


@pytest.fixture
def server():
    found = ChatServer()
    found.says = lambda body: truth(body["messages"][-1]["content"])
    yield found
    found.close()


def test_what_was_paid_before_the_server_died_is_not_paid_again(server, tmp_path):
    session = Session(offline=True, cache=tmp_path)
    server.script = [None] * 3 + [Misbehaviour(dies=True)] * 40
    asked = OpenAICompatible("tiny", url=server.url, retries=0, concurrency=1)
    with pytest.raises(StageError):
        CitationPruner(asked).run(candidates(session))
    server.script = []
    run = CitationPruner(asked).run(candidates(session))
    assert run.ranking.fingerprint() == CitationPruner(Citer()).run(candidates()).ranking.fingerprint()
    paid = server.paid("tiny")
    assert len(paid) == len(set(paid)) == 6
    assert run.ledger.by_stage()["citation_pruner"].calls == 3


def test_a_recording_gives_the_same_spans_without_a_model(server, tmp_path):
    path = str(tmp_path / "transcript.jsonl")
    asked = Recorder(path, OpenAICompatible("tiny", url=server.url, retries=0))
    first = CitationPruner(asked).run(candidates())
    server.close()
    spec = ["bm25", {"citation_pruner": {"model": {"replay": path}, "prompt": "answer"}}]
    PipelineBuilder({}).check(spec, at=())
    replayed = CitationPruner(Replay(path)).run(candidates())
    assert replayed.ranking.fingerprint() == first.ranking.fingerprint()
    assert len(server.requests) == 6


def test_a_model_on_this_machine_is_shown_what_it_has_room_for(tmp_path):
    model = Local(str(tiny_causal(tmp_path / "tiny", max_length=700)))
    session = Session(offline=True, device="cpu", cache=tmp_path / "cache")
    stage = CitationPruner(model, prompt="straightforward", max_tokens=8)
    documents = [Document("d", LONG[:1500])]
    run = stage.run(candidates(session, documents))
    for hit in (hits[0] for hits in run.values()):
        assert [(span.start, span.end) for span in hit.spans] == split_sentences(LONG[:1500])
        assert all(span.kept == (span.probability >= 0.5) for span in hit.spans)
    assert run.ledger.by_stage()[stage.name].calls > 2  # in blocks
    again = CitationPruner(Local(model.name), prompt="straightforward", max_tokens=8)
    cached = again.run(candidates(session, documents))
    assert cached.ranking.fingerprint() == run.ranking.fingerprint()
    assert again.model._loaded is None


@pytest.mark.parametrize("parameters", [{"block_words": 0}, {"max_tokens": 0}, {"depth": 0}])
def test_parameters_are_checked(parameters):
    with pytest.raises(UsageError, match=f"citation_pruner: {next(iter(parameters))} is out of range"):
        CitationPruner(Citer(), **parameters)
    with pytest.raises(UsageError, match="citation_pruner: model is not a language model"):
        CitationPruner("gpt-4")


def test_probabilities_are_what_spans_say():
    outcomes = CitationPruner(Citer()).answered(candidates())[0].outcomes
    assert [one.arrays["probabilities"].dtype for one in outcomes] == [np.float32] * len(outcomes)


class TestConformance(StageConformance):
    def make_stage(self):
        return CitationPruner(Citer())

    def make_run(self):
        return candidates()
