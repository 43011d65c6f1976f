"""Progress reporters write to standard error only."""

from __future__ import annotations

import pytest

from rankloom.cli.progress import BarProgress, LineProgress, in_words, stderr_progress
from rankloom.session import Session


def test_lines_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with LineProgress(seconds=0.0).task("encode", 10) as advance:
        advance(4)
        advance(6)
    assert capsys.readouterr() == ("", "encode: 4 of 10\nencode: 10 of 10\n")
    with LineProgress(seconds=60.0).task("encode", 10) as advance:
        advance(10)
    assert capsys.readouterr() == ("", "")


def test_bars_nest_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    progress = BarProgress()
    for _ in range(2):
        with progress.task("pipelines", 2) as outer, progress.task("bm25", 5) as inner:
            inner(5)
            outer(1)
    with pytest.raises(ValueError, match="broken"), progress.task("pipelines", 1):
        raise ValueError("broken")
    assert capsys.readouterr().out == ""


def test_no_bar_without_a_terminal() -> None:
    assert isinstance(stderr_progress(), LineProgress)
    assert Session(progress=stderr_progress()).progress is not None


def test_the_time_left_follows_from_what_was_computed(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    with LineProgress(seconds=0.0, clock=lambda: now[0]).task("encode", 1000) as advance:
        advance(400)  # at once, from the cache: no measure of the pace
        for _ in range(3):
            now[0] += 10.0
            advance(100)
        now[0] += 30.0
        advance(300)
    assert capsys.readouterr().err.splitlines() == [
        "encode: 400 of 1000",
        "encode: 500 of 1000, about 50 s left",
        "encode: 600 of 1000, about 40 s left",
        "encode: 700 of 1000, about 30 s left",
        "encode: 1000 of 1000",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59.0, "59 s"), (61.0, "1 min 1 s"), (3600.0, "1 h 0 min"), (90061.0, "25 h 1 min")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
