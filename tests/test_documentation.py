"""The documents say where things are: every place they name exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    """Relative links point to files of the repository."""
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text)
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_exist(document):
    """A path in code type is a file or a folder of the repository."""
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"`((?:server|export|client|bench|tests|samples|docs|model_repository)/[\w./-]*)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_commands_of_the_manuals_exist():
    """Every `glimpse` or `glimpse-export` command that a document shows is one."""
    known = {
        program: subprocess.run(
            [str(Path(sys.executable).with_name(program)), "--help"], capture_output=True, text=True, check=True
        ).stdout
        for program in ("glimpse", "glimpse-export")
    }
    for document in DOCUMENTS:
        for program, command in re.findall(r"\b(glimpse(?:-export)?) ([a-z]+)", document.read_text(encoding="utf-8")):
            assert re.search(rf"\b{command}\b", known[program]), f"{document.name}: {program} {command}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_tests_exist(document):
    """A document that says which test proves something names one that there is."""
    for path, name in re.findall(r"\b(tests/[\w/]+\.py)::(\w+)", document.read_text(encoding="utf-8")):
        assert re.search(rf"^(?:async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.M), (
            f"{path}::{name}"
        )
