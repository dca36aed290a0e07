"""Is an ensemble the weighted mean of its members, on every backend?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton_pb

from export.agreement import compare_answers
from export.checks import Check, differences, guarded
from export.ensemble import (
    PART_VERSION,
    ensemble_contract,
    ensemble_steps,
    largest_batch,
    members_json,
    part_contract,
    read_member,
)
from export.ensemble_mean import Weighted, mean_answer
from export.published_model import MEMBERS_FILE
from export.repository import CONFIG_FILE, PublishedModel
from export.scoring import Backend, open_backend
from export.triton_config import ensemble_config, model_config
from server.predict.repository import ModelRepository
from server.recipes.registry import RECIPES
from server.types import Float32Array


def ensemble_checks(
    ensemble: PublishedModel,
    *,
    triton: bool,
    triton_address: str | None,
    report: Callable[[str], None],
) -> list[Check]:
    """What an ensemble is checked for beside what every model is; with `triton` also against a real Triton, at
    `triton_address` or started here.
    """

    def agree(backend: Backend) -> tuple[bool, str]:
        return _agreement(ensemble, backend, triton_address, report)

    checks = [
        guarded("members", lambda: _members(ensemble)),
        guarded("configuration", lambda: _configuration(ensemble)),
        guarded("mean and local", lambda: agree("local")),
    ]
    if triton:
        checks.append(guarded("mean and triton", lambda: agree("triton")))
    return checks


def _members(ensemble: PublishedModel) -> tuple[bool, str]:
    """Whether the members are there, can be served, and have the graphs that they had."""
    info = ModelRepository(ensemble.folder.parent, RECIPES).catalogue.entry(ensemble.name).info
    if not info.servable:
        return False, info.reason
    if members_json(ensemble.contract, _published(ensemble)) != ensemble.model_file.read_bytes():
        return False, f"the graphs, versions or weights of the members are not those of {MEMBERS_FILE}"
    listed = (f"{member.name} version {member.version} x {member.weight:g}" for member in ensemble.contract.members)
    return True, ", ".join(listed)


def _configuration(ensemble: PublishedModel) -> tuple[bool, str]:
    """Whether contract and steps follow from the members, and the part is what its name says."""
    published = _published(ensemble)
    members = _weighted(ensemble, published)
    contract = ensemble.contract
    wanted = ensemble_contract(
        ensemble.name, members, command=contract.provenance.command, abstain_below=contract.abstain_below
    )
    problems = [] if wanted == contract else ["the contract does not follow from the members"]
    part_name = ensemble.config.ensemble_scheduling.step[-1].model_name
    folder = ensemble.folder.parent / part_name
    part = part_contract(contract, members, (folder / PART_VERSION / contract.model_file).read_bytes())
    if part.name != part_name:
        problems.append(f"the graph of {part_name} is not the one that was published")
    config = ensemble_config(
        contract,
        ensemble.config.version_policy,
        steps=ensemble_steps(members, part_name),
        largest_batch=largest_batch(published),
    )
    problems += [f"{field} differs from the contract" for field in differences(config, ensemble.config)]
    found = text_format.Parse((folder / CONFIG_FILE).read_text(encoding="utf-8"), triton_pb.ModelConfig())
    problems += [
        f"{field} of {part_name} differs from the contract" for field in differences(model_config(part), found)
    ]
    return not problems, "; ".join(problems) or "follows from the members"


def _agreement(
    ensemble: PublishedModel,
    backend: Backend,
    triton_address: str | None,
    report: Callable[[str], None],
) -> tuple[bool, str]:
    """Ensemble and members are asked on the same backend, and the mean is taken here."""
    members = _weighted(ensemble, _published(ensemble))
    names = {step.model_name: dict(step.input_map) for step in ensemble.config.ensemble_scheduling.step}
    with open_backend(backend, ensemble.folder.parent, triton_address=triton_address, report=report) as score:

        def mean(inputs: Mapping[str, Float32Array]) -> Mapping[str, Float32Array]:
            answers = []
            for member in members:
                own = {name: inputs[tensor] for name, tensor in names[member.contract.name].items()}
                answers.append(score(member.contract.name, own, member.version))
            return mean_answer(members, answers)

        return compare_answers(ensemble.contract, mean, lambda inputs: score(ensemble.name, inputs))


def _published(ensemble: PublishedModel) -> list[PublishedModel]:
    return [read_member(ensemble.folder.parent, member.name, member.version) for member in ensemble.contract.members]


def _weighted(ensemble: PublishedModel, published: Sequence[PublishedModel]) -> list[Weighted]:
    return [
        Weighted(each.contract, member.version, member.weight)
        for each, member in zip(published, ensemble.contract.members, strict=True)
    ]
