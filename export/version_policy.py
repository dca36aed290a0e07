"""Which versions of a model are served: Triton's version policy, in words, and what it may serve together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tritonclient.grpc import model_config_pb2 as triton

from server.contract import ModelContract
from server.errors import OptionError
from server.predict.repository import served_versions

_OPTION = "policy"
_LATEST = "latest"
_ALL = "all"
_OWN = {"provenance", "precision"}
"""Fields of a contract that no server reads: each version may have its own."""


def latest_policy(count: int = 1) -> triton.ModelVersionPolicy:
    """The `count` newest versions, whichever they are at the time. Raises `OptionError` for fewer than one."""
    if count < 1:
        raise OptionError(f"the policy must serve at least 1 version, not {count}", option=_OPTION)
    return triton.ModelVersionPolicy(latest=triton.ModelVersionPolicy.Latest(num_versions=count))


def specific_policy(versions: Iterable[str]) -> triton.ModelVersionPolicy:
    """These versions and no other."""
    numbers = sorted({int(version) for version in versions})
    return triton.ModelVersionPolicy(specific=triton.ModelVersionPolicy.Specific(versions=numbers))


def all_policy() -> triton.ModelVersionPolicy:
    """Every version."""
    return triton.ModelVersionPolicy(all=triton.ModelVersionPolicy.All())


def parse_versions(text: str) -> tuple[str, ...]:
    """Version numbers such as 1,3. Raises `OptionError` for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and not part.startswith("0") for part in parts):
        raise OptionError(f"versions are whole numbers from 1 with commas between them, not {text!r}", option=_OPTION)
    return tuple(parts)


def parse_policy(text: str) -> triton.ModelVersionPolicy:
    """`all`, `latest`, `latest:2`, or versions such as `1,3`. Raises `OptionError` for anything else."""
    if text == _ALL:
        return all_policy()
    kind, separator, count = text.partition(":")
    if kind == _LATEST:
        if separator and not (count.isascii() and count.isdigit()):
            raise OptionError(f"latest:N needs a whole number, not {count!r}", option=_OPTION)
        return latest_policy(int(count) if separator else 1)
    return specific_policy(parse_versions(text))


def policy_text(policy: triton.ModelVersionPolicy) -> str:
    """The policy as `parse_policy` takes it."""
    kind = policy.WhichOneof("policy_choice")
    if kind == _ALL:
        return _ALL
    if kind == "specific":
        return ",".join(str(version) for version in sorted(policy.specific.versions))
    return f"{_LATEST}:{policy.latest.num_versions or 1}"


def with_version(policy: triton.ModelVersionPolicy, version: str) -> triton.ModelVersionPolicy:
    """The policy of a model that gets `version`, where none is asked for: the same rule, and of chosen versions those
    and the new one.
    """
    if policy.WhichOneof("policy_choice") != "specific":
        return policy
    return specific_policy([*(str(known) for known in policy.specific.versions), version])


def checked_served(
    policy: triton.ModelVersionPolicy, versions: Iterable[str], contracts: Mapping[str, ModelContract]
) -> Sequence[str]:
    """Those of `versions` that `policy` serves, oldest first.

    A model has one contract, by which every version is fed and read, so versions that are served together must agree.
    Raises `OptionError` where the policy names a version that does not exist, serves none, or serves versions that
    differ in more than where their weights come from.
    """
    known = sorted(versions, key=int)
    listed = ", ".join(known) or "none"
    missing = [str(number) for number in policy.specific.versions if str(number) not in known]
    if missing:
        raise OptionError(f"there is no version {', '.join(missing)} (there are: {listed})", option=_OPTION)
    served = served_versions(known, policy)
    if not served:
        raise OptionError(f"the policy serves no version (there are: {listed})", option=_OPTION)
    answering = served[-1]
    for other in served[:-1]:
        different = differences(contracts[other], contracts[answering])
        if different:
            raise OptionError(
                f"version {answering} cannot be served beside version {other}, since their contracts differ in "
                f"{', '.join(different)} and a model is fed by one: stop serving version {other}, as with "
                f"--serve {answering}, or publish under another name",
                option=_OPTION,
            )
    return served


def differences(one: ModelContract, other: ModelContract) -> list[str]:
    """The fields in which two contracts differ, but for provenance, wording, and the precision inside the graph."""
    return [
        name
        for name in ModelContract.model_fields
        if name not in _OWN and _meant(getattr(one, name)) != _meant(getattr(other, name))
    ]


def _meant(value: object) -> object:
    """A value of a contract without the words in which tensors are explained."""
    if isinstance(value, tuple):
        return [(spec.name, spec.dtype, spec.dims) if hasattr(spec, "dims") else spec for spec in value]
    return value
