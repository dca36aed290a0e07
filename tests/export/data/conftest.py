"""Small data sets with the folders and sheets of the real ones, their frames cut from a sample clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import av
import cv2
import pytest
from openpyxl import Workbook

CASME2_HEADER = (
    "Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units", "Estimated Emotion",
)  # fmt: skip
SAMM_HEADER = (
    "Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro",
    "Action Units", "Estimated Emotion", "Objective Classes", "Notes",
)  # fmt: skip
CASME2_SHEET = "CASME2-coding-20140508.xlsx"
SAMM_SHEET = "SAMM_Micro_FACS_Codes_v2.xlsx"

WriteFrames = Callable[[Path, str, range], None]


def write_sheet(file: Path, rows: Sequence[Sequence[object]]) -> None:
    """An Excel file with one table."""
    workbook = Workbook()
    assert workbook.active is not None
    for row in rows:
        workbook.active.append(list(row))
    workbook.save(file)


@pytest.fixture(scope="session")
def sample_frames(pytestconfig: pytest.Config) -> list:
    """BGR pictures of a clip in which frame 33 is the onset, 39 the apex and 45 the offset of a frown."""
    with av.open(str(pytestconfig.rootpath / "samples" / "negative.mp4")) as clip:
        return [frame.to_ndarray(format="bgr24") for frame in clip.decode(video=0)]


@pytest.fixture
def write_frames(sample_frames: list) -> WriteFrames:
    """Writes frames of the sample clip under their own numbers: `pattern` is formatted with the number."""

    def write(folder: Path, pattern: str, numbers: range) -> None:
        folder.mkdir(parents=True)
        for number in numbers:
            assert cv2.imwrite(str(folder / pattern.format(number)), sample_frames[number])

    return write


@pytest.fixture
def casme2(tmp_path: Path, write_frames: WriteFrames) -> Path:
    """Two usable clips, one whose apex is unknown, and clips of classes that the protocol leaves out."""
    root = tmp_path / "casme2"
    write_frames(root / "Cropped" / "sub01" / "EP02_01f", "reg_img{}.jpg", range(33, 46))
    write_frames(root / "Cropped" / "sub17" / "EP05_03", "img{}.jpg", range(33, 46))
    rows = [
        CASME2_HEADER,
        (1, "EP02_01f", None, 33, 39, 45, None, "4+L10", "disgust"),
        (17, "EP05_03", None, 33, "/", 45, None, "12", "happiness"),
        (17, "EP05_04", None, 33, 39, 45, None, "1", "sadness"),
        (17, "EP05_05", None, 33, 39, 45, None, "20", "fear"),
        (17, "EP05_06", None, 33, 39, 45, None, "4", "others"),
    ]
    write_sheet(root / CASME2_SHEET, rows)
    return root


@pytest.fixture
def samm(tmp_path: Path, write_frames: WriteFrames) -> Path:
    """One clip, below a header that follows notes."""
    root = tmp_path / "samm"
    write_frames(root / "SAMM" / "006" / "006_1_2", "006_{:05d}.jpg", range(33, 46))
    rows = [
        ("Spontaneous Actions and Micro-Movements",), (None,), ("Notes", "Subject is the folder"), SAMM_HEADER,
        ("006", "006_1_2", 1, 33, 39, 45, 13, "1/2", "4", "Anger", 3, None),
        ("006", "006_1_3", 1, 33, 39, 45, 13, "1/2", "4", "Other", 3, None),
        (None,) * 12,
    ]  # fmt: skip
    write_sheet(root / SAMM_SHEET, rows)
    return root


@pytest.fixture
def smic(tmp_path: Path, write_frames: WriteFrames) -> Path:
    """Two clips of one subject."""
    micro = tmp_path / "smic" / "SMIC_all_cropped" / "HS" / "s01" / "micro"
    write_frames(micro / "negative" / "s01_ne_01", "reg_image{:06d}.bmp", range(33, 46))
    write_frames(micro / "surprise" / "s01_sur_01", "reg_image{:06d}.bmp", range(33, 36))
    return tmp_path / "smic"
