"""What documents show is what happens: every block is run in its order, and its output compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.docs.blocks import CODE, Block, blocks_of
from tests.docs.reader import ROOT, Reader, file_server
from tests.end_to_end.conftest import Service, serving
from tests.page.conftest import chromium

TUTORIALS = ROOT / "docs" / "tutorials"
LONG = ("docs/tutorials/model.md", "docs/tutorials/server.md")
"""Read by tests/ops/test_long_tutorials.py."""
READ = ("README.md", "docs/rest.md", "docs/grpc.md", "docs/tutorials/rest.md", "docs/tutorials/grpc.md", *LONG)
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))


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


@pytest.mark.parametrize("document", ["README.md", "docs/rest.md", "docs/grpc.md"])
def test_manuals(document: str, reader: Callable[..., Reader]) -> None:
    """What manuals show of a service that runs, and what the README shows."""
    assert reader().read(ROOT / document) >= 1


def test_grpc(reader: Callable[..., Reader]) -> None:
    """The typed client, a live stream, plain stubs, and errors of both."""
    assert reader().read(TUTORIALS / "grpc.md") == 5


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_is_run_or_says_why_not(document: str) -> None:
    """Where a document is not read here, each of its blocks has an excuse, and what the excuse names is there."""
    blocks = [block for block in blocks_of(ROOT / document) if block.language in CODE]
    idle = blocks if document not in READ else [block for block in blocks if not (block.is_run or block.title)]
    assert [block.line for block in idle if not block.excuse] == []
    for named in {name for block in idle for name in re.findall(r"\b(?:tests|docs)/[\w./-]*\w", block.excuse)}:
        assert (ROOT / named).exists(), f"{document}: {named}"


def test_output_that_differs_is_told(tmp_path: Path) -> None:
    """A document that promises something else than what comes is found out, in a command and in a program."""
    for code in ("```console\n$ echo one\ntwo\n```\n", "```python\nprint('one')\n```\n```text\ntwo\n```\n"):
        (tmp_path / "page.md").write_text(f"# Page\n\n{code}", encoding="utf-8")
        with pytest.raises(AssertionError, match=r"line 3"):
            Reader(tmp_path / str(len(code))).read(tmp_path / "page.md")


def test_comments_decide_what_is_run(tmp_path: Path) -> None:
    """An excuse for the page, for a block, and a block that is run although its page is not."""
    page = tmp_path / "page.md"
    block = "```sh\n:\n```\n"
    page.write_text(f"# Page\n<!-- not run: it is long -->\n\n{block}\n<!-- run -->\n{block}", encoding="utf-8")
    assert [one.excuse for one in blocks_of(page)] == ["not run: it is long", ""]
    page.write_text(f"# Page\n\n{block}\n<!-- not run: it is\nlong -->\n{block}\n{block}", encoding="utf-8")
    assert [one.excuse for one in blocks_of(page)] == ["", "not run: it is long", ""]


def test_a_block_in_a_list_loses_its_indent(tmp_path: Path) -> None:
    """What stands in an item is read without the spaces of the item."""
    page = tmp_path / "page.md"
    page.write_text(
        "- an item\n\n  ```python\n  if True:\n      print(1)\n  ```\n  ```text\n  1\n  ```\n", encoding="utf-8"
    )
    found: list[Block] = blocks_of(page)
    assert (found[0].text, found[0].output) == ("if True:\n    print(1)\n", "1\n")
