"""Servers of chat completions, against a real HTTP server on loopback."""

import json
import logging
import pickle
import threading

import pytest

from rankloom import Session
from rankloom.errors import NotFoundError, StageError, UsageError
from rankloom.language_model import Completion, Prompt, complete
from rankloom.language_models import OpenAICompatible
from rankloom.likelihood import Continuation, log_likelihoods
from tests.chat_server import ChatServer, Misbehaviour

KEY = "sk-very-secret"
OFFLINE = Session(offline=True)  # which a server on this machine does not mind


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("A_KEY", KEY)
    running = ChatServer()
    yield running
    running.close()


def model(server, **options):
    return OpenAICompatible("m", url=server.url, **{"key": "A_KEY", "retries": 2, "concurrency": 1, **options})


def asked(backend, texts, session=OFFLINE, max_tokens=9):
    return complete(backend, [Prompt(text) for text in texts], max_tokens=max_tokens, session=session, stage="test")


def failure(status, **headers):
    return Misbehaviour(status=status, headers={"Retry-After": "0.01", **headers})


def test_what_is_sent_and_what_is_read(server):
    done = complete(
        model(server, body={"chat_template_kwargs": {"enable_thinking": False}}),
        [Prompt("the sky", system="be brief")],
        max_tokens=7,
        session=OFFLINE,
        stage="test",
    )
    assert done.completions == [Completion("be brief the sky", read=4, written=4)]
    assert (done.calls, done.tokens, done.written) == (1, 8, 4)
    assert server.requests == [
        {
            "model": "m",
            "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "the sky"}],
            "max_tokens": 7,
            "temperature": 0.0,
            "chat_template_kwargs": {"enable_thinking": False},
        }
    ]
    assert server.keys == [f"Bearer {KEY}"]


def test_drawn_outputs_have_seeds_by_session_and_sample(server):
    backend = model(server, temperature=0.7, top_p=0.9, limit_name="max_completion_tokens")
    prompts = [Prompt("a", sample=number) for number in range(3)]
    complete(backend, prompts, max_tokens=5, session=Session(seed=40), stage="test")
    assert [body["seed"] for body in server.requests] == [40, 41, 42]
    body = server.requests[0]
    assert (body["temperature"], body["top_p"], body["max_completion_tokens"]) == (0.7, 0.9, 5)
    assert "max_tokens" not in body
    server.requests.clear()
    asked(model(server, temperature=None), ["a"])
    asked(model(server, temperature=0.7, send_seed=False), ["a"])
    assert [sorted(body) for body in server.requests] == [
        ["max_tokens", "messages", "model", "seed"],
        ["max_tokens", "messages", "model", "temperature"],
    ]
    assert [model(server, temperature=one).greedy for one in (0, 0.1, None)] == [True, False, False]


def test_no_tokens_counted_and_nothing_said(server):
    server.usage, server.says = False, lambda _: None
    assert asked(model(server), ["a"]).completions == [Completion("")]


def test_an_output_that_ends_with_an_error_is_asked_for_again(server):
    server.finish = "error"
    with pytest.raises(StageError, match="holds no completion"):
        asked(model(server, retries=0), ["sky"])
    ended = json.dumps(server.reply({"messages": [{"content": "half"}]})).encode()
    server.finish, server.script = "stop", [Misbehaviour(body=ended)]
    assert asked(model(server, retries=1), ["sky"]).completions == [Completion("sky", 1, 1)]


def test_what_a_greedy_server_has_said_counts_for_all_seeds_and_numbers(server, tmp_path):
    for options, requests in (({}, 1), ({"temperature": 0.7}, 4)):
        for number, session in enumerate(({"seed": 7}, {"seed": 8}, {"seed": 9}, {"dtype": "bfloat16"})):
            asked(model(server, **options), ["sky"], Session(cache=tmp_path, offline=True, **session))
            assert number < 4
        assert len(server.requests) == requests


def test_any_text_can_be_asked(server):
    assert asked(model(server), ["half a pair \ud83d \x00 \u5929"]).completions[0].text == "half a pair ? \x00 \u5929"


@pytest.mark.parametrize(("finish", "cut"), [("stop", False), ("length", True), ("content_filter", True)])
def test_outputs_that_were_stopped_are_cut(server, finish, cut):
    server.finish = finish
    assert asked(model(server), ["a"]).completions[0].cut is cut


def test_no_more_requests_are_under_way_than_allowed_and_all_at_once(server):
    backend, texts = model(server, concurrency=3), list("abcdefgh")
    asked(backend, ["first"])  # which loads the client
    server.gate = threading.Event()
    threading.Timer(0.5, server.gate.set).start()
    assert [one.text for one in asked(backend, texts).completions] == texts
    assert server.most == 3


