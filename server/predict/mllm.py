"""The model `mllm`: a multimodal language model at somebody else's endpoint, asked about each movement by itself.

Measured at or below the majority baseline on micro-expressions (Lian et al., arXiv 2312.04293), so every answer comes
with a warning and its confidence is capped. Nothing is sent unless an operator has consented to it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from server.contract import PROBABILITIES, ModelContract, Provenance, TensorSpec
from server.errors import LimitExceeded, Overloaded
from server.predict.catalogue import Catalogue, ModelEntry, unservable
from server.predict.mllm_answer import Answer, read_answer
from server.predict.mllm_budget import Budget
from server.predict.mllm_client import NAME, MllmClient
from server.predict.mllm_request import WORDINGS, Dialect, Exhibit, Wording, body, exhibit
from server.predict.mllm_vote import action_units, agreement, probabilities
from server.predict.tensors import check_inputs, check_outputs
from server.types import Float32Array, ModelInfo, ReportWarning

LABELS = ("negative", "positive", "surprise")
RECIPE = "mllm_frames"
VERSION = "1"
ACTION_UNITS = "action_units"
ABSTAIN_BELOW = 0.3343
"""Just above a third: where nobody ranked the labels all are alike, and none of them is an answer."""
WEAK = ReportWarning(
    "mllm-weak",
    "the labels come from a general multimodal language model. Such a model was measured without training on "
    "micro-expressions, with other labels than these: 36.9 % right on CASME, 14.6 % on CASME II and 17.0 % on SAMM, "
    "each below always naming the commonest class (40.3, 40.2 and 42.2 %). Do not take them for findings",
)

_T = TypeVar("_T")
_BUSY_RETRY_S = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MllmOptions:
    """How movements are asked about; `regions` name the rows of the recipe's displacement."""

    model: str
    regions: tuple[str, ...]
    deadline_s: float = 60.0
    clips: int = 2
    events_per_clip: int = 8
    repeats: int = 1
    image_px: int = 384
    flow_picture: bool = False
    confidence_cap: float = 0.3693


class MllmPredictor:
    """Implements `server.predict.base.Predictor` for the one model of `entry`, by `client` where it is servable.

    At most `options.clips` clips are worked on at a time and none waits for its turn, so that a slow endpoint cannot
    use up the service's admission.
    """

    backend = "endpoint"

    def __init__(
        self, entry: ModelEntry, options: MllmOptions, client: MllmClient | None = None, budget: Budget | None = None
    ) -> None:
        self._catalogue = Catalogue({entry.info.name: entry})
        self._options = options
        self._client = client
        self._budget = budget
        self._clips = 0

    async def models(self) -> Sequence[ModelInfo]:
        """The one."""
        return self._catalogue.models()

    async def model(self, name: str, version: str | None = None) -> ModelInfo:
        """The one. Raises `UnknownModel`."""
        entry = self._catalogue.entry(name)
        if version is not None:
            entry.chosen(version)
        return entry.info

    async def predict(
        self, model: str, inputs: Mapping[str, Float32Array], *, version: str | None = None, deadline: float
    ) -> Mapping[str, Float32Array]:
        """Ask about each sample of the batch, inputs and outputs float32 [N, ...].

        Raises `UnknownModel`, `ModelNotServable`, `LimitExceeded` for a clip of too many movements, `Overloaded`,
        `BudgetSpent`, `BackendUnavailable`, `BackendFailed`, `DeadlineExceeded`.
        """
        contract, _ = self._catalogue.entry(model).servable(version)
        assert self._client is not None
        assert self._budget is not None
        size = check_inputs(contract, inputs)
        options = self._options
        if size > options.events_per_clip:
            setting = "GLIMPSE_MLLM__EVENTS_PER_CLIP"
            message = f"{size} movements are more than model {model!r} is asked about at a time ({setting})"
            raise LimitExceeded(message, setting=setting, limit=options.events_per_clip, stage="inference")
        if self._clips >= options.clips:
            message = f"model {model!r} is busy with {self._clips} clips"
            raise Overloaded(message, retry_after_s=_BUSY_RETRY_S, stage="inference")
        self._budget.require(size * options.repeats)
        ends = min(deadline, time.monotonic() + options.deadline_s)
        self._clips += 1
        try:
            samples = [{name: array[row] for name, array in inputs.items()} for row in range(size)]
            answers = await _all_or_none([self._movement(self._client, sample, ends) for sample in samples])
        finally:
            self._clips -= 1
        outputs = {
            PROBABILITIES: np.stack([probabilities(each, LABELS, options.confidence_cap) for each in answers]),
            ACTION_UNITS: np.stack([action_units(each, contract.action_units) for each in answers]),
        }
        return check_outputs(contract, outputs, size)

    async def probe(self, model: str) -> str:
        """Whether it is configured; that it answers is not tried, since asking costs money.

        Raises `UnknownModel`, `ModelNotServable`.
        """
        self._catalogue.entry(model).servable(None)
        return ""

    async def close(self) -> None:
        """End the connections."""
        if self._client is not None:
            await self._client.close()

    async def _movement(
        self, client: MllmClient, sample: Mapping[str, Float32Array], deadline: float
    ) -> Sequence[Answer]:
        """The answers of every repetition, each with the labels in another order, so that none is always first."""
        options = self._options
        shown = await asyncio.to_thread(
            exhibit, sample, options.regions, image_px=options.image_px, flow_picture=options.flow_picture
        )
        answers = await _all_or_none([self._answer(client, shown, turn, deadline) for turn in range(options.repeats)])
        outcomes = ",".join(answer.outcome for answer in answers)
        _log.info("movement judged", extra={"model": NAME, "outcomes": outcomes, "agreement": agreement(answers)})
        return answers

    async def _answer(self, client: MllmClient, shown: Exhibit, turn: int, deadline: float) -> Answer:
        """One answer. A refusal is answered by milder wordings; of the last, only action units are taken."""
        labels = LABELS[turn % len(LABELS) :] + LABELS[: turn % len(LABELS)]
        answer = Answer("refused")
        for wording in WORDINGS:

            def build(dialect: Dialect, wording: Wording = wording) -> Mapping[str, object]:
                return body(shown, labels, wording, model=self._options.model, seed=turn, dialect=dialect)

            reply = await client.ask(build, deadline=deadline)
            answer = read_answer(reply.content, labels, declined=reply.declined)
            if answer.outcome != "refused":
                return replace(answer, outcome="refused", ranking=(), weights={}) if wording == "units" else answer
        return answer


