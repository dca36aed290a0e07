"""The fenced blocks of a document: what is run, what is saved, what must come out, and what is not run, and why.

A document says what a reader need not see in comments of HTML:

    <!-- not run: REASON -->           below the title: no block of the document is run, unless it says otherwise;
                                       right before a block: that one is not run
    <!-- run by tests/FILE.py -->      the same, since another test runs it
    <!-- run -->                       right before a block: it is run although its document is not
    <!-- open ADDRESS, choose FILE --> right before a `text` block: what a page shows when FILE is chosen in it
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

RUN = frozenset({"sh", "console", "python"})
CODE = RUN | {"javascript", "js", "html"}
_FENCE = re.compile(r"^( *)```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- ((?:(?!-->).)*) -->\s*\Z", re.DOTALL)
_PAGE_COMMENT = re.compile(r"\A# [^\n]*\n<!-- ((?:not run|run by)\b.*?) -->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block: its first line, its language, the file that it is to be saved as (or ""), its text, what the comment
    before it says (or ""), and the `text` that follows as its output (None where none does).
    """

    line: int
    language: str
    title: str
    text: str
    comment: str
    output: str | None

    @property
    def is_run(self) -> bool:
        """Whether it is a program or commands that are run here."""
        return self.language in RUN and not self.title and not self.excuse

    @property
    def excuse(self) -> str:
        """Why it is not run here; "" where it is."""
        return self.comment if self.comment.startswith(("not run: ", "run by ")) else ""


def blocks_of(document: Path) -> list[Block]:
    """The blocks of a document, in their order."""
    text = document.read_text(encoding="utf-8")
    for_all = _PAGE_COMMENT.search(text)
    found: list[Block] = []
    fences = list(_FENCE.finditer(text))
    for number, fence in enumerate(fences):
        following = fences[number + 1] if number + 1 < len(fences) else None
        between = text[fence.end() : following.start()] if following else ""
        is_output = following is not None and following[2] == "text" and not between.strip()
        said = _COMMENT.search(text[: fence.start()])
        comment = " ".join(said[1].split()) if said and said.start() > (for_all.end() - 1 if for_all else -1) else ""
        if not comment and for_all and fence[2] in CODE:
            comment = " ".join(for_all[1].split())
        output = _body(following) if is_output and following else None
        line = text.count("\n", 0, fence.start()) + 1
        found.append(Block(line, fence[2], fence[3] or "", _body(fence), comment, output))
    return found


def _body(fence: re.Match[str]) -> str:
    """The text of a fence without its indent."""
    return "".join(line[len(fence[1]) :] for line in fence[4].splitlines(keepends=True))


def commands(block: Block) -> list[tuple[str, str | None]]:
    """The shell commands of a block, each with the output that it shows, or None. After a `$ ` comes a
    command, until the line that does not end in a backslash; all else is output. A block without one is one script.
    """
    lines = block.text.splitlines(keepends=True)
    if not any(line.startswith("$ ") for line in lines):
        return [(block.text, block.output)]
    found: list[tuple[str, str | None]] = []
    goes_on = False
    for line in lines:
        if line.startswith("$ "):
            found.append((line[2:], None))
        elif goes_on:
            found[-1] = (found[-1][0] + line, None)
        else:
            found[-1] = (found[-1][0], (found[-1][1] or "") + line)
        goes_on = (line.startswith("$ ") or goes_on) and line.rstrip("\n").endswith("\\")
    return found