def test_requests_keep_their_distance_repeated_ones_too(server):
    server.script = [failure(500)]
    asked(model(server, concurrency=4, requests_per_minute=600), list("abc"))
    gaps = [later - earlier for earlier, later in zip(server.times, server.times[1:], strict=False)]
    assert len(gaps) == 3
    assert sum(gaps) >= 0.25  # 0.1 s apart, but for the time that a request takes to arrive


class TestFailures:
    @pytest.mark.parametrize(
        "trouble",
        [
            failure(429),
            failure(500),
            failure(503),
            failure(408),
            Misbehaviour(body=b"<html>busy</html>"),
            Misbehaviour(body=b'{"choices": ['),
            Misbehaviour(body=b'{"choices": []}'),
            Misbehaviour(body=b'{"choices": [{"message": {"content": 7}}]}'),
            Misbehaviour(body=b"[1, 2]"),
            Misbehaviour(body=b"<html>busy</html>", headers={"Content-Type": "text/html"}),
            Misbehaviour(body=b'{"choices": [{"message": {"content": "half an answer"}}]}', dies=True),
        ],
        ids=lambda one: f"{one.status} {(one.body or b'').decode()}{' dies' if one.dies else ''}",
    )
    def test_what_passes_is_asked_again(self, server, trouble, monkeypatch):
        monkeypatch.setattr("rankloom.language_models.retrying._FIRST", 0.01)
        server.script = [trouble, trouble]
        assert asked(model(server), ["sky"]).completions[0].text == "sky"
        assert server.prompts == ["sky"] * 3

    def test_an_answer_that_does_not_come_in_time_is_asked_for_again(self, server, monkeypatch):
        monkeypatch.setattr("rankloom.language_models.retrying._FIRST", 0.01)
        server.script = [Misbehaviour(pause=1.0)]
        assert asked(model(server, timeout=0.2), ["sky"]).completions[0].text == "sky"
        server.script = [Misbehaviour(pause=1.0)] * 3
        with pytest.raises(StageError, match=r"did not answer a prompt \(APITimeoutError.*check that the server is up"):
            asked(model(server, timeout=0.2), ["sky"])

    @pytest.mark.parametrize(
        ("status", "tries", "advice"),
        [
            (429, 3, "less concurrency"),
            (500, 3, "is up"),
            (400, 1, "it has 3 characters"),
            (401, 1, "check the key in A_KEY"),
            (404, 1, "check url and name"),
        ],
    )
    def test_what_lasts_is_an_error_without_the_key(self, server, status, tries, advice, caplog):
        said = json.dumps({"error": {"message": f"you sent {KEY}"}}).encode()
        server.script = [Misbehaviour(status=status, body=said, headers={"Retry-After": "0.01"})] * tries
        with caplog.at_level(logging.DEBUG), pytest.raises(StageError, match=advice) as raised:
            asked(model(server), ["sky"])
        assert len(server.requests) == tries
        assert f"status {status}" in str(raised.value)
        assert KEY not in str(raised.value)
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None  # it would hold the request, and so the key
        assert KEY not in "".join(record.getMessage() for record in caplog.records)
        assert KEY not in repr(model(server)) + model(server).fingerprint()

    def test_an_error_that_looks_like_an_answer_is_told(self, server):
        server.script = [Misbehaviour(body=b'{"error": {"message": "no credit left"}}')]
        with pytest.raises(StageError, match=r"holds no completion.*no credit left"):
            asked(model(server, retries=0), ["sky"])

    def test_a_pause_beyond_the_deadline_is_not_waited_for(self, server):
        server.script = [Misbehaviour(status=429, headers={"Retry-After": "3600"})]
        with pytest.raises(StageError, match="status 429"):
            asked(model(server, deadline=5.0), ["sky"])
        assert len(server.requests) == 1

    @pytest.mark.parametrize("concurrency", [1, 4])
    def test_what_was_answered_before_a_failure_is_kept(self, server, tmp_path, concurrency):
        session = Session(offline=True, cache=tmp_path)
        texts = [f"text {number}" for number in range(12)]
        server.script = [None] * 6 + [failure(400)]
        with pytest.raises(StageError, match="what was answered before is kept"):
            asked(model(server, concurrency=concurrency), texts, session)
        refused = 1
        paid = len(server.requests) - refused
        assert paid >= 6
        server.requests.clear()
        done = asked(model(server, concurrency=concurrency), texts, session)
        assert (done.cached, done.calls) == (paid, 12 - paid)
        assert len(server.requests) == 12 - paid
        assert [one.text for one in done.completions] == texts

    def test_a_server_that_is_not_there(self, server):
        server.close()
        with pytest.raises(StageError, match="APIConnectionError"):
            asked(model(server, retries=0), ["sky"])


