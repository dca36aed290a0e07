"""Documents that lie elsewhere in the repository become pages of the site, and links to them lead there.

On a code host `../SECURITY.md` is a file; in the site it is the page `security.md`. A link to anything else outside of
`docs/` would lead nowhere in the site, so that the strict build refuses it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ELSEWHERE = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "helm/glimpse/README.md": "chart.md",
}
"""Path in the repository to page of the site. The README's is the site's first one, which says the same in short."""
_PAGES = {page: path for path, page in ELSEWHERE.items() if page != "index.md"}
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents that lie outside of `docs/`."""
    for page, path in _PAGES.items():
        text = (Path(config.docs_dir).parent / path).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """`markdown` with links that the site can follow."""
    here = page.file.src_uri
    in_repository = posixpath.dirname(_PAGES.get(here, f"docs/{here}"))

    def followed(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(in_repository, link[1]))
        if target in ELSEWHERE:
            return posixpath.relpath(ELSEWHERE[target], posixpath.dirname(here))
        if here in _PAGES and target.startswith("docs/"):
            return target.removeprefix("docs/")
        return link[1]

    return _LINK.sub(followed, markdown)
