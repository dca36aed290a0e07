"""The picture of confusion matrices."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from export.bootstrap import Intervals
from export.confusion_plot import Panel, write_confusion_plot

PANEL = Panel("smic", np.diag([5, 4, 3]), 1.0, 1.0, Intervals((0.9, 1.0), (0.9, 1.0), 0))


def test_panels_stand_side_by_side(tmp_path: Path) -> None:
    """Every data set has a panel; two are twice as wide as one."""
    write_confusion_plot(tmp_path / "new" / "one.png", "title", [PANEL])
    write_confusion_plot(tmp_path / "two.png", "title", [PANEL, PANEL])
    one, two = cv2.imread(str(tmp_path / "new" / "one.png")), cv2.imread(str(tmp_path / "two.png"))
    assert one.shape[0] == two.shape[0]
    assert two.shape[1] == 2 * one.shape[1]
    assert len(np.unique(one)) > 10


def test_same_matrix_same_picture(tmp_path: Path) -> None:
    """Nothing but the numbers is in the file; an empty row is drawn too."""
    for name in ("a.png", "b.png"):
        write_confusion_plot(tmp_path / name, "title", [PANEL])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    empty = Panel("samm", np.diag([5, 4, 0]), 0.5, 0.5, PANEL.intervals)
    write_confusion_plot(tmp_path / "a.png", "title", [empty])
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
