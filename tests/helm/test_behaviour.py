"""What each choice among the values comes to."""

from __future__ import annotations

import pytest

from server.settings import Settings, load
from tests.helm.chart import CASES, case, case_objects, containers, environment, objects, only, pods

MIB = 2**20
GATEWAY, TRITON = "demo-glimpse", "demo-glimpse-triton"


def _pod(found, name=GATEWAY):
    return dict(pods(found))[name]


def _gateway(found):
    return _pod(found)["containers"][0]


def _triton(found, name=TRITON):
    (container,) = [each for each in containers(_pod(found, name)) if each["name"] == "triton"]
    return container


def _mebibytes(quantity):
    assert quantity.endswith("Mi")
    return int(quantity.removesuffix("Mi"))


@pytest.mark.parametrize("name", CASES)
def test_a_pod_lives_longer_than_its_drain(name):
    """The kubelet waits for the sleep before SIGTERM and for all that the service takes to drain, and 15 s more."""
    found = case_objects(name)
    pod = _pod(found)
    stop = _gateway(found)["lifecycle"]["preStop"]
    sleep = stop["sleep"]["seconds"] if "sleep" in stop else int(stop["exec"]["command"][1])
    drain = load(environment(found)).server.drain_seconds
    assert pod["terminationGracePeriodSeconds"] == sleep + drain + 15


def test_the_grace_period_follows_the_settings():
    """A longer drain in the settings is a longer grace period; the default is that of the service."""
    assert load(environment(objects({}))).server.drain_seconds == Settings().server.drain_seconds
    found = objects({"gateway": {"settings": {"server": {"drain_seconds": 120.5}}, "preStopSeconds": 0}})
    assert _pod(found)["terminationGracePeriodSeconds"] == 121 + 15
    assert "lifecycle" not in _gateway(found)


def test_the_kubelet_sleeps_where_it_can():
    """From 1.30 on the kubelet sleeps before SIGTERM, and before that a command in the image does."""
    assert "sleep" in _gateway(case_objects("local", "1.30.0"))["lifecycle"]["preStop"]
    assert _gateway(case_objects("local", "1.29.0"))["lifecycle"]["preStop"] == {"exec": {"command": ["sleep", "5"]}}


