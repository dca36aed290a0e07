"""Writes synthetic flow samples: a folder like those of real data, or one .npz file with the action units as well."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.data.flow_images import write_flow_images
from export.labels import LABELS
from export.synthesis.action_units import UNITS
from export.synthesis.flow_fields import FlowSamples

DATASET = "synthetic"


def write_flow_samples(output: Path, samples: FlowSamples) -> None:
    """Write `samples` to `output`, an .npz file if its name says so, else a folder of PNG files with an index.

    The file holds `images`, `labels`, `label_names`, `action_units` [N, 2, units] and `action_unit_numbers`. The
    same samples give the same bytes. Raises `InputError` when the folder already has an index.
    """
    if output.suffix != ".npz":
        write_flow_images(output, samples.images.astype(np.uint8, copy=False), samples.labels, DATASET)
        return
    arrays: dict[str, npt.NDArray[Any]] = {
        "images": samples.images,
        "labels": samples.labels,
        "label_names": np.array(LABELS),
        "action_units": samples.action_units,
        "action_unit_numbers": np.array(UNITS),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            buffer = BytesIO()
            np.lib.format.write_array(buffer, array)
            # np.savez would note the time of day.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED)
