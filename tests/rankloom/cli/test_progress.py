"""Progress reporters write to standard error only."""

from __future__ import annotations

import pytest

from rankloom.cli.progress import BarProgress, LineProgress, stderr_progress
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
