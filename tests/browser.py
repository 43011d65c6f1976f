"""A real browser for tests: Debian's Chromium, headless, driven by Playwright, with a fresh profile and no network."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser. Where there is none the test is skipped with the reason; in CI it fails."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _missing("Playwright is not installed (extra `test`)")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        _missing(f"no browser found ({', '.join(NAMES)}); on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


def _missing(reason: str) -> None:
    """Skip, or in CI fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Visit:
    """A page, with all that went wrong on it and all that it asked of a network."""

    page: Any
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def visit(browser: Any, file: Path, *, width: int = 1400, fragment: str = "", **context: Any) -> Iterator[Visit]:
    """Open a file; when the block ends, nothing may have gone wrong and nothing but the file been asked for."""
    opened = browser.new_context(viewport={"width": width, "height": 800}, offline=True, **context)
    page = opened.new_page()
    seen = Visit(page)
    page.on("console", lambda message: seen.problems.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.problems.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (seen.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(file.as_uri() + fragment)
    yield seen
    assert seen.problems == []
    assert {url.split("#")[0] for url in seen.requests if not url.startswith("data:")} == {file.as_uri()}
    opened.close()