class TestLikelihoods:
    """Of labels, by the likeliest tokens that a server lists."""

    def told(self, backend, prompts=("sky",), labels=("Yes", "No"), session=OFFLINE):
        asked = [Continuation(Prompt(prompt), label) for prompt in prompts for label in labels]
        return log_likelihoods(backend, asked, session=session, stage="test")

    def test_one_request_tells_all_labels_of_a_prompt(self, server):
        server.likeliest = lambda _: [{"Yes": -0.1, "No": -2.0, "Maybe": -9.0}]
        done = self.told(model(server), ["the sky", "sea"])
        assert done.log_probabilities == pytest.approx([-0.1, -2.0] * 2)
        assert (done.calls, done.tokens, done.listed) == (2, 5, [True] * 4)
        assert server.requests[0] == {
            "model": "m",
            "messages": [{"role": "user", "content": "the sky"}],
            "max_tokens": 8,
            "temperature": 0.0,
            "logprobs": True,
            "top_logprobs": 20,
        }

    def test_what_labels_share_is_written_first(self, server):
        server.likeliest = lambda _: [{"Passage": -0.1, "A": -3.0}, {" B": -0.2, " A": -1.5}, {"<end>": 0.0}]
        done = self.told(model(server, temperature=None), labels=("Passage A", "Passage B"))
        assert done.log_probabilities == pytest.approx([-1.5, -0.2])
        assert server.requests[0]["max_tokens"] == 8
        assert "temperature" not in server.requests[0]

    @pytest.mark.parametrize(("labels", "mark"), [(("[1]", "[2]"), "["), (("Yes", "No"), "**"), (("Yes", "No"), "\n")])
    def test_a_mark_before_a_label_is_passed_over(self, server, labels, mark):
        first, second = (label.strip("[]") for label in labels)
        output = [{mark: -0.01, second: -6.0, first: -7.0}, {first: -0.1, second: -3.0}, {"<end>": 0.0}]
        server.likeliest = lambda _: output
        done = self.told(model(server), labels=labels)
        assert (done.log_probabilities, done.listed) == ([-0.1, -3.0], [True, True])
        server.likeliest = lambda _: output[:1]
        done = self.told(model(server), labels=labels)
        assert (len(set(done.log_probabilities)), done.listed) == (1, [False, False])

    def test_nothing_is_drawn(self, server):
        server.likeliest = lambda _: [{"Yes": -0.1, "No": -2.0}]
        self.told(model(server, temperature=0.9, top_p=0.5))
        assert server.requests[0]["temperature"] == 0.0
        assert not {"top_p", "seed"} & server.requests[0].keys()

    def test_a_label_beyond_the_list_is_less_likely_than_all_in_it(self, server):
        server.likeliest = lambda _: [{"Yes": -0.1, "Maybe": -4.0, "No": -5.0}]
        done = self.told(model(server, top_logprobs=2))
        assert (done.log_probabilities, done.listed) == ([-0.1, -5.0], [True, False])
        assert server.requests[0]["top_logprobs"] == 2
        whole = self.told(model(server))
        assert (whole.log_probabilities, whole.listed) == ([-0.1, -5.0], [True, True])

    def test_they_are_kept_whole_and_a_seed_or_dtype_changes_none(self, server, tmp_path):
        server.likeliest = lambda _: [{"Yes": -0.1, "Maybe": -4.0}]
        first = self.told(model(server, temperature=0.7), session=Session(cache=tmp_path, offline=True))
        for changed in ({"seed": 8}, {"dtype": "bfloat16"}):
            session = Session(cache=tmp_path, offline=True, **changed)
            again = self.told(model(server, temperature=0.7), session=session)
            assert (again.log_probabilities, again.listed) == (first.log_probabilities, [True, False])
            assert (again.calls, again.cached) == (0, 1)
        assert len(server.requests) == 1
        self.told(model(server, temperature=0.7, top_logprobs=5), session=Session(cache=tmp_path, offline=True))
        assert len(server.requests) == 2

    def test_completions_are_not_bought_again_for_it(self, server):
        assert model(server, top_logprobs=20).fingerprint() == model(server).fingerprint()
        assert model(server, top_logprobs=5).fingerprint() != model(server).fingerprint()

    def test_a_server_without_logprobs_is_told_and_asked_once(self, server):
        with pytest.raises(StageError, match=r"does not tell how likely.*fix: let.*scoring: generation"):
            self.told(model(server))
        assert len(server.requests) == 1
        server.script = [Misbehaviour(status=400, body=b'{"error": {"message": "logprobs are not supported"}}')]
        with pytest.raises(StageError, match=r"not supported.*lower top_logprobs, or scoring: generation"):
            self.told(model(server))

    def test_what_can_not_be_read_is_asked_for_again(self, server, monkeypatch):
        monkeypatch.setattr("rankloom.language_models.retrying._FIRST", 0.01)
        server.likeliest = lambda _: [{"Yes": -0.1, "No": -2.0}]
        garbled = {"choices": [{"message": {"content": "Yes"}, "logprobs": {"content": [{"token": "Yes"}]}}]}
        server.script = [Misbehaviour(body=json.dumps(garbled).encode()), Misbehaviour(body=b"{"), failure(429)]
        assert self.told(model(server, retries=3)).log_probabilities == [-0.1, -2.0]
        assert len(server.requests) == 4

    def test_a_model_that_says_nothing_tells_nothing(self, server):
        server.likeliest = lambda _: []
        done = self.told(model(server))
        assert (len(set(done.log_probabilities)), done.listed) == (1, [False, False])

    def test_texts_that_no_token_tells_apart_are_refused_before_anything_is_paid(self, server):
        for labels in (["why is the sky blue"], ["1", "10"]):
            with pytest.raises(UsageError, match="does not tell these texts apart"):
                self.told(model(server), labels=labels)
        assert not server.requests


