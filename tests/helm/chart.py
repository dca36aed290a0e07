"""Renders the chart with Helm's own engine. The one place that knows the package that carries it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart, HelmError

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "glimpse"
CASES = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
OLDEST, NEWEST = "1.29.0", "1.37.0"
Object = dict[str, Any]


class Refused(Exception):
    """The chart does not take these values."""


@functools.cache
def _chart() -> Chart:
    return Chart.load(CHART)


def texts(values: Mapping[str, Any], *, release: str = "demo") -> dict[str, str]:
    """Every rendered template by its path. Raises `Refused` with Helm's message."""
    try:
        return _chart().render(dict(values), name=release, namespace="faces")
    except HelmError as error:
        raise Refused(str(error)) from None


def objects(values: Mapping[str, Any], *, release: str = "demo") -> list[Object]:
    """Every object that Helm would send to a cluster. Raises `Refused`."""
    rendered = texts(values, release=release)
    parts = [text for path, text in rendered.items() if path.endswith(".yaml")]
    return [each for text in parts for each in yaml.load_all(text, yaml.CSafeLoader) if each]


def case(name: str, **values: Any) -> dict[str, Any]:
    """The values of `ci/NAME-values.yaml`; `values` win over theirs at the top."""
    return {**(yaml.safe_load(CASES[name].read_text(encoding="utf-8")) or {}), **values}


@functools.cache
def _case_objects(name: str, version: str) -> tuple[Object, ...]:
    given = case(name)
    return tuple(objects({**given, "kubeVersionOverride": given.get("kubeVersionOverride", version)}))


def case_objects(name: str, version: str = NEWEST) -> tuple[Object, ...]:
    """The objects of a case, rendered once, for a version of Kubernetes where the case names none."""
    return _case_objects(name, version)


def only(found: list[Object] | tuple[Object, ...], kind: str, name: str = "") -> Object:
    """The one object of this kind, and of this name where there are several."""
    (match,) = [each for each in found if each["kind"] == kind and name in {"", each["metadata"]["name"]}]
    return match


def pods(found: list[Object] | tuple[Object, ...]) -> Iterator[tuple[str, Object]]:
    """Every pod, or template of pods, with the name of its object: the specification alone."""
    for each in found:
        if each["kind"] == "Deployment":
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]
        elif each["kind"] == "Pod":
            yield each["metadata"]["name"], each["spec"]


def containers(pod: Object) -> list[Object]:
    """Those of a pod, of its start and beside it."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def environment(found: list[Object] | tuple[Object, ...]) -> dict[str, str]:
    """The variables that settings of the gateway are given by."""
    (settings,) = [each for each in found if each["kind"] == "ConfigMap" and "-settings-" in each["metadata"]["name"]]
    return settings["data"]
