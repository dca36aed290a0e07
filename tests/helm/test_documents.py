"""Chart.yaml, README, schema and values of the chart agree with each other and with the service."""

from __future__ import annotations

import json
import re

import yaml
from helm_python.chart import lint

from helm.readme import described, readme
from server import __version__
from tests.helm.chart import CHART, ROOT, case, case_objects, objects, only, texts

VALUES = (CHART / "values.yaml").read_text(encoding="utf-8")
MANUAL = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")


def _leaves(value, above=()):
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _leaves(part, (*above, key))
    else:
        yield ".".join(above)


def test_the_readme_is_current():
    """`python -m helm.readme` would change nothing."""
    assert (CHART / "README.md").read_text(encoding="utf-8") == readme()


def test_every_value_is_described():
    """Each value, or the map that it is in, has its comment, which is one sentence at least."""
    comments = {each.path: each.meaning for each in described(VALUES)}
    assert all(meaning.endswith(".") for meaning in comments.values())
    mute = [
        path
        for path in _leaves(yaml.safe_load(VALUES))
        if not any(path == known or path.startswith(f"{known}.") for known in comments)
    ]
    assert mute == []


def test_the_schema_knows_exactly_the_values():
    """At the top, and in each component, the schema has the values of values.yaml and no other."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))["properties"]
    values = yaml.safe_load(VALUES)
    assert set(schema) == {*values, "global"}
    for part in ("gateway", "triton", "modelRepository", "networkPolicy", "route", "metrics", "auth", "tls", "ingress"):
        assert set(schema[part]["properties"]) == set(values[part]), part


def test_the_chart_is_of_this_version():
    """`appVersion` is the version of the service, which is the tag of its images."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == __version__
    assert chart["kubeVersion"] == ">=1.29.0-0"


def test_helm_finds_nothing_to_remark():
    """Helm's own lint, strict, has no error and no warning for the cases that render the most."""
    for name in ("local", "dra", "ha", "gateway-api"):
        given = {"kubeVersionOverride": "1.35.0", **case(name)}
        result = lint(CHART, given, namespace="faces", strict=True)
        worst = [each for each in result["messages"] if each["severity"] not in {"INFO", 1}]
        assert worst == [], (name, worst)


def test_notes_say_who_may_ask():
    """What Helm prints after an installation warns of an open service, of plain text and of a single pod."""
    notes = texts({})["glimpse/templates/NOTES.txt"]
    for warning in ("nobody is asked who they are", "speaks plain text", "there is one pod"):
        assert warning in notes
    closed = texts(case("restricted"))["glimpse/templates/NOTES.txt"]
    assert "NOTE" not in closed
    assert "Authorization" in closed
    assert "ready as soon as it listens" not in texts(case("mutual"))["glimpse/templates/NOTES.txt"]


def test_what_is_documented_exists():
    """Every value that docs/kubernetes.md names is one, and every file of values that it names is there."""
    known = {each.path for each in described(VALUES)}
    tops = "|".join({path.split(".")[0] for path in known if "." in path})
    named = set(re.findall(rf"`((?:{tops})(?:\.[A-Za-z]+)+)`", MANUAL))
    assert named
    whole = {*known, *(path.rpartition(".")[0] for path in known)}
    assert sorted(named - whole) == []
    for path in re.findall(r"helm/glimpse/ci/[a-z\-]+\.yaml", MANUAL):
        assert (ROOT / path).is_file(), path


def test_values_in_the_manual_render():
    """Each block of values in docs/kubernetes.md renders as it stands."""
    blocks = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL)]
    values = [block for block in blocks if isinstance(block, dict)]
    assert len(values) >= 3
    for block in values:
        assert objects(block)


def test_figures_of_the_manual_are_those_of_the_chart():
    """Resources that docs/kubernetes.md tells as the default are what the chart derives."""
    resources = only(case_objects("local"), "Deployment")["spec"]["template"]["spec"]["containers"][0]["resources"]
    for kind, word in (("requests", "request"), ("limits", "limit")):
        memory = resources[kind]["memory"].removesuffix("Mi")
        assert re.search(rf"^\| {word} of memory \|.*\| {memory} MiB \|$", MANUAL, re.MULTILINE)
        assert re.search(rf"^\| {word} of processors \|.*\| {resources[kind]['cpu']} \|$", MANUAL, re.MULTILINE)
