"""What happens in a rendered clip and when: movements, blinks and head motion, with exact ground truth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from export.synthesis.mesh_motion import peak_displacement
from server.types import EventKind, Side

_CLOSING_S = 0.08
_OPENING_S = 0.15


@dataclass(frozen=True, slots=True)
class Movement:
    """One expression: action units that rise and fall together.

    The rise is sin^2 and the fall cos^2, with the durations of real micro-expressions (CASME II and SAMM: onset to
    apex 0.07..0.33 s, whole 0.18..0.50 s).
    """

    label: str
    kind: EventKind
    action_units: Mapping[int, float]
    onset_s: float
    apex_s: float
    offset_s: float
    side: Side = "both"

    def level(self, time_s: float) -> float:
        """Share of the full movement at `time_s`, 0..1."""
        if not self.onset_s < time_s < self.offset_s:
            return 0.0
        if time_s <= self.apex_s:
            return math.sin(math.pi / 2 * (time_s - self.onset_s) / (self.apex_s - self.onset_s)) ** 2
        return math.cos(math.pi / 2 * (time_s - self.apex_s) / (self.offset_s - self.apex_s)) ** 2


@dataclass(frozen=True, slots=True)
class Blink:
    """One blink: the lids close in 0.08 s and open in 0.15 s; `depth` 1 closes the eye."""

    start_s: float
    depth: float = 1.0

    def level(self, time_s: float) -> float:
        """How far the lids are closed, 0..1."""
        after = time_s - self.start_s
        if after <= 0 or after >= _CLOSING_S + _OPENING_S:
            return 0.0
        share = after / _CLOSING_S if after < _CLOSING_S else 1 - (after - _CLOSING_S) / _OPENING_S
        return self.depth * math.sin(math.pi / 2 * share) ** 2


@dataclass(frozen=True, slots=True)
class HeadPose:
    """In-plane head pose: shift in IOD, rotation in degrees, scale."""

    x_iod: float
    y_iod: float
    roll_deg: float
    scale: float


@dataclass(frozen=True, slots=True)
class Sway:
    """Slow head motion: a sum of incommensurate sines, `shift_iod` and `roll_deg` being its amplitudes."""

    shift_iod: float = 0.0
    roll_deg: float = 0.0
    scale: float = 0.0
    seed: int = 0

    def pose(self, time_s: float) -> HeadPose:
        """Pose at `time_s`; all rates lie between 0.1 and 0.45 Hz."""
        phases = np.random.default_rng(self.seed).uniform(0, 2 * math.pi, (4, 3))
        rates = np.array([0.11, 0.23, 0.41])
        waves = (np.sin(2 * math.pi * rates * time_s + phases) * np.array([0.5, 0.3, 0.2])).sum(axis=1)
        return HeadPose(
            x_iod=float(self.shift_iod * waves[0]),
            y_iod=float(self.shift_iod * waves[1]),
            roll_deg=float(self.roll_deg * waves[2]),
            scale=float(1 + self.scale * waves[3]),
        )


@dataclass(frozen=True, slots=True)
class Script:
    """A whole clip. `noise` is the sigma of the sensor noise in grey levels, `flicker` that of the lighting (share)."""

    duration_s: float
    movements: tuple[Movement, ...] = ()
    blinks: tuple[Blink, ...] = ()
    sway: Sway = Sway()
    noise: float = 1.0
    flicker: float = 0.003
    seed: int = 0

    def ground_truth(self, fps: float) -> dict[str, Any]:
        """What a perfect observer would report, as JSON-able data."""
        return {
            "duration_s": self.duration_s,
            "fps": fps,
            "events": [
                {
                    "label": m.label,
                    "kind": m.kind,
                    "onset_s": m.onset_s,
                    "apex_s": m.apex_s,
                    "offset_s": m.offset_s,
                    "onset_frame": round(m.onset_s * fps),
                    "apex_frame": round(m.apex_s * fps),
                    "offset_frame": round(m.offset_s * fps),
                    "side": m.side,
                    "action_units": [{"au": au, "intensity": round(a, 4)} for au, a in m.action_units.items()],
                    "peak_iod": round(peak_displacement(m.action_units), 4),
                }
                for m in self.movements
            ],
            "blinks": [asdict(b) for b in self.blinks],
        }


def expression(
    label: str,
    action_units: tuple[int, ...],
    *,
    at_s: float,
    rise_s: float,
    fall_s: float,
    peak_iod: float,
    kind: EventKind = "micro",
    side: Side = "both",
) -> Movement:
    """A movement whose strongest landmark moves by `peak_iod`, with its onset at `at_s`."""
    unit = peak_displacement(dict.fromkeys(action_units, 1.0))
    return Movement(
        label=label,
        kind=kind,
        action_units=dict.fromkeys(action_units, peak_iod / unit),
        onset_s=at_s,
        apex_s=round(at_s + rise_s, 4),
        offset_s=round(at_s + rise_s + fall_s, 4),
        side=side,
    )
