"""Whether an ensemble has all that it is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from server.predict.catalogue import ModelEntry
from server.predict.steps import Step

_Dims = tuple[int, ...]


def with_members_checked(entries: Mapping[str, ModelEntry]) -> dict[str, ModelEntry]:
    """The same models, less the ensembles of which a member is missing, cannot be served or does not fit.

    Those are withdrawn with the reason.
    """
    checked = {}
    for name, entry in entries.items():
        problem = next(_problems(entry, entries), "") if entry.steps and entry.info.servable else ""
        checked[name] = entry.withdrawn(problem) if problem else entry
    return checked


def _problems(ensemble: ModelEntry, entries: Mapping[str, ModelEntry]) -> Iterator[str]:
    assert ensemble.contract is not None
    made: dict[str, _Dims] = {spec.name: spec.dims for spec in ensemble.contract.inputs}
    for step in ensemble.steps:
        entry = entries.get(step.model)
        if entry is None:
            yield f"its member {step.model!r} is not there"
            return
        yield from _unservable(ensemble, step, entry)
        yield from _misfits(ensemble, step, entry, made)


def _unservable(ensemble: ModelEntry, step: Step, entry: ModelEntry) -> Iterator[str]:
    if entry.steps:
        yield f"its member {step.model!r} is an ensemble itself"
    if entry.ensemble and entry.ensemble != ensemble.info.name:
        yield f"its member {step.model!r} is a part of {entry.ensemble!r}"
    if not entry.info.servable and not entry.ensemble:
        yield f"its member {step.model!r} cannot be served: {entry.info.reason}"
    if step.version not in entry.info.versions:
        known = ", ".join(entry.info.versions) or "none"
        yield f"its member {step.model!r} has no version {step.version} (served: {known})"
    if entry.max_batch_size < ensemble.max_batch_size:
        yield f"its member {step.model!r} takes batches of {entry.max_batch_size} alone, not {ensemble.max_batch_size}"


def _misfits(ensemble: ModelEntry, step: Step, entry: ModelEntry, made: dict[str, _Dims]) -> Iterator[str]:
    """Differences between what a member takes and gives and what the ensemble has; its outputs join `made`."""
    assert ensemble.contract is not None
    if entry.contract is None:
        yield f"its member {step.model!r} has no contract"
        return
    inputs = {spec.name: spec.dims for spec in entry.contract.inputs}
    given = {own: made[name] for own, name in step.inputs.items()}
    if inputs != given:
        yield f"its member {step.model!r} takes {_listed(inputs)}, not {_listed(given)}"
    outputs = {spec.name: spec.dims for spec in entry.contract.outputs}
    for own, name in step.outputs.items():
        if own not in outputs:
            yield f"its member {step.model!r} has no output {own!r}"
            return
        made[name] = outputs[own]
    if entry.contract.labels != ensemble.contract.labels:
        yield f"its member {step.model!r} has the labels {', '.join(entry.contract.labels)}"


def _listed(tensors: Mapping[str, _Dims]) -> str:
    return ", ".join(f"{name} {list(dims)}" for name, dims in sorted(tensors.items())) or "nothing"
