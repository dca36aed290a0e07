"""Rules that hold for every object of every case."""

from __future__ import annotations

import json
import re

import pytest

from tests.helm.chart import CASES, ROOT, case, case_objects, containers, objects, only, pods
from tests.helm.pod_security import violations

EACH_CASE = pytest.mark.parametrize("name", CASES)
LABELS = {"name", "instance", "component", "version", "managed-by", "part-of"}
DIGEST = "sha256:" + "0123456789abcdef" * 4


@EACH_CASE
def test_pods_pass_the_restricted_level(name):
    """No pod has what the restricted level of Pod Security forbids."""
    found = list(pods(case_objects(name)))
    assert found
    assert [(pod, problem) for pod, spec in found for problem in violations(spec)] == []


def test_the_restricted_level_refuses_what_it_should():
    """A pod with nothing said about its security is refused for each of the reasons that the standard gives."""
    pod = {"hostPID": True, "volumes": [{"name": "x", "hostPath": {}}], "containers": [{"name": "c"}]}
    assert set(violations(pod)) == {
        "hostPID is on", "volume of kind hostPath", "c: may escalate", "c: keeps capabilities", "c: may run as root",
        "c: no seccomp profile",
    }  # fmt: skip


@EACH_CASE
def test_containers_are_closed_and_bounded(name):
    """Every container has a read-only root, requests of processor and memory, and a limit of memory."""
    for pod, spec in pods(case_objects(name)):
        for each in containers(spec):
            assert each["securityContext"]["readOnlyRootFilesystem"] is True, (pod, each["name"])
            assert set(each["resources"]["requests"]) >= {"cpu", "memory"}, (pod, each["name"])
            assert "memory" in each["resources"]["limits"], (pod, each["name"])


@EACH_CASE
def test_no_pod_has_a_token(name):
    """No pod and no account of ours mounts a token of the cluster's API, nor variables of other services."""
    found = case_objects(name)
    for pod, spec in pods(found):
        assert spec["automountServiceAccountToken"] is False, pod
        assert spec["enableServiceLinks"] is False, pod
    accounts = [each for each in found if each["kind"] == "ServiceAccount"]
    assert accounts
    assert all(each["automountServiceAccountToken"] is False for each in accounts)


@EACH_CASE
def test_objects_have_the_recommended_labels(name):
    """Every object has the labels that Kubernetes recommends, and what selects pods has three of them."""
    for each in case_objects(name):
        if each["metadata"]["name"].endswith("-extra"):
            continue
        labels = each["metadata"]["labels"]
        assert {f"app.kubernetes.io/{label}" for label in LABELS} <= set(labels), each["kind"]
        assert each["metadata"]["namespace"] == "faces"


@EACH_CASE
def test_images_are_named_exactly(name):
    """No image is `latest` or without a tag; a digest takes the place of the tag."""
    for _, spec in pods(case_objects(name)):
        for each in containers(spec):
            assert re.search(r"(:[0-9][\w.\-]*|@sha256:[0-9a-f]{64})$", each["image"]), each["image"]


def test_the_digest_wins():
    """Registry and digest are joined to the repository, without the tag."""
    image = {"registry": "registry.example.com/lab/", "tag": "7", "digest": DIGEST}
    ((_, spec), *_) = pods(objects({"gateway": {"image": image}}))
    assert spec["containers"][0]["image"] == f"registry.example.com/lab/glimpse-gateway@{DIGEST}"


@EACH_CASE
def test_names_are_unique_and_short_enough(name):
    """No two objects of a kind share a name, and the longest release name leaves every name within 63 characters."""
    found = objects(case(name), release="r" * 53)
    names = [(each["kind"], each["metadata"]["name"]) for each in found]
    assert len(names) == len(set(names))
    assert max(len(each) for _, each in names) <= 63


@EACH_CASE
def test_services_and_policies_select_pods(name):
    """Whatever selects pods by labels selects those of a Deployment, or of the test."""
    found = case_objects(name)
    templates = [each["spec"]["template"]["metadata"]["labels"] for each in found if each["kind"] == "Deployment"]
    for each in found:
        selector = {
            "Service": lambda spec: spec.get("selector"),
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "PodMonitor": lambda spec: spec["selector"]["matchLabels"],
        }.get(each["kind"], lambda _: {})(each.get("spec", {}))
        assert any(selector.items() <= labels.items() for labels in templates), each["metadata"]["name"]


@EACH_CASE
def test_mounts_and_ports_are_there(name):
    """Every mount has its volume, and every port that is named in a probe, Service or monitor is one of a container."""
    found = case_objects(name)
    ports = set()
    for pod, spec in pods(found):
        volumes = {each["name"] for each in spec.get("volumes", [])}
        for each in containers(spec):
            assert {mount["name"] for mount in each.get("volumeMounts", [])} <= volumes, pod
            ports |= {port["name"] for port in each.get("ports", [])}
    named = {str(port["targetPort"]) for each in found if each["kind"] == "Service" for port in each["spec"]["ports"]}
    assert named <= ports
    probed = re.findall(r'"(?:httpGet|tcpSocket)": {[^}]*"port": "([a-z\-]+)"', json.dumps(found))
    assert probed
    assert set(probed) <= ports


def test_user_and_group_are_those_of_the_image():
    """Pods run as the user and group that the Dockerfile makes."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    users = set(re.findall(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE))
    whole = only(case_objects("local"), "Deployment")["spec"]["template"]["spec"]["securityContext"]
    assert (str(whole["runAsUser"]), str(whole["runAsGroup"])) in users
    assert whole["fsGroup"] == whole["runAsGroup"]
