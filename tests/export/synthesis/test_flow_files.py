"""Synthetic samples on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from export.data.flow_images import read_flow_images
from export.synthesis.flow_fields import synthesize_flow
from export.synthesis.flow_files import write_flow_samples


def test_archive_holds_samples_and_action_units(tmp_path: Path) -> None:
    """The .npz file has everything that is known of each sample."""
    samples = synthesize_flow(12, seed=0)
    write_flow_samples(tmp_path / "flow.npz", samples)
    with np.load(tmp_path / "flow.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["images"], samples.images)
        np.testing.assert_array_equal(archive["labels"], samples.labels)
        assert archive["label_names"].tolist() == ["negative", "positive", "surprise"]
        assert archive["action_units"].shape[2] == len(archive["action_unit_numbers"])


def test_archive_is_the_same_twice(tmp_path: Path) -> None:
    """The same samples give the same bytes."""
    samples = synthesize_flow(6, seed=0)
    write_flow_samples(tmp_path / "a.npz", samples)
    write_flow_samples(tmp_path / "b.npz", samples)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_folder_reads_like_real_data(tmp_path: Path) -> None:
    """A folder of synthetic samples has the format of the real ones."""
    samples = synthesize_flow(6, seed=0)
    write_flow_samples(tmp_path / "flow", samples)
    np.testing.assert_array_equal(read_flow_images(tmp_path / "flow").images, samples.images)
