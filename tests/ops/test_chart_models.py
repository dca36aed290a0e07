"""Objects of other operators, read by their typed models."""

from __future__ import annotations

import pytest

from tests.helm.chart import Object, case_objects

CASES = ("ha", "keda", "restricted", "sidecar")
GROUPS = {"monitoring.coreos.com/v1", "keda.sh/v1alpha1"}

pytestmark = pytest.mark.ops


def _read(each: Object) -> Object:
    from cloudcoil.models.keda import v1alpha1 as keda
    from cloudcoil.models.prometheus_operator import v1 as prometheus

    models = keda if each["apiVersion"].startswith("keda.sh") else prometheus
    model = getattr(models, each["kind"]).model_validate(each)
    read: Object = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return read


@pytest.mark.parametrize("name", CASES)
def test_objects_of_operators_are_read_whole(name):
    """Each object is valid, and no field of it is unknown to the models, which would leave it out."""
    found = [each for each in case_objects(name) if each["apiVersion"] in GROUPS]
    assert found
    for each in found:
        assert _read(each)["spec"] == each["spec"]


def test_an_unknown_field_is_found():
    """A misspelt field is left out by the models, so that what is read differs; a wrong type is an error."""
    from pydantic import ValidationError

    (monitor,) = [each for each in case_objects("restricted") if each["kind"] == "ServiceMonitor"]
    wrong = {**monitor, "spec": {**monitor["spec"], "endpoint": []}}
    assert _read(wrong)["spec"] != wrong["spec"]
    with pytest.raises(ValidationError):
        _read({**monitor, "spec": {**monitor["spec"], "endpoints": "http"}})
