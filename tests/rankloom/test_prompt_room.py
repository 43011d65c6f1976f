"""Prompts and what models read: as many words as fit, found out before anything is paid, and remembered."""

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom import Document, Run, Session
from rankloom.corpus import MemoryDocuments
from rankloom.errors import DataError
from rankloom.eval.answers import answer
from rankloom.fingerprint import digest
from rankloom.language_model import Prompt
from rankloom.language_models import Local, OpenAICompatible, Recorder
from rankloom.prf import PromptPRF, Query2Doc
from rankloom.prompt_room import Showing, check_room, words_with_room
from rankloom.rerank.llm import Listwise, Pairwise, Setwise, YesNo
from tests.chat_server import ChatServer
from tests.rerank.llm.models import Grader, Scorer, graded_run, grades
from tests.tiny_models import tiny_causal

SESSION = Session(offline=True)


class Reads(Grader):
    """A token is a word; it reads so many, and counts how often it is asked what it reads."""

    name, knows_room = "reads", True

    def __init__(self, limit, **more):
        super().__init__(**more)
        self.limit, self.looked = limit, 0

    def fingerprint(self):
        return digest("reads", self.limit)

    def room(self, max_tokens, session):  # noqa: ARG002
        self.looked += 1
        return self.limit - max_tokens

    def prompt_tokens(self, prompts, session):  # noqa: ARG002
        return [len(f"{one.system} {one.text}".split()) for one in prompts]


class ReadsAndTells(Reads, Scorer):
    """Also tells likelihoods."""

    def __init__(self, limit):
        Scorer.__init__(self)
        self.limit, self.looked = limit, 0


def showing(texts, passages, frame=3):
    def longest(words, size):
        cut = [" ".join(text.split()[:words]) for text in texts]
        sizes = size(cut)
        best = sorted(range(len(cut)), key=lambda place: -sizes[place])[:passages]
        return Prompt(" ".join(["f"] * frame + [cut[place] for place in best]))

    return Showing("q", passages, longest)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 6), st.integers(1, 50), st.integers(1, 200))
def test_it_is_the_most_that_fits(lengths, passages, words, limit):
    passages = min(passages, len(lengths))
    texts = ["long " * length for length in lengths]

    def needs(shown):  # a passage may take a token more in other company
        return 3 + sum(sorted(min(length, shown) for length in lengths)[-passages:]) + passages

    fitting = [shown for shown in range(1, words + 1) if needs(shown) <= limit]
    model = Reads(limit + 5)
    if not fitting:
        with pytest.raises(
            DataError, match=rf"a prompt has {needs(1)} tokens with a word.*model reads {limit} besides"
        ):
            words_with_room(model, [showing(texts, passages)], words=words, max_tokens=5, session=SESSION, stage="test")
        return
    found = words_with_room(model, [showing(texts, passages)], words=words, max_tokens=5, session=SESSION, stage="test")
    assert found == [max(fitting)]


def test_nobody_is_asked_what_nobody_knows():
    assert words_with_room(Grader(), [showing(["a"], 1)], words=9, max_tokens=5, session=SESSION, stage="test") == [9]
    check_room(Grader(), [("q", Prompt("long " * 999))], max_tokens=5, session=SESSION, stage="test")


def long_run(session=SESSION, *, query="find it", words=30):
    """Two queries over passages of different lengths that hold their grades at the beginning."""
    documents = MemoryDocuments(
        [Document(f"d{place}", f"of grade {place} " + "long " * (words + place)) for place in range(6)]
    )
    scores = {f"d{place}": -float(place) for place in range(6)}
    queries = {"short": "find it", "other": query}
    return Run.from_dict(dict.fromkeys(queries, scores), queries=queries, documents=documents, session=session)


@pytest.mark.parametrize(
    "make",
    [
        lambda model: Pairwise(model, k=2),
        lambda model: Setwise(model, k=2),
        lambda model: Listwise(model, window=4, step=2, max_tokens=8),
    ],
)
def test_passages_shrink_until_the_longest_prompt_fits_and_it_is_noted(make):
    free = Reads(9999)
    make(free).run(long_run())
    longest = max(free.prompt_tokens(free.prompts, SESSION))
    model = Reads(longest + 8 - 20)
    run = make(model).run(long_run())
    assert [int(hit.text.split()[2]) for hit in run["short"]][:2] == [5, 4]
    assert max(model.prompt_tokens(model.prompts, SESSION)) <= model.limit - 8
    notes = run.ledger.of("truncated")
    assert {note.doc_id for note in notes} >= {"d5", "d4"}
    assert all("all that the model has room for" in note.detail for note in notes)
    assert not make(free).run(long_run()).ledger.of("truncated")


