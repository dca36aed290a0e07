"""The restricted level of the Pod Security Standards, as Kubernetes' documentation lists it, for pods of Linux."""

from __future__ import annotations

from collections.abc import Iterator

from tests.helm.chart import Object, containers

_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
_SECCOMP = ("RuntimeDefault", "Localhost")


def violations(pod: Object) -> Iterator[str]:
    """What the restricted level forbids in this pod, a sentence for each."""
    whole = pod.get("securityContext", {})
    yield from (f"{name} is on" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name))
    for volume in pod.get("volumes", []):
        yield from (f"volume of kind {kind}" for kind in set(volume) - {"name"} - _VOLUMES)
    if whole.get("sysctls"):
        yield "sysctls are set"
    for each in containers(pod):
        yield from (f"{each['name']}: {problem}" for problem in _of(each, each.get("securityContext", {}), whole))


def _of(container: Object, own: Object, whole: Object) -> Iterator[str]:
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "may escalate"
    if "ALL" not in own.get("capabilities", {}).get("drop", []):
        yield "keeps capabilities"
    if set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "adds capabilities"
    if not own.get("runAsNonRoot", whole.get("runAsNonRoot")):
        yield "may run as root"
    if own.get("runAsUser", whole.get("runAsUser", 1)) == 0:
        yield "runs as root"
    if own.get("seccompProfile", whole.get("seccompProfile", {})).get("type") not in _SECCOMP:
        yield "no seccomp profile"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    yield from ("a port of the host" for port in container.get("ports", []) if port.get("hostPort"))
