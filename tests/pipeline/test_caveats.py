"""What a reader is told beside the events."""

from types import SimpleNamespace

import numpy as np

from server.pipeline.caveats import spoken
from server.spotting.signal import REGIONS
from server.testing import still_head

MOUTH = [i for i, name in enumerate(REGIONS) if name.startswith(("lip", "chin", "mouth"))]


def _log(track_id, phrases):
    times = np.arange(30 * 60) / 30
    displacement = np.zeros((len(times), len(REGIONS), 2), np.float32)
    for start in phrases:
        inside = (times >= start) & (times <= start + 1.0)
        displacement[:, MOUTH, 1] += (0.05 * np.sin(np.pi * 4 * (times - start)) ** 2 * inside)[:, None]
    signal = still_head(times, displacement)
    return SimpleNamespace(track_id=track_id, signals=lambda: iter([signal]))


def test_speech_is_said_to_have_hidden_the_mouth():
    """One warning for each face that spoke, with the times, and none for the others."""
    (warning,) = spoken([_log(1, []), _log(2, [5.0])])
    assert warning.code == "speech"
    assert "face 2" in warning.message
    assert "4.0" in warning.message or "3.9" in warning.message


def test_a_long_talk_gives_one_short_warning():
    """Five times are listed, the rest is counted."""
    (warning,) = spoken([_log(1, range(4, 60, 7))])
    assert "3 times more" in warning.message
