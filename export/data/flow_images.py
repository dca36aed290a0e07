"""Reads a folder of onset-to-apex flow images: PNG files listed by an `index.csv` (path, dataset, subject, label)."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from export.labels import LABELS
from server.errors import InputError, OptionError
from server.types import UInt8Array

INDEX = "index.csv"
COLUMNS = ("path", "dataset", "subject", "label")
SIDE = 28
_HASH_DIGITS = 16
RECIPE = "flow_uvs_28"
"""What the images of a folder are, whoever made them."""


@dataclass(frozen=True, slots=True)
class FlowImages:
    """`images` uint8 [N, 3, 28, 28] in the order u, v, strain; `labels` int64 [N] into `LABELS`; for each sample its
    data set, its subject (unique within a data set) and its path below the folder. `sha256` covers index and pixels.
    """

    images: UInt8Array
    labels: npt.NDArray[np.int64]
    datasets: tuple[str, ...]
    subjects: tuple[str, ...]
    paths: tuple[str, ...]
    sha256: str

    def image_hashes(self) -> tuple[str, ...]:
        """What tells each sample from any other by its pixels, whatever folder, name or index it is found under."""
        return tuple(hashlib.sha256(image.tobytes()).hexdigest()[:_HASH_DIGITS] for image in self.images)


@dataclass(frozen=True, slots=True)
class UnlabelledImages:
    """`images` uint8 [N, 3, 28, 28] as those of `FlowImages`, whose classes are not known or not to be looked at."""

    images: UInt8Array
    paths: tuple[str, ...]
    sha256: str


def read_flow_images(folder: Path) -> FlowImages:
    """The samples of `folder` in the order of its index.

    Files are 8-bit colour images as OpenCV reads them: blue strain, green v, red u, each stretched to 0..255. Raises
    `InputError` naming the file or the line when the index lacks a column, a label is unknown, a path leaves the
    folder, a sample is listed twice, a file is missing or unreadable, or an image is not 28 x 28.
    """
    rows = _read_index(folder / INDEX, COLUMNS)
    images = np.empty((len(rows), 3, SIDE, SIDE), np.uint8)
    digest = hashlib.sha256()
    for i, row in enumerate(rows):
        images[i] = _read_image(folder, row["path"])
        digest.update("\0".join(row[column] for column in COLUMNS).encode())
        digest.update(images[i].tobytes())
    return FlowImages(
        images=images,
        labels=np.array([LABELS.index(row["label"]) for row in rows], np.int64),
        datasets=tuple(row["dataset"] for row in rows),
        subjects=tuple(row["subject"] for row in rows),
        paths=tuple(row["path"] for row in rows),
        sha256=digest.hexdigest(),
    )


def check_takes_images(name: str, recipe: str) -> None:
    """Raises `OptionError` where the network or model `name`, which takes `recipe`, cannot be asked about a folder."""
    if recipe != RECIPE:
        raise OptionError(
            f"{name} takes {recipe}; the images of a folder are {RECIPE}, each channel stretched to 0..255, from which "
            "it cannot be made",
            option="data",
        )


def read_unlabelled_images(folder: Path) -> UnlabelledImages:
    """The images of `folder` in the order of its index, of which only the column path is read.

    Raises `InputError` as `read_flow_images` does, but for what concerns the other columns.
    """
    rows = _read_index(folder / INDEX, ("path",))
    paths = tuple(row["path"] for row in rows)
    images = np.stack([_read_image(folder, path) for path in paths])
    digest = hashlib.sha256()
    for path, image in zip(paths, images, strict=True):
        digest.update(path.encode() + b"\0" + image.tobytes())
    return UnlabelledImages(images, paths, digest.hexdigest())


def write_flow_images(folder: Path, images: UInt8Array, labels: npt.NDArray[np.int64], dataset: str) -> None:
    """Write samples as `read_flow_images` reads them, one subject each. `folder` must not hold an index yet.

    Raises `InputError` where it does.
    """
    index = folder / INDEX
    if index.exists():
        raise InputError(f"{index} exists; choose an empty folder")
    (folder / dataset).mkdir(parents=True, exist_ok=True)
    with index.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = f"{dataset}/{i:06d}.png"
            (folder / path).write_bytes(encode_image(image))
            writer.writerow([path, dataset, f"{dataset}{i:06d}", LABELS[label]])


def encode_image(image: UInt8Array) -> bytes:
    """One image, uint8 [3, 28, 28] in the order u, v, strain, as the PNG file that `read_flow_images` reads."""
    return cv2.imencode(".png", np.ascontiguousarray(image[::-1].transpose(1, 2, 0)))[1].tobytes()


def _read_index(index: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    if not index.is_file():
        raise InputError(f"{index} does not exist; a data folder has an {INDEX} with {', '.join(columns)}")
    with index.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, restval="")
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{index} has no column {', '.join(missing)}")
        rows = list(reader)
    if not rows:
        raise InputError(f"{index} lists no sample")
    seen: set[str] = set()
    for number, row in enumerate(rows, start=2):
        _check_row(row, columns, f"{index}, line {number}")
        if row["path"] in seen:
            raise InputError(f"{index}, line {number}: {row['path']} is listed twice")
        seen.add(row["path"])
    return rows


def _check_row(row: dict[str, str], columns: Sequence[str], where: str) -> None:
    empty = [column for column in columns if not row[column]]
    if empty:
        raise InputError(f"{where}: no {', '.join(empty)}")
    if "label" in columns and row["label"] not in LABELS:
        raise InputError(f"{where}: label {row['label']!r} is none of {', '.join(LABELS)}")
    path = Path(row["path"])
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{where}: path {row['path']!r} leaves the folder")


def _read_image(folder: Path, path: str) -> UInt8Array:
    file = folder / path
    if not file.is_file():
        raise InputError(f"{file} is listed in {INDEX} but does not exist")
    pixels = cv2.imdecode(np.frombuffer(file.read_bytes() or b"\0", np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise InputError(f"{file} is not a readable image")
    if pixels.shape[:2] != (SIDE, SIDE):
        height, width = pixels.shape[:2]
        raise InputError(f"{file} is {width} x {height} pixels, not {SIDE} x {SIDE}")
    channels: UInt8Array = pixels.astype(np.uint8, copy=False)[:, :, ::-1].transpose(2, 0, 1)
    return channels