def test_liveness_and_start_depend_on_nothing_else():
    """Only readiness asks whether models can be asked: a Triton that is away restarts no gateway."""
    for name in ("local", "cpu", "gateway-api"):
        container = _gateway(case_objects(name))
        assert container["startupProbe"]["httpGet"]["path"] == "/livez"
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert _gateway(case_objects("local"))["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert _gateway(case_objects("gateway-api"))["readinessProbe"]["grpc"] == {"port": 8081}


def test_probes_speak_what_the_service_speaks():
    """Under TLS probes use it; where clients must show a certificate, the probe that shows one is a command."""
    assert _gateway(case_objects("restricted"))["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"
    container = _gateway(case_objects("mutual"))
    assert "tcpSocket" in container["livenessProbe"]
    assert container["readinessProbe"]["exec"]["command"][:3] == ["glimpse", "health", "--ready"]
    without = case("mutual")
    del without["tls"]["probeSecret"]
    assert "tcpSocket" in _gateway(objects(without))["readinessProbe"]


@pytest.mark.parametrize("name", CASES)
def test_memory_bounds_what_the_settings_allow(name):
    """The limit holds all workers, all streams and all uploads at their own limits, so that these are what refuses."""
    found = case_objects(name)
    settings = load(environment(found))
    processes = settings.workers.count + settings.workers.spare + settings.live.max_streams + 1
    most = processes * settings.workers.memory_bytes + settings.limits.buffered_bytes
    resources = _gateway(found)["resources"]
    tmp = next(each["emptyDir"] for each in _pod(found)["volumes"] if each["name"] == "tmp")
    assert tmp["medium"] == "Memory"
    assert _mebibytes(resources["limits"]["memory"]) * MIB >= most + _mebibytes(tmp["sizeLimit"]) * MIB
    assert _mebibytes(resources["requests"]["memory"]) >= 256 * processes
    assert int(resources["requests"]["cpu"]) == settings.workers.count
    assert int(resources["limits"]["cpu"]) > settings.workers.count


def test_resources_that_are_given_are_taken():
    """Resources among the values take the place of what is derived."""
    wanted = {"requests": {"cpu": "8", "memory": "16Gi"}, "limits": {"memory": "16Gi"}}
    assert _gateway(objects({"gateway": {"resources": wanted}}))["resources"] == wanted


def test_models_run_in_the_gateway_by_default():
    """Without a value there is one Deployment, no Triton, no claim and no monitor."""
    kinds = [each["kind"] for each in case_objects("local")]
    assert sorted(kinds) == ["ConfigMap", "Deployment", "NetworkPolicy", "Pod", "Service", "ServiceAccount"]


def test_gateways_see_every_address_of_triton():
    """Triton's Service is headless, and the gateway asks under its whole name."""
    found = case_objects("cpu")
    service = only(found, "Service", f"{TRITON}-headless")
    assert service["spec"]["clusterIP"] == "None"
    assert load(environment(found)).backend.triton_address == f"{TRITON}-headless.faces.svc.cluster.local:8001"


def test_a_sidecar_ends_after_the_gateway():
    """The Triton of a pod is a sidecar of the kubelet's kind, asked on loopback, and the only one."""
    found = case_objects("sidecar")
    container = _triton(found, GATEWAY)
    assert container["restartPolicy"] == "Always"
    assert container in _pod(found)["initContainers"]
    assert load(environment(found)).backend.triton_address == "127.0.0.1:8001"
    assert [each["metadata"]["name"] for each in found if each["kind"] == "Deployment"] == [GATEWAY]


def test_no_gpu_is_spoken_of_without_one():
    """A Triton on processors has no line about GPUs; otherwise the resource, or the claim, is that of the values."""
    assert "nvidia" not in str(case_objects("cpu"))
    assert _triton(case_objects("gpu"))["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert _triton(case_objects("mig"))["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == 1
    found = case_objects("dra")
    assert _triton(found)["resources"]["claims"] == [{"name": "gpu"}]
    (claim,) = _pod(found, TRITON)["resourceClaims"]
    assert claim["resourceClaimTemplateName"] == only(found, "ResourceClaimTemplate")["metadata"]["name"]


@pytest.mark.parametrize(
    ("name", "folder", "gateway_too"),
    [
        ("cpu", "/models", True), ("mig", "/models", True), ("dra", "/models", True),
        ("gpu", "s3://models/glimpse", False), ("ingress", "gs://models/glimpse", False),
        ("ha", "/app/model_repository", False),
    ],
)  # fmt: skip
def test_where_models_are(name, folder, gateway_too):
    """Triton reads each source; the gateway has the same copy, or its own where only Triton can read the source."""
    found = case_objects(name)
    assert f"--model-repository={folder}" in _triton(found)["args"]
    assert ("GLIMPSE_BACKEND__REPOSITORY" in environment(found)) is gateway_too
    mounted = [mount for mount in _gateway(found)["volumeMounts"] if mount["name"] == "models"]
    assert [mount["readOnly"] for mount in mounted] == [True] * gateway_too


def test_scaled_pods_are_not_counted_as_well():
    """A Deployment that is scaled has no number of its own, and there is one scaler for each."""
    for name, kind in (("ha", "HorizontalPodAutoscaler"), ("keda", "ScaledObject")):
        found = case_objects(name)
        assert all("replicas" not in each["spec"] for each in found if each["kind"] == "Deployment")
        targets = [each["spec"]["scaleTargetRef"]["name"] for each in found if each["kind"] == kind]
        assert sorted(targets) == [GATEWAY, TRITON]
        assert not {"HorizontalPodAutoscaler", "ScaledObject"} - {kind} & {each["kind"] for each in found}


def test_scalers_ask_for_metrics_that_exist():
    """What scales the gateway are metrics that the service has, over its own pods; thresholds of KEDA are texts."""
    from server.telemetry.metrics import Metrics

    names = {family.name for family in Metrics().registry.collect()}
    found = case_objects("keda")
    triggers = only(found, "ScaledObject", GATEWAY)["spec"]["triggers"]
    asked = {each["metadata"]["query"].removeprefix("sum(").partition("{")[0] for each in triggers}
    assert asked <= names
    assert all(isinstance(each["metadata"]["threshold"], str) for each in triggers)
    pods_of_hpa = only(case_objects("ha"), "HorizontalPodAutoscaler", GATEWAY)["spec"]["metrics"]
    assert {each["pods"]["metric"]["name"] for each in pods_of_hpa if each["type"] == "Pods"} == asked


def test_budgets_only_where_there_are_several():
    """One pod has no disruption budget, which would keep its node from being emptied."""
    assert "PodDisruptionBudget" not in {each["kind"] for each in case_objects("local")}
    budgets = [each for each in case_objects("ha") if each["kind"] == "PodDisruptionBudget"]
    assert {each["metadata"]["name"] for each in budgets} == {GATEWAY, TRITON}
    assert {each["spec"]["unhealthyPodEvictionPolicy"] for each in budgets} == {"AlwaysAllow"}
    keda = [each for each in case_objects("keda") if each["kind"] == "PodDisruptionBudget"]
    assert [each["metadata"]["name"] for each in keda] == [GATEWAY]


def test_only_the_gateway_reaches_triton():
    """Triton's policy lets the gateway in, and Prometheus where it asks; Triton itself may go nowhere."""
    spec = only(case_objects("cpu"), "NetworkPolicy", TRITON)["spec"]
    (rule,) = spec["ingress"]
    (peer,) = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    assert [port["port"] for port in rule["ports"]] == [8001]
    assert spec["egress"] == []
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    watched = only(case_objects("ha"), "NetworkPolicy", TRITON)["spec"]["ingress"]
    assert [port["port"] for each in watched for port in each["ports"]] == [8001, 8002]


def _leads_to(found, name=GATEWAY):
    spec = only(found, "NetworkPolicy", name)["spec"]
    return {port["port"] for rule in spec["egress"] for port in rule["ports"]}


def test_the_gateway_goes_only_where_it_must():
    """Names are looked up; Tritons, an issuer, an endpoint and a collector are reached where there are any."""
    assert _leads_to(case_objects("local")) == {53}
    assert _leads_to(case_objects("cpu")) == {53, 8001}
    assert _leads_to(case_objects("external-triton")) == {53, 9001, 9002, 4317}
    assert _leads_to(case_objects("restricted")) == {53, 443, 8443}
    assert _leads_to(case_objects("gpu"), TRITON) == {53, 443}
    two = {"mode": "external", "external": {"address": "a.example:8001, b.example:9001"}}
    assert _leads_to(objects({"triton": two})) == {53, 8001, 9001}


def test_proxies_come_in_where_there_are_routes():
    """The namespace of the proxies is let in with a route or an Ingress, and not without."""

    def spaces(name):
        peers = only(case_objects(name), "NetworkPolicy", GATEWAY)["spec"]["ingress"][0]["from"]
        labels = [peer.get("namespaceSelector", {}).get("matchLabels", {}) for peer in peers]
        return {each.get("kubernetes.io/metadata.name") for each in labels} - {None}

    assert spaces("local") == set()
    assert spaces("gateway-api") == {"envoy-gateway-system"}
    assert spaces("ingress") == {"ingress-nginx"}


def test_prometheus_is_let_in():
    """The monitor shows a key with the scope where keys are asked for, and speaks TLS where the service does."""
    (endpoint,) = only(case_objects("restricted"), "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["scheme"] == "https"
    assert endpoint["authorization"]["credentials"] == {"name": "glimpse-metrics-key", "key": "key"}
    assert endpoint["port"] in {port["name"] for port in only(case_objects("restricted"), "Service")["spec"]["ports"]}


def test_rules_and_dashboard_are_the_files():
    """What Prometheus and Grafana get are the files that promtool tests, byte for byte or as the same tree."""
    import yaml

    from tests.helm.chart import CHART

    found = case_objects("ha")
    rules = yaml.safe_load((CHART / "files" / "rules.yaml").read_text(encoding="utf-8"))
    assert only(found, "PrometheusRule")["spec"] == rules
    dashboard = only(found, "ConfigMap", f"{GATEWAY}-dashboard")
    assert dashboard["data"]["glimpse.json"] == (CHART / "files" / "dashboard.json").read_text(encoding="utf-8")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert dashboard["metadata"]["annotations"] == {"grafana_folder": "Glimpse"}