def servable_entry(
    dims: Mapping[str, tuple[int, ...]], regions: Sequence[str], units: Sequence[int], served_model: str
) -> ModelEntry:
    """The catalogue's entry of the model: `dims` are those of the recipe, `units` those whose extent is measured."""
    meanings = {
        "pictures": "onset, apex and offset of one movement in one crop, grey 0..255",
        "flow_picture": "motion from onset to apex in colours, with its legend, 0..255",
        "displacement": f"x (right) and y (down) in distances of the eyes, of: {', '.join(regions)}",
        "timing": "apex and offset in ms after the onset, frames per second",
    }
    contract = ModelContract(
        name=NAME,
        recipe=RECIPE,
        inputs=tuple(TensorSpec(name=name, dims=shape, meaning=meanings[name]) for name, shape in dims.items()),
        outputs=(
            TensorSpec(
                name=PROBABILITIES, dims=(len(LABELS),), meaning="answered scores, drawn together under the cap"
            ),
            TensorSpec(name=ACTION_UNITS, dims=(2, len(units)), meaning="image-left and image-right; 0.5 where named"),
        ),
        labels=LABELS,
        action_units=tuple(units),
        abstain_below=ABSTAIN_BELOW,
        provenance=Provenance(
            network=served_model,
            source="remote: a multimodal language model at an OpenAI-compatible endpoint",
            command="none",
            training_data="whatever the maker of the model used",
        ),
    )
    info = ModelInfo(
        name=NAME,
        versions=(VERSION,),
        recipe=RECIPE,
        labels=LABELS,
        backend=MllmPredictor.backend,
        servable=True,
        warnings=(WEAK,),
        contract=contract.model_dump(mode="json"),
        card={"provenance": contract.provenance.model_dump(mode="json"), "limits": [WEAK.message]},
    )
    return ModelEntry(info, contract)


def absent_entry(reason: str) -> ModelEntry:
    """The model where it is switched off, listed with the reason."""
    return ModelEntry(unservable(NAME, reason, backend=MllmPredictor.backend))


async def _all_or_none(work: Sequence[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Every result, in order; the first failure ends what still runs and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
