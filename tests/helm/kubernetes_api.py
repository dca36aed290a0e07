"""The strict schemas of Kubernetes' API, by version."""

from __future__ import annotations

import functools

import kubernetes_validate.utils as kubernetes

from tests.helm.chart import OLDEST, Object

# The package reads a schema anew for each object, which takes most of the time.
kubernetes.schema_contents = functools.cache(kubernetes.schema_contents)


def parts(version: str) -> tuple[int, ...]:
    """The numbers of a version."""
    return tuple(map(int, version.split(".")))


VERSIONS = [each for each in dict.fromkeys(kubernetes.all_versions()) if parts(each) >= parts(OLDEST)]


def check(each: Object, version: str) -> None:
    """Raises `kubernetes_validate.ValidationError` where an object has not the fields of this version."""
    kubernetes.validate(each, version, strict=True)
