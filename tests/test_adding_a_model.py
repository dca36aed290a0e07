"""Does docs/adding-a-model.md work as it is written?"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def page(pytestconfig: pytest.Config) -> str:
    """The text of the page."""
    return (pytestconfig.rootpath / "docs" / "adding-a-model.md").read_text(encoding="utf-8")


def test_a_stranger_adds_a_network_in_one_file_and_one_command(
    page: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """The file and every command of the page, in their order, in a copy of the package."""
    root = pytestconfig.rootpath
    shutil.copytree(root / "export", tmp_path / "export", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "samples").symlink_to(root / "samples")
    name, code = re.findall(r"`(\w+\.py)` in `export/networks/`:\n\n```python\n(.*?)```", page, flags=re.DOTALL)[0]
    (tmp_path / "export" / "networks" / name).write_text(code, encoding="utf-8")
    commands = [line for block in re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 3
    said = [_run(command.split(), tmp_path, root) for command in commands]
    assert "torch and local" in said[1]
    assert "mean_face version 1" in said[2]
    card = json.loads((tmp_path / "model_repository" / "mean_face" / "card.json").read_text(encoding="utf-8"))
    assert card["parameters"] == 27 * 3 + 3
    assert card["command"] == commands[0]


def _run(command: list[str], folder: Path, root: Path) -> str:
    program = Path(sys.executable).with_name(command[0])
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{root}"}
    ended = subprocess.run(
        [program, *command[1:]], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr
