"""What docs/client.md shows works as it is shown."""

import re
from pathlib import Path

import pytest

import client

MANUAL = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
EXAMPLES = [code for code in re.findall(r"```python\n(.*?)```", MANUAL, re.DOTALL) if "Tls(" not in code]
"""But for that of encryption, which wants certificates: see tests/tls/test_manual.py."""


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_run(number, service, gateway, monkeypatch, capsys):
    """Against a service at the addresses that they name."""
    monkeypatch.chdir(Path(__file__).parents[2])
    code = EXAMPLES[number].replace("127.0.0.1:8081", service.target).replace("http://127.0.0.1:8080", gateway.url)
    exec(compile(code, f"docs/client.md, example {number}", "exec"), {"rest_png": b"rest", "height_png": b"height"})
    assert capsys.readouterr().out


def test_the_manual_names_every_error():
    """The tree is that of the package."""
    kinds = {name for name in client.__all__ if re.search(rf"\b{name}\b", MANUAL)}
    errors = {name for name in client.__all__ if isinstance(getattr(client, name), type)}
    errors = {name for name in errors if issubclass(getattr(client, name), client.ClientError)}
    assert errors <= kinds
