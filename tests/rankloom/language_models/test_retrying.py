"""When to ask again, and how evenly."""

from email.utils import formatdate
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.language_models.pace import Pace
from rankloom.language_models.retrying import GarbledReplyError, Retrying, retry_after


class Clock:
    """A clock that only sleep moves."""

    def __init__(self):
        self.now, self.slept = 100.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class RefusalError(Exception):
    def __init__(self, status, **headers):
        self.status_code, self.response = status, SimpleNamespace(headers=headers)


def ask(*failures, retries=5, deadline=1000.0):
    """What comes of a request that fails in some ways, and the pauses."""
    clock, left = Clock(), list(failures)

    def request():
        if left:
            raise left.pop(0)
        return "done"

    try:
        answer = Retrying(retries, deadline, clock, clock.sleep).ask(request, stage="test")
    except (RefusalError, GarbledReplyError) as error:
        answer = error
    return answer, clock.slept, left


def test_pauses_grow_and_are_partly_random():
    answer, slept, _ = ask(*[RefusalError(500)] * 5)
    assert answer == "done"
    assert all(0.25 * 2**n <= seconds <= 0.5 * 2**n for n, seconds in enumerate(slept))
    assert len(slept) == 5
    assert ask(*[RefusalError(500)] * 5)[1] != slept


def test_no_pause_is_longer_than_half_a_minute():
    _, slept, _ = ask(*[GarbledReplyError()] * 20, retries=20)
    assert max(slept) <= 30


def test_the_server_says_how_long():
    assert ask(RefusalError(429, **{"retry-after": "7"}))[:2] == ("done", [7.0])
    assert ask(RefusalError(503, **{"retry-after-ms": "250", "retry-after": "7"}))[:2] == ("done", [0.25])


def test_failures_that_go_on_are_told(caplog):
    ask(RefusalError(500))
    assert not [one for one in caplog.records if one.levelname == "WARNING"]
    ask(RefusalError(500), RefusalError(503))
    assert "asked again in" in caplog.records[-1].message
    assert caplog.records[-1].levelname == "WARNING"


def test_what_lasts_is_raised_at_once():
    for status in (400, 401, 403, 404, 413, 422):
        answer, slept, _ = ask(RefusalError(status))
        assert (answer.status_code, slept) == (status, [])


def test_the_last_failure_is_raised():
    answer, slept, left = ask(*[RefusalError(500)] * 2, RefusalError(503), RefusalError(504), retries=2)
    assert (answer.status_code, len(slept), len(left)) == (503, 2, 1)


def test_after_the_deadline_nothing_is_sent():
    answer, slept, left = ask(*[RefusalError(429, **{"retry-after": "4"})] * 5, deadline=10.0)
    assert (answer.status_code, slept, len(left)) == (429, [4.0, 4.0], 2)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": formatdate(1_000_030, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(999_000, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "nan", "retry-after": "2"}, 2.0),
    ],
)
def test_how_long_a_server_asks_to_wait(headers, seconds):
    assert retry_after(headers, now=1_000_000) == seconds


@given(st.text())
def test_any_header_is_read(said):
    seconds = retry_after({"retry-after": said}, now=0.0)
    assert seconds is None or seconds >= 0


def test_even_intervals():
    clock = Clock()
    pace = Pace(120, clock=clock, sleep=clock.sleep)
    for _ in range(4):
        pace.wait()
    assert clock.slept == [0.5, 0.5, 0.5]
    clock.now += 10
    pace.wait()  # nothing is saved up
    pace.wait()
    assert clock.slept == [0.5] * 4


def test_no_limit():
    clock = Clock()
    pace = Pace(None, clock=clock, sleep=clock.sleep)
    for _ in range(99):
        pace.wait()
    assert clock.slept == []
