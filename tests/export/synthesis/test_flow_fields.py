"""Synthetic flow images: reproducible, balanced, and stored as the published images are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from export.labels import LABELS
from export.synthesis import flow_fields
from export.synthesis.action_units import UNITS
from export.synthesis.flow_fields import (
    CHUNK,
    STRENGTH_SPREAD,
    FlowSamples,
    flow_images,
    flow_in_iod,
    one_thread,
    synthesize_flow,
)
from export.synthesis.sources import SOURCES
from server.errors import OptionError
from server.flow.derive import flow_field
from server.recipes.flow_uvs_28_iod import MOTION_BOUND, STRAIN_BOUND, make
from server.types import CROP_IOD_PX, EventSample


@pytest.fixture(scope="module")
def samples() -> FlowSamples:
    """Enough to look at averages."""
    return synthesize_flow(600, seed=4)


def test_same_seed_same_samples_whatever_the_processes(samples: FlowSamples) -> None:
    """Two processes make bit for bit what one makes."""
    shared = synthesize_flow(600, seed=4, processes=2)
    np.testing.assert_array_equal(shared.images, samples.images)
    np.testing.assert_array_equal(shared.labels, samples.labels)
    np.testing.assert_array_equal(shared.action_units, samples.action_units)
    assert shared.sha256() == samples.sha256()


def test_threads_do_not_change_the_samples() -> None:
    """A caller that uses two threads gets the same bits, and keeps its two threads."""
    expected = synthesize_flow(40, seed=1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        np.testing.assert_array_equal(synthesize_flow(40, seed=1).images, expected.images)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_other_seed_other_samples(samples: FlowSamples) -> None:
    """Seeds, and the chunks of one seed, are independent."""
    assert not np.array_equal(synthesize_flow(40, seed=5).images, samples.images[:40])
    assert not np.array_equal(samples.images[:88], samples.images[CHUNK:])


def test_samples_look_like_published_files(samples: FlowSamples) -> None:
    """28 x 28, every channel stretched to 0..255, strain mostly low, u and v near the middle."""
    assert samples.images.shape == (600, 3, 28, 28)
    assert samples.images.dtype == np.uint8
    assert (samples.images.min((2, 3)) == 0).all()
    assert (samples.images.max((2, 3)) == 255).all()
    u, v, strain = samples.images.mean((0, 2, 3))
    assert 110 < u < 145
    assert 110 < v < 165
    assert 20 < strain < 45


def test_classes_are_equally_likely(samples: FlowSamples) -> None:
    """Each class has about a third of the samples."""
    shares = np.bincount(samples.labels, minlength=len(LABELS)) / 600
    assert (abs(shares - 1 / 3) < 0.06).all()


def test_action_units_are_told(samples: FlowSamples) -> None:
    """Every sample says how strongly which units move either side: intensity times share, each at most 1.6."""
    assert samples.action_units.shape == (600, 2, len(UNITS))
    assert (samples.action_units.max((1, 2)) > 0).all()
    assert samples.action_units.max() <= 1.6 * 1.6
    assert (samples.action_units[:, 0] != samples.action_units[:, 1]).any(1).all()


def test_surprise_lifts_the_brows_and_anger_lowers_them(samples: FlowSamples) -> None:
    """Against the nose, brows move up in surprise (v below its nose level) and down in the negative class."""
    v = samples.images[:, 1].astype(float)
    brows = v[:, 3:6, 6:22].mean((1, 2)) - np.median(v[:, 8:17, 11:17].reshape(600, -1), axis=1)
    means = [brows[samples.labels == i].mean() for i in range(3)]
    assert means[LABELS.index("surprise")] < -20
    assert means[LABELS.index("negative")] > 5


def test_progress_counts_samples() -> None:
    """Progress comes chunk by chunk and ends with all samples."""
    seen: list[tuple[int, int]] = []
    synthesize_flow(CHUNK + 8, seed=0, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(CHUNK, CHUNK + 8), (CHUNK + 8, CHUNK + 8)]


@pytest.mark.parametrize("arguments", [{"samples": 0}, {"processes": 0}, {"seed": -1}])
def test_numbers_out_of_range_are_refused(arguments: dict[str, int]) -> None:
    """No sample, no process and a negative seed make no sense."""
    given = {"samples": 4, "seed": 0, "processes": 1, **arguments}
    with pytest.raises(OptionError):
        synthesize_flow(given["samples"], given["seed"], processes=given["processes"])


def test_strain_of_a_stretch() -> None:
    """A stretch of u has the strain of its slope; a pure translation has none."""
    x = torch.arange(56.0).expand(1, 56, 56)
    translation = torch.stack([torch.full_like(x, 3.0), torch.full_like(x, -2.0)], dim=1)
    bump = torch.exp(-(((x - 28) / 6) ** 2))
    stretched = torch.stack([bump, torch.zeros_like(x)], dim=1)
    one = torch.ones(1, 1, 1)
    assert not flow_images(translation, one)[:, 2].any()
    strain = flow_images(stretched, one)[0, 2].float()
    assert (strain[14] == strain[3]).all()
    assert strain[14, [11, 16]].min() > 200
    assert strain[14, [0, 27]].max() < 5


def test_scales_show_the_same_motion(samples: FlowSamples) -> None:
    """The same seed is the same people and the same motion; in percent of the IOD zero and strength are kept."""
    kept = synthesize_flow(600, seed=4, scale="iod")
    np.testing.assert_array_equal(kept.labels, samples.labels)
    np.testing.assert_array_equal(kept.action_units, samples.action_units)
    assert kept.images.dtype == np.float16
    assert kept.sha256() != samples.sha256()
    motion = kept.images[:, :2].astype(np.float64)
    low, high = motion.min((2, 3), keepdims=True), motion.max((2, 3), keepdims=True)
    np.testing.assert_allclose(255 * (motion - low) / (high - low), samples.images[:, :2], atol=1.5)


def test_magnitudes_are_those_of_micro_expressions() -> None:
    """The largest motion is a few percent of the IOD, spread beyond what intensities alone would do, within bounds."""
    images = synthesize_flow(600, seed=4, scale="iod").images.astype(np.float64)
    against_nose = images[:, :2] - np.median(images[:, :2, 8:17, 11:17], axis=(2, 3), keepdims=True)
    largest = np.hypot(against_nose[:, 0], against_nose[:, 1]).max((1, 2))
    assert 2 < np.median(largest) < 8
    assert np.log(largest).std() > STRENGTH_SPREAD
    assert np.abs(images[:, :2]).max() <= MOTION_BOUND
    assert images[:, 2].min() >= 0
    assert images[:, 2].max() <= STRAIN_BOUND


def test_units_are_those_of_the_recipe() -> None:
    """A smooth motion gives the same tensor from the coarse grid as the service makes of it at crop resolution."""
    rows, columns = np.mgrid[:256, :256].astype(np.float32)

    def motion(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        bump = np.exp(-((x - 100) ** 2 + (y - 140) ** 2) / (2 * 30.0**2))
        return 4 * bump, -2 * bump

    u, v = ((0.01 * CROP_IOD_PX * each).astype(np.float32) for each in motion(columns, rows))
    blank = np.zeros((256, 256), np.float32)
    expected = make(EventSample(blank, blank, np.zeros((468, 2), np.float32), flow_field(u, v)))["flow"]
    cells = (np.arange(56) + 0.5) * 192 / 56 - 0.5
    x, y = np.meshgrid(32 + cells, 48 + cells)
    coarse = torch.from_numpy(np.stack(motion(x, y))).float()[None]
    np.testing.assert_allclose(flow_in_iod(coarse)[0].float().numpy(), expected, atol=0.25)
    assert expected[2].max() > 3


def test_one_thread_restores_the_count_after_an_error() -> None:
    """The caller's threads come back even when the work fails."""
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), one_thread():
        raise RuntimeError
    assert torch.get_num_threads() == before


def test_no_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Synthesis opens no file: nobody's data can take part."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert len(flow_fields.synthesize_flow(4, seed=0).labels) == 4


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_of_units_can_be_used_alone(source: str) -> None:
    """For an ablation: units are those that the source draws, and the same seed gives the same samples."""
    made = synthesize_flow(200, 4, sources=(source,))
    again = synthesize_flow(200, 4, sources=(source,))
    assert made.sha256() == again.sha256() != synthesize_flow(200, 4).sha256()
    surprised = made.action_units[made.labels == LABELS.index("surprise")].max(axis=1)
    if source == "real":
        assert (surprised[:, [UNITS.index(u) for u in (1, 2, 5, 25)]].max(axis=1) > 0).all()
    else:
        assert (surprised[:, UNITS.index(1)] > 0).all()


def test_unknown_source_is_refused() -> None:
    """The error names those that exist, before anything is made."""
    with pytest.raises(OptionError, match="expert, early_macro, real"):
        synthesize_flow(10, 0, sources=("posed",))
