"""Writes the chart's README from its values and their comments: `python -m helm.readme`.

A comment that begins with `# --` describes the value below it. A map without one is a heading for what is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import yaml

from helm.settings_schema import OWNED

CHART = Path(__file__).parent / "glimpse"
_MARK = "# -- "
_HEAD = """# Chart `glimpse`

{description} Installed, explained and upgraded in [docs/kubernetes.md](../../docs/kubernetes.md).

This file is written by `python -m helm.readme` from `values.yaml`. Needs Kubernetes `{kube}`.

## Values
| value | default | meaning |
|---|---|---|
"""
_OWNED = """
## Settings that other values decide
`gateway.settings` refuses these, and every setting that holds a secret.

| setting | value |
|---|---|
"""


@dataclass(frozen=True, slots=True)
class Described:
    """One value with its comment; `path` joins the keys by dots."""

    path: str
    default: object
    meaning: str


def described(text: str) -> Iterator[Described]:
    """Every value of a values.yaml that has a comment, in its order."""
    lines = text.splitlines()
    root = yaml.compose(text, yaml.SafeLoader)
    if isinstance(root, yaml.MappingNode):
        yield from _within(root, lines, ())


def _within(node: yaml.MappingNode, lines: list[str], above: tuple[str, ...]) -> Iterator[Described]:
    for key, value in node.value:
        path = (*above, str(key.value))
        meaning = _comment(lines, key.start_mark.line)
        if meaning:
            default = yaml.SafeLoader("").construct_document(value)
            # What is described one by one below is not repeated here.
            nested = _is_heading(value) and _describes(value, lines)
            yield Described(".".join(path), {} if nested else default, meaning)
        if _is_heading(value):
            yield from _within(value, lines, path)


def _is_heading(node: yaml.Node) -> TypeGuard[yaml.MappingNode]:
    return isinstance(node, yaml.MappingNode) and not node.flow_style


def _describes(node: yaml.MappingNode, lines: list[str]) -> bool:
    return any(True for _ in _within(node, lines, ()))


def _comment(lines: list[str], below: int) -> str:
    """The comment block right above a line, without its marks; empty where it does not begin with the mark."""
    start = below
    while start and lines[start - 1].lstrip().startswith("#"):
        start -= 1
    block = [line.strip() for line in lines[start:below]]
    marked = [index for index, line in enumerate(block) if line.startswith(_MARK)]
    if not marked:
        return ""
    first, *rest = block[marked[-1] :]
    return " ".join([first.removeprefix(_MARK), *(line.removeprefix("#").strip() for line in rest)])


def readme() -> str:
    """The whole text of the chart's README."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    text = _HEAD.format(description=chart["description"], kube=chart["kubeVersion"])
    for each in described((CHART / "values.yaml").read_text(encoding="utf-8")):
        default = json.dumps(each.default).replace("|", "\\|")
        text += f"| `{each.path}` | `{default}` | {each.meaning.replace('|', chr(92) + '|')} |\n"
    text += _OWNED
    return text + "".join(f"| `{setting}` | `{value}` |\n" for setting, value in sorted(OWNED.items()))


def main() -> None:
    """Rewrite the README."""
    (CHART / "README.md").write_text(readme(), encoding="utf-8")


if __name__ == "__main__":
    main()
