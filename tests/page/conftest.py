"""The page in a real Chromium, served by a real service.

All fixtures end with the file of tests that uses them: the event loop of playwright would be in the way of tests that
have one of their own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.end_to_end.conftest import Service, serving

WAIT_MS = 60_000
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """The browser's program. Without one the tests skip, but in CI they fail."""
    for name in PROGRAMS:
        if found := shutil.which(name):
            return found
    if os.environ.get("CI"):
        pytest.fail("no chromium: .ci/run installs it")
    pytest.skip("no chromium on this machine (apt-get install chromium)")


@pytest.fixture(scope="module")
def browser_options() -> list[str]:
    """Further arguments of the browser; a module may override this fixture."""
    return []


@pytest.fixture(scope="module")
def browser(browser_options: list[str]) -> Iterator[Browser]:
    """One browser for a file of tests."""
    program = chromium()
    # A busy machine takes its time; five seconds are the default.
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", *browser_options])
        try:
            yield running
        finally:
            running.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with the local backend, for a file of tests."""
    with serving(tmp_path_factory.mktemp("page") / "log") as running:
        yield running


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, site: Service) -> Iterator[Open]:
    """Opens an address of the service, or of another at `base`, in a fresh profile; options are those of
    `Browser.new_context`.

    Whatever the page tells the console as an error, throws, or asks of another machine fails the test at its end.
    """
    home = str(site.client.base_url).rstrip("/")
    wrong: list[str] = []
    contexts = []

    def opened(path: str = "/", *, base: str = home, **options: object) -> Page:
        context = browser.new_context(base_url=base, accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: _foreign(request.url, base, wrong))
        page.goto(path)
        return page

    opened.wrong = wrong  # type: ignore[attr-defined]
    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def _foreign(url: str, base: str, wrong: list[str]) -> None:
    if not url.startswith((base, "blob:", "data:", base.replace("http", "ws", 1))):
        wrong.append(f"asked another machine: {url}")


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """Where a test keeps what it downloads."""
    return tmp_path


def until(place: Locator, true: str, argument: object = None) -> None:
    """Wait until a function of the element and of `argument`, in JavaScript, gives something true.

    Playwright's `wait_for_function` evaluates text in the page now and then, which the page's policy forbids.
    """
    watched = f"""(element, argument) => new Promise((resolve, reject) => {{
      const late = setTimeout(() => {{ clearInterval(look); reject(new Error("not true in time")); }}, {WAIT_MS});
      const look = setInterval(() => {{
        if (!({true})(element, argument)) return;
        clearInterval(look);
        clearTimeout(late);
        resolve();
      }}, 30);
    }})"""
    place.evaluate(watched, argument)