@pytest.mark.parametrize("make", [lambda model: Pairwise(model, k=2), lambda model: Setwise(model, k=2), YesNo])
def test_what_can_not_fit_is_an_error_before_anything_is_asked(make):
    model = ReadsAndTells(120)
    with pytest.raises(
        DataError, match=r"a prompt has 3\d\d tokens .*reads 112 besides.*got 'other'.*nothing has been"
    ):
        make(model).run(long_run(query="very " * 300))
    assert not model.prompts
    assert not model.asked


def test_a_policy_against_cuts_is_kept_before_anything_is_asked():
    model = Reads(150)
    with pytest.raises(DataError, match="longer than the model reads"):
        Setwise(model, k=2).run(long_run(Session(offline=True, on_truncate="error")))
    assert not model.prompts


def test_what_has_been_found_out_is_remembered(tmp_path):
    session, model = Session(offline=True, cache=tmp_path), Reads(150)
    first = Setwise(model, k=2).run(long_run(session))
    looked, asked = model.looked, len(model.prompts)
    assert looked
    again = Setwise(model, k=2).run(long_run(session))
    assert (model.looked, len(model.prompts)) == (looked, asked)
    assert again.to_dict() == first.to_dict()
    assert again.ledger.notes == first.ledger.notes


def test_a_longer_system_text_is_looked_at_anew_before_anything_is_asked(tmp_path):
    def prompt(system):
        file = tmp_path / f"{len(system)}.toml"
        file.write_text(f'text = "{{passages}} {{query}} Yes or No?"\nsystem = "{system}"')
        return str(file)

    queries = {f"q{place}": "find it" for place in range(8)} | {"other": "very " * 20}  # in a group of its own
    documents = MemoryDocuments([Document("d", "of grade 1")])
    session, model = Session(offline=True, cache=tmp_path / "cache"), ReadsAndTells(50)
    scores = {query_id: {"d": 1.0} for query_id in queries}
    run = Run.from_dict(scores, queries=queries, documents=documents, session=session)
    YesNo(model, prompt=prompt("Answer.")).run(run)
    model.asked.clear()
    with pytest.raises(DataError, match=r"got 'other'.*nothing has been asked"):
        YesNo(model, prompt=prompt("Think long. " * 10)).run(run)
    assert not model.asked


class Normalising(Reads):
    """A token is a byte of the text as NFKC has it, as it is for some tokenizers."""

    def prompt_tokens(self, prompts, session):  # noqa: ARG002
        return [len(normalize("NFKC", f"{one.system} {one.text}").encode()) for one in prompts]


@pytest.mark.parametrize("character", ["\ufdfa", "\u0958", "\u00bd", "e"])
def test_characters_that_a_tokenizer_makes_many_of_are_counted(character):
    texts = [f"{character} " * 40, "plain text " * 12]
    bytes_of = [len(text.encode()) for text in texts]
    model = Normalising(max(bytes_of) + 20)
    one = showing(texts, 1)
    (words,) = words_with_room(model, [one], words=40, max_tokens=5, session=SESSION, stage="test")
    for text in texts:
        prompt = showing([text], 1).longest(words, lambda some: [0] * len(some))
        assert model.prompt_tokens([prompt], SESSION)[0] <= model.limit - 5


def test_pairs_are_shown_as_far_as_there_is_room(tmp_path):
    model, session = ReadsAndTells(50), Session(offline=True, cache=tmp_path)
    run = YesNo(model).run(long_run(session))
    assert max(model.prompt_tokens([one.prompt for one in model.asked], SESSION)) <= 42
    whole = ReadsAndTells(999)
    assert {note.doc_id: note.amount for note in run.ledger.of("truncated")}["d5"] > 0
    assert not YesNo(whole).run(long_run()).ledger.of("truncated")
    looked = model.looked
    assert YesNo(model).run(long_run(session)).to_dict() == run.to_dict()
    assert model.looked == looked


