"""The documentation as a site: builds without a warning, holds every document, asks no other machine for anything."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.reader import ROOT

LINKS = {"a", "area"}
"""Elements whose addresses are followed by people alone."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [Path(sys.executable).with_name("mkdocs"), "build", "--strict", "--site-dir", folder],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder


class Addresses(HTMLParser):
    """What a page has the browser fetch by itself, and the places that it links to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.linked: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        to = self.linked if tag in LINKS or given.get("rel") == "canonical" else self.fetched
        to.extend(given[name] for name in ("src", "href", "srcset", "action", "data", "poster") if name in given)


def test_every_document_is_a_page(site: Path) -> None:
    """Also those that lie elsewhere in the repository, and all can be found by search."""
    documents = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    elsewhere = {Path("security.html"), Path("changelog.html"), Path("chart.html")}
    assert {path for path in documents | elsewhere if not (site / path).is_file()} == set()
    found = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    assert [path for path in documents | elsewhere if f'"{path.as_posix()}"' not in found] == []


def test_nothing_comes_from_another_machine(site: Path) -> None:
    """No script, style, font or picture: other machines are linked to, and asked only by who follows the link."""
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    foreign = {
        (page.name, each) for page in pages for each in Addresses(page).fetched if re.match(r"(?:\w+:)?//", each)
    }
    assert foreign == set()
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(?:\w+:)?//|@import", style.read_text(encoding="utf-8")), style


def test_what_the_theme_would_fetch_later_is_not_used(site: Path) -> None:
    """Its script fetches diagrams and figures of repositories from other machines where a page has these."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert 'class="mermaid"' not in text
        assert 'data-md-component="source"' not in text


def test_links_to_documents_elsewhere_lead_to_their_pages(site: Path) -> None:
    """`../SECURITY.md` is a file on a code host and a page here, in pages of every depth and back again."""
    assert "../security.html" in Addresses(site / "tutorials" / "server.html").linked
    assert "limits.html" in Addresses(site / "security.html").linked
    assert "chart.html" in Addresses(site / "kubernetes.html").linked
