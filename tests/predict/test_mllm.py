"""The model `mllm` against a real HTTP server on this machine."""

import asyncio
import time

import numpy as np
import pytest

from server.errors import (
    BackendFailed,
    BudgetSpent,
    DeadlineExceeded,
    LimitExceeded,
    ModelNotServable,
    Overloaded,
    UnknownModel,
)
from server.predict.mllm import (
    ABSTAIN_BELOW,
    LABELS,
    MllmOptions,
    MllmPredictor,
    absent_entry,
    servable_entry,
)
from server.predict.mllm_budget import Allowance, Budget
from server.predict.mllm_client import Endpoint, MllmClient
from server.predict.tensors import zeros
from tests.openai_endpoint import (
    FENCED,
    GARBAGE,
    GOOD,
    HANG,
    ONE_PICTURE,
    OUTSIDE,
    PROSE,
    REFUSAL,
    VALID,
    endpoint,
    pictures,
    says,
    texts,
)

DIMS = {"pictures": (3, 256, 256), "flow_picture": (3, 256, 320), "displacement": (2, 2), "timing": (3,)}
UNITS = (4, 12)


@pytest.fixture
def fake():
    with endpoint() as running:
        yield running


@pytest.fixture
def make(fake):
    """Makes predictors that ask the fake endpoint, as context managers."""

    def made(requests_per_hour=100, **changes):
        options = MllmOptions("some/model", ("brow", "mouth"), **({"confidence_cap": 1.0} | changes))
        budget = Budget(Allowance(requests_per_hour, 10**6))
        client = MllmClient(Endpoint(fake.base_url, "some/model"), budget)
        return MllmPredictor(servable_entry(DIMS, options.regions, UNITS, "some/model"), options, client, budget)

    return made


def inputs(size=1):
    entry = servable_entry(DIMS, ("brow", "mouth"), UNITS, "some/model")
    return zeros(entry.contract, size)


def soon():
    return time.monotonic() + 20


async def ask(predictor, size=1):
    try:
        return await predictor.predict("mllm", inputs(size), deadline=soon())
    finally:
        await predictor.close()


def judged(outputs):
    """Label of the first sample, or None where the answer is withheld, and the action units of its left side."""
    row = outputs["probabilities"][0]
    label = LABELS[int(np.argmax(row))] if row.max() >= ABSTAIN_BELOW else None
    return label, [unit for unit, score in zip(UNITS, outputs["action_units"][0, 0], strict=True) if score]


@pytest.mark.parametrize(
    ("canned", "label", "units"),
    [
        (VALID, "positive", [12]),
        (FENCED, "positive", [12]),
        (PROSE, "positive", [12]),
        (OUTSIDE, "positive", [12]),
        (says("I see a face."), None, []),
        (says({**GOOD, "visible": False}), None, []),
    ],
)
async def test_every_kind_of_answer_becomes_a_prediction(make, fake, canned, label, units):
    """Probabilities that sum to 1 and action units by side; what says nothing is withheld."""
    fake.follow(canned)
    outputs = await ask(make())
    assert judged(outputs) == (label, units)
    assert outputs["probabilities"].sum() == pytest.approx(1)


async def test_every_movement_of_a_clip_is_asked_about(make, fake):
    """A request each, in any order; the answers in the order of the batch."""
    outputs = await ask(make(), 3)
    assert outputs["probabilities"].shape == (3, 3)
    assert outputs["action_units"].shape == (3, 2, 2)
    assert len(fake.asked) == 3


async def test_confidence_is_capped(make):
    """By the setting, whatever the model claims."""
    assert (await ask(make(confidence_cap=0.4)))["probabilities"].max() == pytest.approx(0.4)


async def test_repeats_offer_the_labels_in_other_orders(make, fake):
    """Each label is first once in three, each turn has a seed of its own."""
    outputs = await ask(make(repeats=3))
    assert judged(outputs) == ("positive", [12])
    enums = [
        asked["response_format"]["json_schema"]["schema"]["properties"]["ranking"]["items"]["enum"]
        for asked in fake.asked
    ]
    assert {enum[0] for enum in enums} == set(LABELS)
    assert sorted(asked["seed"] for asked in fake.asked) == [0, 1, 2]


async def test_a_refusal_is_answered_by_milder_wordings(make, fake):
    """The neutral one is enough here."""
    fake.follow(REFUSAL, VALID)
    assert judged(await ask(make())) == ("positive", [12])
    assert ["visual similarity" in texts(asked) for asked in fake.asked] == [False, True]


