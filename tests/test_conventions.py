"""Conventions that a reader would otherwise have to police."""

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINE_CEILING = 300
ALLOWED_LONGER = {"server/types.py"}


def _tracked(*patterns):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def _tests():
    return [path for path in _tracked("tests/*.py", "tests/**/*.py") if path.name.startswith("test_")]


def test_modules_stay_short():
    """A file past 300 lines usually hides two ideas."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in _tracked("server/*.py", "export/*.py", "client/*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LINE_CEILING
    }
    assert set(long) <= ALLOWED_LONGER, long


def test_every_test_states_its_behaviour():
    """Each test's docstring is the behaviour in a sentence."""
    mute = [
        f"{path.relative_to(ROOT)}::{node.name}"
        for path in _tests()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert mute == []


def test_tests_do_not_sleep():
    """Waiting for a clock makes a suite slow and flaky."""
    sleepers = [
        str(path.relative_to(ROOT))
        for path in _tests()
        if re.search(r"\btime\.sleep\(|asyncio\.sleep\((?!0\))", path.read_text(encoding="utf-8"))
    ]
    assert sleepers == []


def test_the_committed_repository_is_small():
    """Models and samples together stay under 40 MB, no file over 9 MB: what is larger is made by `make zoo`."""
    sizes = {path: path.stat().st_size for path in _tracked("model_repository", "samples", "server/faces/assets")}
    assert sum(sizes.values()) < 40e6
    assert {str(path) for path, size in sizes.items() if size > 9e6} == set()


def test_every_dependency_is_justified():
    """docs/dependencies.md has a line for each package that pyproject.toml names."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.split(r"[\[<>=~! ]", requirement)[0] for group in groups for requirement in group}
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert sorted(name for name in names if f"| `{name}` |" not in text) == []


def test_every_dependency_is_pinned():
    """constraints.txt pins each package that pyproject.toml names to one version."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    pinned = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    wanted = {
        re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! ]", requirement)[0]).lower()
        for extra, group in groups.items()
        if extra != "gpu"
        for requirement in group
    }
    assert sorted(wanted - pinned) == []


@pytest.mark.parametrize("card", sorted((ROOT / "model_repository").glob("*/card.json")), ids=lambda p: p.parent.name)
def test_every_figure_of_a_card_names_its_command(card):
    """A result without the command that made it is not a result."""
    results = json.loads(card.read_text(encoding="utf-8"))["results"]
    assert results
    assert all(result["command"].startswith(("glimpse", "python -m bench")) for result in results)
