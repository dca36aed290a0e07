"""The variables that the chart gives are settings of the service, and the service takes them."""

from __future__ import annotations

import json

import pytest
from pydantic import SecretStr

from helm.settings_schema import ELSEWHERE, NEEDED, OWNED, SCHEMA, settings_schema, with_settings
from server.settings import Settings, load
from tests.helm.chart import CASES, Refused, case, case_objects, environment, objects, only, pods

FIELDS = {
    f"{group}.{field}": info.annotation
    for group, branch in Settings.model_fields.items()
    for field, info in branch.annotation.model_fields.items()
}


def test_the_schema_is_current():
    """The chart's schema has the settings of this version: `python -m helm.settings_schema` would change nothing."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert with_settings(schema) == schema


def test_every_setting_is_settable_or_decided_by_a_value():
    """What `gateway.settings` takes is every setting but secrets and those of other commands and other values."""
    groups = settings_schema()["properties"]
    taken = {f"{group}.{field}" for group, part in groups.items() for field in part["properties"]}
    secrets = {name for name, annotation in FIELDS.items() if annotation is SecretStr}
    elsewhere = {name for name in FIELDS if name.split(".")[0] in ELSEWHERE}
    assert secrets
    assert set(OWNED) <= set(FIELDS)
    assert taken == set(FIELDS) - set(OWNED) - secrets - elsewhere


@pytest.mark.parametrize("name", CASES)
def test_the_service_takes_what_the_chart_gives(name):
    """The settings tree reads the variables of each case, and finds them right together."""
    variables = environment(case_objects(name))
    settings = load(variables)
    assert settings.server.host == "0.0.0.0"
    assert (settings.server.port, settings.server.grpc_port) == (8080, 8081)
    mode = case(name).get("triton", {}).get("mode", "none")
    assert settings.backend.kind == ("local" if mode == "none" else "triton")


@pytest.mark.parametrize("setting", [*OWNED, "mllm.api_key", "client.api_key", "limits.clip_second"])
def test_what_is_not_for_a_map_of_settings_is_refused(setting):
    """Secrets, what other values decide and misspelt names end the rendering, which names them."""
    group, field = setting.split(".")
    with pytest.raises(Refused, match=f"additional properties '({field}|{group})' not allowed"):
        objects({"gateway": {"settings": {group: {field: "x"}}}})


@pytest.mark.parametrize(("group", "needed"), NEEDED.items())
def test_what_templates_compute_with_cannot_be_taken_away(group, needed):
    """A null for a setting from which memory or the grace period follow is refused with its name."""
    for field in needed:
        with pytest.raises(Refused, match=field):
            objects({"gateway": {"settings": {group: {field: None}}}})


def test_numbers_lists_and_switches_are_written_as_the_service_reads_them():
    """Large numbers are not written with an exponent, lists have commas, switches are words."""
    given = {
        "limits": {"upload_bytes": 4294967296, "clip_seconds": 0.5},
        "server": {"allowed_origins": ["https://a.example", "https://b.example"], "grpc_reflection": False},
    }
    variables = environment(objects({"gateway": {"settings": given}}))
    assert variables["GLIMPSE_LIMITS__UPLOAD_BYTES"] == "4294967296"
    settings = load(variables)
    assert settings.limits.upload_bytes == 4294967296
    assert settings.limits.clip_seconds == 0.5
    assert settings.server.allowed_origins == ("https://a.example", "https://b.example")
    assert settings.server.grpc_reflection is False


def test_names_of_routes_are_answered():
    """Where routes have names, the service answers to these and to those of its Service, and else to all."""
    hosts = load(environment(case_objects("gateway-api"))).server.allowed_hosts
    assert {"glimpse.example.com", "glimpse.internal", "demo-glimpse", "demo-glimpse.faces.svc"} <= set(hosts)
    assert load(environment(case_objects("local"))).server.allowed_hosts == ()
    route = {"parentRefs": [{"name": "public"}], "http": {"enabled": True, "hostnames": ["*.example.com"]}}
    assert load(environment(objects({"route": route}))).server.allowed_hosts == ()


def test_secrets_are_files():
    """Keys, key sets and certificates come as files of Secrets, whole folders, that the group alone may read."""
    found = case_objects("restricted")
    settings = load(environment(found))
    ((_, spec),) = [each for each in pods(found) if each[0] == "demo-glimpse"]
    mounts = {mount["mountPath"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    secrets = {each["name"]: each["secret"] for each in spec["volumes"] if "secret" in each}
    for path in (settings.access.keys_file, settings.tls.certificate, settings.tls.key, settings.tls.client_ca,
                 settings.mllm.api_key_file):  # fmt: skip
        mount = mounts[path.rpartition("/")[0]]
        assert "subPath" not in mount
        assert secrets[mount["name"]]["defaultMode"] == 0o440
    assert settings.access.require_auth
    assert settings.access.jwt_jwks == "https://login.example.com/jwks.json"


def test_a_change_of_settings_is_a_roll_out():
    """Settings are an immutable object named by its contents, and pods name it: no pod runs on half a change."""
    before = objects({})
    after = objects({"gateway": {"settings": {"limits": {"clip_seconds": 60}}}})
    assert only(before, "ConfigMap")["immutable"] is True
    names = {only(found, "ConfigMap")["metadata"]["name"] for found in (before, after)}
    assert len(names) == 2
    for found in (before, after):
        container = only(found, "Deployment")["spec"]["template"]["spec"]["containers"][0]
        assert container["envFrom"] == [{"configMapRef": {"name": only(found, "ConfigMap")["metadata"]["name"]}}]
