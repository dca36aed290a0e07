"""A model as the repository holds it: where the files of its versions are, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc import model_config_pb2 as triton

from export.version_records import Record, contract_of, is_shipped
from server.contract import ModelContract
from server.errors import ConfigurationError, InputError, OptionError
from server.predict.repository import served_versions

WEIGHTS_FILE = "weights.pth"
MEMBERS_FILE = "members.json"


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A version of a model, as the repository holds it; `config` and `records` are those of the whole model.

    `versions` are the folders that there are, `served` those that the policy serves, both oldest first.
    """

    name: str
    version: str
    folder: Path
    config: triton.ModelConfig
    configured: ModelContract
    records: Mapping[str, Record]
    versions: Sequence[str]

    @property
    def served(self) -> Sequence[str]:
        """The versions that both predictors serve; the last of them answers where none is asked for."""
        return served_versions(self.versions, self.config.version_policy)

    @property
    def card(self) -> Record:
        """The card of this version. Raises `ConfigurationError` where it has none."""
        if self.version not in self.records:
            raise ConfigurationError(f"the card of {self.folder} does not list version {self.version}")
        return self.records[self.version]

    @property
    def contract(self) -> ModelContract:
        """The contract of this version. Raises `ConfigurationError` where it is not known."""
        return contract_of(self.card, self.configured)

    @property
    def model_file(self) -> Path:
        """The ONNX graph, or the plan; of an ensemble the list of its members."""
        return self.folder / self.version / served_file(self.contract)

    @property
    def weights_file(self) -> Path:
        """The checkpoint, which need not be there (see `checkpoint_missing`)."""
        return self.folder / self.version / WEIGHTS_FILE

    @property
    def files(self) -> Sequence[Path]:
        """What the card must list of this version."""
        return (self.model_file,) if self.contract.members else (self.model_file, self.weights_file)

    @property
    def checkpoint_missing(self) -> bool:
        """Whether the checkpoint is absent, as the card says that it may be."""
        return not is_shipped(self.records.get(self.version, {})) and not self.weights_file.exists()

    def shipped_weights(self) -> Path:
        """`weights_file`. Raises `OptionError` for an ensemble, `InputError` where it is not shipped."""
        refuse_ensemble(self, "name one of them, or ask it by the backend local or triton")
        if self.checkpoint_missing:
            made = self.card.get("command", "a command that the card does not know")
            raise InputError(f"{self.weights_file} is not shipped with the repository; it is made by: {made}")
        return self.weights_file


def served_file(contract: ModelContract) -> str:
    """The file of a version that answers; an ensemble, which has no graph, has the list of its members."""
    return MEMBERS_FILE if contract.members else contract.model_file


def refuse_ensemble(model: PublishedModel, advice: str) -> None:
    """Raise `OptionError`, with `advice`, for an ensemble, which has no weights and no versions to choose from."""
    if model.configured.members:
        members = ", ".join(member.name for member in model.configured.members)
        raise OptionError(f"{model.name} is an ensemble of {members}: {advice}", option="name")


def check_kind(model: PublishedModel, *, ensemble: bool) -> None:
    """Raise `OptionError` where a model would get a version that is an `ensemble`, or the other way round."""
    if bool(model.configured.members) != ensemble:
        kind = "a published model and no ensemble" if ensemble else "an ensemble"
        raise OptionError(f"{model.name} is {kind}; choose another name", option="name")
