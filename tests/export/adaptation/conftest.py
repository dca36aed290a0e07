"""A labelled source and an unlabelled target of synthetic samples, as folders."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from export.data.flow_images import encode_image
from export.labels import LABELS
from export.synthesis.flow_fields import synthesize_flow

SUBJECTS = 4


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """48 labelled samples of 4 subjects, and 40 others whose index has no other column than path."""
    made = synthesize_flow(88, seed=3)
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    with (source / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "dataset", "subject", "label"])
        for i in range(48):
            (source / f"{i}.png").write_bytes(encode_image(made.images[i]))
            writer.writerow([f"{i}.png", "synthetic", f"s{i % SUBJECTS}", LABELS[made.labels[i]]])
    for i in range(48, 88):
        (target / f"{i}.png").write_bytes(encode_image(made.images[i]))
    (target / "index.csv").write_text("path\n" + "".join(f"{i}.png\n" for i in range(48, 88)))
    assert np.bincount(made.labels[:48], minlength=3).min() > SUBJECTS
    return source, target