class TestTheNetwork:
    def test_offline_no_socket_to_another_machine_is_opened(self, monkeypatch):
        def refuse(*_, **__):
            raise AssertionError("a socket was opened")

        monkeypatch.setattr("socket.create_connection", refuse)
        with pytest.raises(NotFoundError, match=r"offline.*192\.0\.2\.1"):
            asked(OpenAICompatible("m", url="http://192.0.2.1/v1"), ["sky"])

    def test_a_session_offline_does_not_use_the_client_of_another(self):
        backend = OpenAICompatible("m", url="http://192.0.2.1/v1")
        backend.load(Session(offline=False))  # opens no socket
        with pytest.raises(NotFoundError, match="offline"):
            asked(backend, ["sky"])

    def test_a_server_on_this_machine_is_asked_by_no_proxy(self, server, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:9")
        monkeypatch.setenv("NO_PROXY", "")
        assert asked(model(server, retries=0, timeout=2.0), ["sky"]).completions[0].text == "sky"


class TestKeysAndParameters:
    def test_a_key_that_is_not_set(self, server, monkeypatch):
        monkeypatch.delenv("A_KEY")
        with pytest.raises(UsageError, match=r"not set; got 'A_KEY'; fix: export A_KEY="):
            asked(model(server), ["sky"])
        asked(model(server, key=None), ["sky"])

    def test_a_key_in_the_place_of_its_variable_is_not_shown(self, server):
        with pytest.raises(UsageError, match="key is not the name of an environment variable") as raised:
            model(server, key=KEY)
        assert KEY not in str(raised.value)

    def test_a_password_in_the_address_is_not_shown(self):
        with pytest.raises(UsageError, match="url is no address") as raised:
            OpenAICompatible("m", url="http://me:hidden@localhost/v1")
        assert "hidden" not in str(raised.value)

    def test_the_key_is_in_no_copy(self, server):
        backend = model(server)
        asked(backend, ["sky"])
        copy = pickle.loads(pickle.dumps(backend))
        assert KEY.encode() not in pickle.dumps(backend)
        assert copy.fingerprint() == backend.fingerprint()
        assert asked(copy, ["sea"]).completions[0].text == "sea"
        backend.close()
        assert asked(backend, ["sea"]).completions[0].text == "sea"

    @pytest.mark.parametrize(
        "change",
        [{"temperature": 0.5}, {"top_p": 0.5}, {"limit_name": "max_completion_tokens"}, {"body": {"min_p": 0.1}}],
    )
    def test_what_changes_outputs_changes_the_fingerprint(self, server, change):
        assert model(server, **change).fingerprint() != model(server).fingerprint()

    @pytest.mark.parametrize(
        "change", [{"key": "B"}, {"concurrency": 2}, {"retries": 9}, {"timeout": 1.0}, {"requests_per_minute": 5}]
    )
    def test_how_it_is_asked_does_not(self, server, change):
        assert model(server, **change).fingerprint() == model(server).fingerprint()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"temperature": -1},
            {"temperature": 3.0},
            {"top_p": 1.5},
            {"limit_name": "tokens"},
            {"body": {"seed": 1}},
            {"body": {"logprobs": True}},
            {"top_logprobs": 1},
            {"concurrency": 0},
            {"requests_per_minute": 0},
            {"retries": -1},
            {"timeout": 0},
            {"deadline": -1.0},
            {"url": "localhost:8000"},
            {"url": "http://localhost/v1?key=1"},
        ],
    )
    def test_refuses_wrong_parameters(self, wrong):
        with pytest.raises(UsageError, match="openai_compatible: "):
            OpenAICompatible("m", **{"url": "http://localhost/v1", **wrong})
