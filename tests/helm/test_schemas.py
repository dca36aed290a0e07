"""What the chart renders is what the API of Kubernetes takes, in every version that the chart is for."""

from __future__ import annotations

import json

import pytest
from kubernetes_validate import ValidationError

from tests.helm.chart import CASES, NEWEST, OLDEST, Object, case, case_objects
from tests.helm.kubernetes_api import VERSIONS, check, parts

CUSTOM = {
    "monitoring.coreos.com/v1", "keda.sh/v1alpha1", "gateway.networking.k8s.io/v1", "gateway.envoyproxy.io/v1alpha1",
}  # fmt: skip


def _fits(name: str, version: str) -> bool:
    wanted = case(name).get("kubeVersionOverride", OLDEST)
    return parts(wanted) <= parts(version)


def _distinct(version: str) -> list[Object]:
    rendered = OLDEST if version.startswith("1.29") else NEWEST
    found = [each for name in CASES if _fits(name, version) for each in case_objects(name, rendered)]
    return list({json.dumps(each, sort_keys=True): each for each in found}.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_fit_the_strict_schema(version):
    """Each object of each case has the fields that this version knows, and no other."""
    checked = [each for each in _distinct(version) if each["apiVersion"] not in CUSTOM]
    assert {each["kind"] for each in checked} >= {"Deployment", "Service", "NetworkPolicy", "HorizontalPodAutoscaler"}
    for each in checked:
        check(each, version)


def test_the_oldest_and_the_newest_are_known():
    """The versions under test are those that the chart claims, to the newest of which there is a schema."""
    assert VERSIONS[0] == OLDEST
    assert VERSIONS[-1] == NEWEST


def test_a_wrong_field_is_found():
    """The schemas are closed: a misspelt field is an error and not ignored."""
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"portz": []}}
    with pytest.raises(ValidationError, match="portz"):
        check(wrong, NEWEST)
