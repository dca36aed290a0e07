"""Where training samples come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.data.flow_images import COLUMNS, write_flow_images
from export.labels import LABELS
from export.synthesis.action_units import UNITS
from export.synthesis.flow_fields import CHUNK, synthesize_flow
from export.training_data import Source, TrainingData, folder_data, mixed_data, synthetic_data
from server.errors import InputError, OptionError


def _folder(path: Path, subjects: int) -> Path:
    samples = synthesize_flow(40, seed=0)
    write_flow_images(path, samples.images, samples.labels, "set")
    rows = [f"set/{i:06d}.png,set,s{i % subjects},{LABELS[label]}" for i, label in enumerate(samples.labels)]
    (path / "index.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n", encoding="utf-8")
    return path


def test_synthetic_samples_are_split(few_held_out: int) -> None:
    """Validation samples come after those that are trained on, in the number that was announced."""
    data = synthetic_data(CHUNK, seed=2)
    everything = synthesize_flow(CHUNK + few_held_out, seed=2)
    np.testing.assert_array_equal(data.images, everything.images[:CHUNK])
    np.testing.assert_array_equal(data.validation_images, everything.images[CHUNK:])
    assert len(data.validation_labels) == few_held_out
    assert data.sha256 == everything.sha256()
    np.testing.assert_array_equal(data.action_units, everything.action_units[:CHUNK])
    np.testing.assert_array_equal(data.validation_action_units, everything.action_units[CHUNK:])


def test_calibration_shares_no_sample_with_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody whom a network is calibrated on was trained on or held out, whatever chunk of the samples they are in."""
    monkeypatch.setattr("export.training_data.VALIDATION_SAMPLES", CHUNK)
    monkeypatch.setattr("export.training_data.CALIBRATION_SAMPLES", CHUNK)
    data = synthetic_data(CHUNK, seed=3, calibration=True)
    assert data.calibration is not None
    seen = {image.tobytes() for image in (*data.images, *data.validation_images)}
    assert not seen & {image.tobytes() for image in data.calibration.images}


def _part(samples: int, held_out: int, *, units: bool, name: str) -> TrainingData:
    images = np.zeros((samples + held_out, 3, 28, 28), np.uint8)
    labels = np.zeros(samples + held_out, np.int64)
    strengths = np.ones((samples + held_out, 2, len(UNITS)), np.float32)
    return TrainingData(
        images[:samples],
        labels[:samples],
        images[samples:],
        labels[samples:],
        name,
        name,
        strengths[:samples] if units else None,
        strengths[samples:] if units else None,
    )


def test_sources_lie_together() -> None:
    """Samples of several sources follow each other; units are not a number where a source does not know them."""
    one, two = _part(6, 2, units=True, name="one"), _part(3, 1, units=False, name="two")
    mixed = mixed_data([("a", one), ("b", two)], [1, 2])
    assert mixed.sources == (Source("a", "one", 6, 3, 2), Source("b", "two", 3, 6, 1))
    assert (len(mixed.labels), len(mixed.validation_labels), mixed.epoch_samples) == (9, 3, 9)
    assert np.isnan(mixed.action_units[6:]).all()
    assert (mixed.action_units[:6] == 1).all()
    assert np.isnan(mixed.validation_action_units[2:]).all()
    assert mixed.description == "one (3 drawn an epoch) + two (6 drawn an epoch)"
    assert mixed_data([("b", two), ("c", _part(2, 1, units=False, name="three"))]).action_units is None


def test_one_source_stays_as_it_is() -> None:
    """Nothing is said of a mix where nothing is mixed."""
    one = _part(6, 2, units=True, name="one")
    assert mixed_data([("a", one)]) is one


@pytest.mark.parametrize("shares", [[1], [1, 2, 3], [1, 0], [1, -1], [1, float("nan")], [1, float("inf")]])
def test_shares_must_fit_the_sources(shares: list[float]) -> None:
    """A positive number for each source, or none at all."""
    parts = [("a", _part(6, 2, units=True, name="one")), ("b", _part(3, 1, units=False, name="two"))]
    with pytest.raises(OptionError, match="2 positive numbers"):
        mixed_data(parts, shares)


def test_source_given_twice_is_refused() -> None:
    """A folder that is named twice would count twice without anybody having said so."""
    one = _part(6, 2, units=True, name="one")
    with pytest.raises(OptionError, match="twice"):
        mixed_data([("a", one), ("b", one)])


@pytest.mark.usefixtures("few_held_out")
def test_synthetic_data_is_scaled_for_its_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples, held-out samples and those of the calibration are of one recipe; one that cannot be made is refused."""
    monkeypatch.setattr("export.training_data.CALIBRATION_SAMPLES", 40)
    data = synthetic_data(20, seed=2, recipe="flow_uvs_28_iod", calibration=True)
    assert data.recipe == "flow_uvs_28_iod"
    assert data.calibration is not None
    assert {each.dtype for each in (data.images, data.validation_images, data.calibration.images)} == {
        np.dtype(np.float16)
    }
    np.testing.assert_array_equal(data.labels, synthetic_data(20, seed=2).labels)
    with pytest.raises(OptionError, match=r"clip_gray_18x64, only of flow_uvs_28, flow_uvs_28_iod"):
        synthetic_data(20, seed=2, recipe="clip_gray_18x64")


def test_recipes_are_not_mixed() -> None:
    """Stretched images and motion in percent have the same shape and nothing else in common."""
    one, two = _part(6, 2, units=True, name="one"), _part(3, 1, units=False, name="two")
    with pytest.raises(OptionError, match=r"a flow_uvs_28, b flow_uvs_28_iod"):
        mixed_data([("a", one), ("b", replace(two, recipe="flow_uvs_28_iod"))])


def test_hash_of_the_content_covers_what_is_trained_on() -> None:
    """Another label, unit, split or mix is other content."""
    one, two = _part(6, 2, units=True, name="one"), _part(3, 1, units=False, name="two")
    contents = [
        one,
        replace(one, labels=one.labels + 1),
        replace(one, action_units=one.action_units / 2),
        replace(one, action_units=None),
        _part(5, 3, units=True, name="one"),
        replace(one, calibration=synthesize_flow(3, seed=0)),
        mixed_data([("a", one), ("b", two)]),
        mixed_data([("a", one), ("b", two)], [1, 1]),
    ]
    assert len({content.content_sha256() for content in contents}) == len(contents)


def test_subjects_are_held_out_whole(tmp_path: Path) -> None:
    """With 20 subjects two are held out, with all of their samples."""
    data = folder_data(_folder(tmp_path, subjects=20), seed=0)
    assert len(data.labels) == 36
    assert len(data.validation_labels) == 4
    assert "36 samples of set; 4 held out" in data.description


def test_held_out_subjects_follow_the_seed(tmp_path: Path) -> None:
    """The same seed holds out the same people; some other seed others."""
    folder = _folder(tmp_path, subjects=20)
    first = folder_data(folder, seed=0).validation_images
    np.testing.assert_array_equal(folder_data(folder, seed=0).validation_images, first)
    assert any(not np.array_equal(folder_data(folder, seed=seed).validation_images, first) for seed in (1, 2, 3))


def test_one_subject_is_not_enough(tmp_path: Path) -> None:
    """Nobody could be held out."""
    with pytest.raises(InputError, match="two subjects"):
        folder_data(_folder(tmp_path, subjects=1), seed=0)