async def test_of_a_model_that_gives_no_label_action_units_are_taken(make, fake):
    """The last wording asks for nothing else, so a label in its answer does not count."""
    fake.follow(REFUSAL, REFUSAL, VALID)
    assert judged(await ask(make())) == (None, [12])
    assert len(fake.asked) == 3


async def test_who_refuses_throughout_is_no_error(make, fake):
    """The answer is withheld, after three requests and no more."""
    fake.follow(REFUSAL)
    assert judged(await ask(make())) == (None, [])
    assert len(fake.asked) == 3


async def test_an_endpoint_for_one_picture_gets_the_strip(make, fake):
    """And from then on at once."""
    fake.follow(ONE_PICTURE)
    predictor = make()
    await predictor.predict("mllm", inputs(), deadline=soon())
    assert judged(await ask(predictor)) == ("positive", [12])
    assert [pictures(asked) for asked in fake.asked] == [3, 1, 1]


async def test_one_failure_ends_the_clip(make, fake):
    """The others are not asked in vain, and the error is that of the endpoint."""
    fake.follow(GARBAGE, HANG)
    with pytest.raises(BackendFailed):
        await ask(make(), 2)


async def test_the_deadline_of_the_settings_bounds_a_clip(make, fake):
    """Also where the request has more time."""
    fake.follow(HANG)
    with pytest.raises(DeadlineExceeded):
        await ask(make(deadline_s=0.2))


async def test_a_clip_of_too_many_movements_is_refused(make, fake):
    """Before anything is sent, with the setting."""
    with pytest.raises(LimitExceeded) as refused:
        await ask(make(events_per_clip=2), 3)
    assert refused.value.details == {"setting": "GLIMPSE_MLLM__EVENTS_PER_CLIP", "limit": 2}
    assert fake.asked == []


async def test_a_clip_that_the_budget_cannot_pay_is_not_begun(make, fake):
    """Two movements, three times each, are six requests."""
    with pytest.raises(BudgetSpent):
        await ask(make(requests_per_hour=5, repeats=3), 2)
    assert fake.asked == []


async def test_a_slow_endpoint_keeps_few_requests_waiting(make, fake):
    """Whoever comes beyond the clips in progress is told to come back at once."""
    fake.follow(HANG)
    predictor = make(clips=1)
    first = asyncio.create_task(predictor.predict("mllm", inputs(), deadline=soon()))
    assert await asyncio.to_thread(fake.arrived.acquire, timeout=20)
    with pytest.raises(Overloaded):
        await predictor.predict("mllm", inputs(), deadline=soon())
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    fake.follow(VALID)
    assert judged(await ask(predictor)) == ("positive", [12])


async def test_it_is_listed_with_its_warning_and_contract(make, fake):
    """Asking what there is, or whether it is ready, sends nothing."""
    predictor = make()
    [info] = await predictor.models()
    assert (info.name, info.servable, info.versions, info.labels) == ("mllm", True, ("1",), LABELS)
    assert [warning.code for warning in info.warnings] == ["mllm-weak"]
    assert info.contract["provenance"]["network"] == "some/model"
    assert info == await predictor.model("mllm", "1")
    with pytest.raises(UnknownModel):
        await predictor.model("mllm", "2")
    await predictor.probe("mllm")
    await predictor.close()
    assert fake.asked == []


async def test_switched_off_it_is_listed_with_the_reason():
    """And neither asked nor called ready."""
    predictor = MllmPredictor(absent_entry("not configured"), MllmOptions("", ()))
    info = await predictor.model("mllm")
    assert (info.servable, info.reason) == (False, "not configured")
    for question in (predictor.probe("mllm"), predictor.predict("mllm", {}, deadline=soon())):
        with pytest.raises(ModelNotServable, match="not configured"):
            await question
    await predictor.close()


async def test_nothing_that_was_seen_is_logged(make, caplog):
    """Outcomes and hashes, and nothing that a label or a face could be read from."""
    caplog.set_level("DEBUG", logger="server")
    await ask(make())
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("server")]
    assert messages == ["endpoint answered", "movement judged"]
    written = repr([record.__dict__ for record in caplog.records])
    assert not any(secret in written for secret in ("positive", "smile", "base64", "AU"))
