"""Rendered expressions as the inputs of a recipe."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from export.scoring import published_checkpoint, torch_score
from export.synthesis.action_units import UNITS
from export.synthesis.events import EventSamples, render_events, render_people
from server.errors import OptionError
from server.recipes.registry import RECIPES
from server.types import EventSample


def _onset(event: EventSample) -> dict[str, npt.NDArray[np.float64]]:
    return {"onset": event.onset.astype(np.float64)}


@pytest.fixture(scope="module")
def samples() -> EventSamples:
    """Two people, nine of each class."""
    return render_events("flow_uvs_28", 27, seed=0)


def test_samples_are_what_the_recipe_says(samples: EventSamples) -> None:
    """Shapes, classes in turn, action units by side, and who it was."""
    assert {name: values.shape[1:] for name, values in samples.inputs.items()} == dict(RECIPES["flow_uvs_28"].dims)
    assert samples.labels.tolist() == [n % 3 for n in range(27)]
    assert samples.action_units.shape == (27, 2, len(UNITS))
    assert (samples.action_units.max(axis=(1, 2)) > 0).all()
    assert set(samples.people.tolist()) == {0, 1}
    positive = samples.action_units[samples.labels == 1].max(axis=1)
    assert (positive[:, UNITS.index(12)] > 0).mean() > 0.5


def test_the_shipped_model_knows_them(samples: EventSamples, pytestconfig: pytest.Config) -> None:
    """What is rendered and measured is what a network of synthetic flow has learnt to name."""
    checkpoint = published_checkpoint(pytestconfig.rootpath / "model_repository", "ststnet")
    inputs = {"flow": samples.inputs["flow"].astype(np.float32)}
    answers = torch_score({"ststnet": checkpoint})("ststnet", inputs)["probabilities"].argmax(axis=1)
    assert (answers == samples.labels).mean() > 0.8


def test_processes_do_not_change_the_samples(samples: EventSamples) -> None:
    """The same seed gives the same samples, another one others."""
    assert render_events("flow_uvs_28", 27, seed=0, processes=2).sha256() == samples.sha256()
    assert render_events("flow_uvs_28", 2, seed=1).sha256() != render_events("flow_uvs_28", 2, seed=0).sha256()


def test_training_may_be_told_more_than_the_recipe() -> None:
    """Extras keep their type, go with their sample and count for the hash; the inputs stay what they are."""
    plain, told = (render_events("flow_uvs_28", 21, seed=0, extras=extras) for extras in (None, _onset))
    assert told.extras["onset"].shape == (21, 256, 256)
    assert told.extras["onset"].dtype == np.float64
    np.testing.assert_array_equal(told.inputs["flow"], plain.inputs["flow"])
    assert told.sha256() != plain.sha256()
    one = told.of_people(told.people == 1)
    np.testing.assert_array_equal(one.extras["onset"], told.extras["onset"][20:])


def test_people_are_shown_by_one_sample_each(samples: EventSamples) -> None:
    """A sample of theirs, with its extras, and the classes in turn."""
    few = render_people("flow_uvs_28", [1, 0, 1], seed=0, extras=_onset)
    assert few.people.tolist() == [1, 0, 1]
    assert few.labels.tolist() == [0, 1, 2]
    assert len(few.extras["onset"]) == 3
    for flow, number in zip(few.inputs["flow"], (21, 1, 20), strict=True):
        np.testing.assert_array_equal(flow, samples.inputs["flow"][number])


@pytest.mark.parametrize(("recipe", "count"), [("nothing", 3), ("flow_uvs_28", 0)])
def test_what_cannot_be_rendered_is_refused(recipe: str, count: int) -> None:
    """An unknown recipe and no samples."""
    with pytest.raises(OptionError):
        render_events(recipe, count, seed=0)


def test_progress_counts_samples() -> None:
    """A caller may show how far it is."""
    seen: list[tuple[int, int]] = []
    render_events("flow_uvs_28", 21, seed=0, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(20, 21), (21, 21)]
