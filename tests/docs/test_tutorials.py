"""What the tutorials say is what happens: every block is run in its order, and its output compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.docs.reader import ROOT, Reader, file_server
from tests.end_to_end.conftest import Service, serving
from tests.page.conftest import chromium

TUTORIALS = ROOT / "docs" / "tutorials"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder of pages, and the address under which they are served."""
    folder = tmp_path_factory.mktemp("pages")
    with file_server(folder) as address:
        yield folder, address


@pytest.fixture(scope="module")
def service(pages: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service that the documents ask for, which lets in pages of the tests' own."""
    log = tmp_path_factory.mktemp("service") / "log"
    with serving(log, GLIMPSE_SERVER__ALLOWED_ORIGINS=f"http://{pages[1]}") as running:
        yield running


@pytest.fixture
def reader(service: Service, pages: tuple[Path, str], tmp_path: Path) -> Iterator[Callable[..., Reader]]:
    """Makes somebody who reads documents beside that service."""
    running: list[Reader] = []
    rest = str(service.client.base_url).removeprefix("http://").rstrip("/")

    def made(kind: type[Reader] = Reader) -> Reader:
        addresses = {"8080": rest, "8081": service.grpc, "8000": pages[1]}
        running.append(kind(tmp_path, addresses))
        (tmp_path / "web").symlink_to(pages[0])
        return running[-1]

    yield made
    for one in running:
        one.close()


class WithBrowser(Reader):
    """Opens pages in Chromium."""

    def open_page(self, address: str, file: Path, shows: str, where: str) -> None:
        """Raises where the page does not come to show `shows`."""
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            try:
                page = browser.new_page()
                page.goto(address)
                page.get_by_label("clip").set_input_files(file)
                page.get_by_role("status").filter(has_text=shows.strip()).wait_for(timeout=60_000)
            finally:
                browser.close()


def test_rest(reader: Callable[..., Reader]) -> None:
    """By curl, in Python, and in a page of another address in a real browser."""
    assert reader(WithBrowser).read(TUTORIALS / "rest.md") == 11


def test_grpc(reader: Callable[..., Reader]) -> None:
    """The typed client, a live stream, plain stubs, and errors of both."""
    assert reader().read(TUTORIALS / "grpc.md") == 5