class TestFeedback:
    def test_a_prompt_without_passages_is_an_error_that_names_the_query(self):
        model = Reads(150)
        with pytest.raises(DataError, match=r"query2doc: a prompt has 2\d\d tokens, and the model reads 22.*'other'"):
            Query2Doc(model).run(long_run(query="very " * 200))
        assert not model.prompts

    def test_what_is_known_is_not_checked_again(self, tmp_path):
        session, model = Session(offline=True, cache=tmp_path), Reads(999, says=lambda _: "snow")
        Query2Doc(model).run(long_run(session))
        looked = model.looked
        Query2Doc(model, repeats=2).run(long_run(session))
        assert model.looked == looked

    def test_features_are_drawn_out_of_what_there_is_room_for(self):
        model = Reads(200, says=lambda _: "snow, ice")
        run = PromptPRF(model, feature="keywords", docs=1).run(long_run(words=300))
        assert max(model.prompt_tokens(model.prompts, SESSION)) <= 200 - 64
        (note, _) = run.ledger.of("cut_feedback")
        assert "the model's room" in note.detail
        with pytest.raises(DataError, match=r"prompt_prf.*got 'd0'"):
            PromptPRF(Reads(70), feature="keywords", docs=1).run(long_run())

    def test_answers(self):
        model = Reads(150)
        with pytest.raises(DataError, match=r"answer: a prompt has.*got 'short'"):
            answer(long_run(), model)
        assert not model.prompts


class TestBackends:
    @pytest.fixture
    def server(self):
        found = ChatServer()
        found.says = lambda body: Grader().truth(Prompt(body["messages"][-1]["content"]))
        yield found
        found.close()

    def test_a_server_by_what_it_is_said_to_read(self, server):
        def run(**more):
            model = OpenAICompatible("m", url=server.url, retries=0, **more)
            return Setwise(model, k=2).run(long_run())

        run()
        longest = max(map(len, server.prompts))
        assert not run(context_tokens=longest).ledger.of("truncated")
        server.requests.clear()
        cut = run(context_tokens=longest // 3)
        assert cut.ledger.of("truncated")
        assert max(map(len, server.prompts)) < longest
        server.requests.clear()
        with pytest.raises(DataError, match="got 'short'"):
            run(context_tokens=40)
        assert not server.requests
        assert OpenAICompatible("m", url=server.url).fingerprint() == (
            OpenAICompatible("m", url=server.url, context_tokens=9).fingerprint()
        )

    @pytest.mark.parametrize(
        ("make", "tokens", "kind"),
        [
            (lambda model: Setwise(model, k=2, passage_words=200), 400, "truncated"),
            (lambda model: PromptPRF(model, docs=1), 250, "cut_feedback"),
        ],
    )
    def test_another_limit_is_another_stage_also_in_one_session_and_cache(self, server, tmp_path, make, tokens, kind):
        server.says = lambda _: "Passage A"
        free, told = (OpenAICompatible("m", url=server.url, context_tokens=one) for one in (None, tokens))
        assert make(free).fingerprint() != make(told).fingerprint()
        expected = make(told).run(long_run(words=100))
        assert expected.ledger.of(kind)
        run = long_run(Session(offline=True, cache=tmp_path), words=100)
        assert not make(free).run(run).ledger.of(kind)
        found = make(told).run(run)
        assert found.ledger.of(kind) == expected.ledger.of(kind)
        assert [one.text for one in found.queries] == [one.text for one in expected.queries]
        server.requests.clear()
        with pytest.raises(DataError, match="nothing has been asked"):
            make(OpenAICompatible("m", url=server.url, context_tokens=90)).run(run)
        assert not server.requests

    def test_a_recorder_knows_what_its_model_knows(self, tmp_path):
        recorder = Recorder(str(tmp_path / "said.jsonl"), Reads(150))
        assert Setwise(recorder, k=2).run(long_run()).ledger.of("truncated")

    def test_a_model_on_this_machine_counts_by_its_tokenizer(self, tmp_path):
        model = Local(str(tiny_causal(tmp_path / "model", max_length=420)))  # of bytes
        assert model.room(8, SESSION) == 412
        assert model.prompt_tokens([Prompt("four", "two")], SESSION) == [9]
        run = Pairwise(model, k=1, method="sliding").run(long_run())
        assert {note.doc_id for note in run.ledger.of("truncated")} == {f"d{place}" for place in range(6)}
        with pytest.raises(DataError, match=r"pairwise: a prompt has 4\d\d tokens.*got 'other'"):
            Pairwise(model, k=1).run(long_run(query="why " * 80))


def test_short_prompts_are_as_they_were():
    model = Reads(9999)
    assert grades(Setwise(model, k=4).run(graded_run([3, 9, 1, 7])), "q0") == [9, 7, 3, 1]
