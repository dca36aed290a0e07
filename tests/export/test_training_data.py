"""Where training samples come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.data.flow_images import COLUMNS, write_flow_images
from export.labels import LABELS
from export.synthesis.flow_fields import synthesize_flow
from export.training_data import VALIDATION_SAMPLES, folder_data, synthetic_data
from server.errors import InputError


def _folder(path: Path, subjects: int) -> Path:
    samples = synthesize_flow(40, seed=0)
    write_flow_images(path, samples.images, samples.labels, "set")
    rows = [f"set/{i:06d}.png,set,s{i % subjects},{LABELS[label]}" for i, label in enumerate(samples.labels)]
    (path / "index.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n", encoding="utf-8")
    return path


def test_synthetic_samples_are_split() -> None:
    """Validation samples come after those that are trained on, in the number that was announced."""
    data = synthetic_data(100, seed=2)
    everything = synthesize_flow(100 + VALIDATION_SAMPLES, seed=2)
    np.testing.assert_array_equal(data.images, everything.images[:100])
    np.testing.assert_array_equal(data.validation_images, everything.images[100:])
    assert len(data.validation_labels) == VALIDATION_SAMPLES
    assert data.sha256 == everything.sha256()


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
