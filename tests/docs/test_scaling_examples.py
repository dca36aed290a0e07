"""What docs/scaling.md shows of the capacity calculator is what it prints."""

from __future__ import annotations

import shlex

import pytest

from export.cli import main
from tests.docs.blocks import blocks_of, commands
from tests.docs.reader import ROOT

MANUAL = ROOT / "docs" / "scaling.md"
EXAMPLES = [command for block in blocks_of(MANUAL) if block.language == "console" for command, _ in commands(block)]


@pytest.mark.parametrize("command", EXAMPLES)
def test_examples_are_shown_as_they_are_printed(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every line, tables included, which the document shows as tables."""
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(command)
    assert program == "glimpse-export"
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) > 10
    shown = MANUAL.read_text(encoding="utf-8").splitlines()
    assert [line for line in printed if line.strip() and line not in shown] == []
