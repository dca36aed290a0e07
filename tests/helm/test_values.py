"""Which values the chart takes, and what it says to others."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.helm.chart import CHART, NEWEST, Refused, objects, pods
from tests.helm.kubernetes_api import check
from tests.helm.pod_security import violations
from tests.helm.value_strategy import values

EXAMPLES = int(os.environ.get("EXAMPLES", "6"))
CHECKS = (CHART / "templates" / "_checks.tpl").read_text(encoding="utf-8")
SENTENCES = [text.partition("%")[0] for text in re.findall(r'fail (?:\(printf )?"([^"]+)"', CHECKS)]

CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "auth.required is true": {"auth": {"required": True}},
    "auth.jwt.issuer needs": {"auth": {"jwt": {"issuer": "https://x"}}},
    "exclude each other": {
        "auth": {"jwt": {"issuer": "i", "audience": "a", "jwksUrl": "https://x/k", "existingSecret": "s"}}
    },
    "tls.clientCa.existingSecret needs": {"tls": {"clientCa": {"existingSecret": "ca"}}},
    "speaks no TLS": {"tls": {"existingSecret": "t"}, "gateway": {"probes": {"readinessProtocol": "grpc"}}},
    "requests would be cut off": {"gateway": {"terminationGracePeriodSeconds": 35}},
    "needs triton.external.address": {"triton": {"mode": "external"}},
    "needs triton.mode: deployment;": {"triton": {"autoscaling": {"hpa": {"maxReplicas": 2}}}},
    "read by Triton alone": {"modelRepository": {"source": "s3", "s3": {"uri": "s3://m"}}},
    "needs Kubernetes 1.35": {
        "kubeVersionOverride": "1.34.2",
        "modelRepository": {"source": "image", "image": {"repository": "m", "digest": "sha256:" + "0" * 64}},
    },
    "needs Kubernetes 1.34": {
        "kubeVersionOverride": "1.33.1", "triton": {"gpu": {"count": 1, "dra": {"enabled": True}}},
    },
    "needs triton.gpu.count": {"kubeVersionOverride": "1.35.0", "triton": {"gpu": {"dra": {"enabled": True}}}},
    "metrics.podMonitor.enabled needs": {"metrics": {"podMonitor": {"enabled": True}}},
    "would be refused": {
        "auth": {"keys": {"existingSecret": "k"}}, "metrics": {"serviceMonitor": {"enabled": True}},
    },
    "no certificate of a client": {
        "tls": {"existingSecret": "t", "clientCa": {"existingSecret": "ca"}},
        "metrics": {"serviceMonitor": {"enabled": True}},
    },
    "need route.parentRefs": {"route": {"grpc": {"enabled": True}}},
    "ingress.enabled needs": {"ingress": {"enabled": True}},
}  # fmt: skip

WRONG: dict[str, dict[str, Any]] = {
    "additional properties 'replica' not allowed": {"gateway": {"replica": 2}},
    "/gateway/replicas": {"gateway": {"replicas": 0}},
    "/gateway/settings/limits/clip_seconds": {"gateway": {"settings": {"limits": {"clip_seconds": -1}}}},
    "/gateway/settings/workers/sandbox": {"gateway": {"settings": {"workers": {"sandbox": "never"}}}},
    "/gateway/image/tag": {"gateway": {"image": {"tag": "latest"}}},
    "/triton/image/digest": {"triton": {"image": {"digest": "sha256:abc"}}},
    "/gateway/autoscaling": {"gateway": {"autoscaling": {"hpa": {"maxReplicas": 2}, "keda": {"maxReplicas": 2}}}},
    "serverAddress": {"gateway": {"autoscaling": {"keda": {"maxReplicas": 2}}}},
    "/modelRepository/initImage/digest": {"modelRepository": {"source": "initImage", "initImage": {"repository": "m"}}},
    "/modelRepository/pvc": {"modelRepository": {"source": "pvc"}},
    "/triton/mode": {"triton": {"mode": "gpu"}},
    "/auth/keys/existingSecret": {"auth": {"keys": {"existingSecret": "Not A Name"}}},
}


@pytest.mark.parametrize("says", CONTRADICTIONS)
def test_values_that_contradict_each_other_are_refused_with_a_sentence(says):
    """What a schema cannot see ends the rendering, with what to do instead."""
    with pytest.raises(Refused, match=re.escape(says)):
        objects(CONTRADICTIONS[says])


def test_every_such_sentence_is_tried():
    """There is no check without values that it refuses."""
    assert len(SENTENCES) == len(CONTRADICTIONS)
    assert [says for says in CONTRADICTIONS if says not in CHECKS] == []


@pytest.mark.parametrize("says", WRONG)
def test_wrong_values_are_refused_by_their_path(says):
    """Misspelt, out of range or of the wrong form: the message names the value."""
    with pytest.raises(Refused, match=re.escape(says)):
        objects(WRONG[says])


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(values())
def test_whatever_the_schema_allows_renders_or_is_explained(drawn):
    """Values within the schema make objects that Kubernetes and the service take, or a sentence of the checks."""
    try:
        found = objects(drawn)
    except Refused as refused:
        explanation = str(refused)
        found = []
    else:
        explanation = ""
    # Which parts of `modelRepository` a source needs is said by conditions of the schema, which are not drawn from.
    assert found or any(known in explanation for known in (*SENTENCES, "/modelRepository")), explanation
    for each in found:
        if "." not in each["apiVersion"].partition("/")[0] or each["apiVersion"].startswith(("apps", "networking")):
            check(each, NEWEST)
    assert [problem for _, pod in pods(found) for problem in violations(pod)] == []
