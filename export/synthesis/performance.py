"""What a rendered person does and how the camera sees it, with ground truth to the frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from export.synthesis.mesh_motion import peak_displacement
from export.synthesis.script import Blink, Sway
from export.synthesis.speech import Speech
from server.types import EventKind, Side


@dataclass(frozen=True, slots=True)
class Expression:
    """Action units that rise together (sin^2), stay for `hold_s` and fall together (cos^2).

    `sides` says for each unit where it acts; the other side makes `weak_side` of the movement.
    """

    label: str
    emotion: str
    source: str
    kind: EventKind
    action_units: Mapping[int, float]
    sides: Mapping[int, Side]
    weak_side: float
    onset_s: float
    apex_s: float
    hold_s: float
    offset_s: float

    def level(self, time_s: float) -> float:
        """Share of the full movement at `time_s`, 0..1."""
        if not self.onset_s < time_s < self.offset_s:
            return 0.0
        if time_s <= self.apex_s:
            return math.sin(math.pi / 2 * (time_s - self.onset_s) / (self.apex_s - self.onset_s)) ** 2
        fall = self.apex_s + self.hold_s
        if time_s <= fall:
            return 1.0
        return math.cos(math.pi / 2 * (time_s - fall) / (self.offset_s - fall)) ** 2

    def truth(self, fps: float) -> dict[str, Any]:
        """What a perfect observer would report."""
        times = {"onset": self.onset_s, "apex": self.apex_s, "offset": self.offset_s}
        side: set[Side] = set(self.sides.values())
        return {
            "label": self.label,
            "kind": self.kind,
            **{f"{name}_s": value for name, value in times.items()},
            **{f"{name}_frame": round(value * fps) for name, value in times.items()},
            "side": next(iter(side)) if len(side) == 1 else "both",
            "action_units": [
                {"au": au, "intensity": round(a, 4), "side": self.sides[au]} for au, a in self.action_units.items()
            ],
            "peak_iod": round(peak_displacement(self.action_units), 4),
            "emotion": self.emotion,
            "source": self.source,
            "weak_side": round(self.weak_side, 4),
            "hold_s": self.hold_s,
        }


@dataclass(frozen=True, slots=True)
class Gaze:
    """Eyes that go to `x_iod`, `y_iod` at `start_s` within 0.04 s and stay until the next shift."""

    start_s: float
    x_iod: float
    y_iod: float


_SACCADE_S = 0.04


def gaze_at(gazes: tuple[Gaze, ...], time_s: float) -> tuple[float, float]:
    """Displacement of the irises at `time_s`, in IOD."""
    x, y = 0.0, 0.0
    for gaze in gazes:
        share = min(max((time_s - gaze.start_s) / _SACCADE_S, 0.0), 1.0)
        x, y = x + share * (gaze.x_iod - x), y + share * (gaze.y_iod - y)
    return x, y


@dataclass(frozen=True, slots=True)
class Turn:
    """Slow rotation of the head out of the picture's plane, amplitudes in degrees; rates as those of `Sway`."""

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    seed: int = 0

    def angles(self, time_s: float) -> tuple[float, float]:
        """Yaw and pitch at `time_s`, in radians."""
        pose = Sway(shift_iod=1.0, seed=self.seed).pose(time_s)
        return math.radians(self.yaw_deg * pose.x_iod), math.radians(self.pitch_deg * pose.y_iod)


@dataclass(frozen=True, slots=True)
class HeadTurn:
    """The head turns away within `go_s`, by `yaw_deg` and `pitch_deg`, stays for `stay_s` and comes back in `back_s`.

    Positive yaw takes the nose to the right of the picture, positive pitch downwards.
    """

    start_s: float
    yaw_deg: float
    pitch_deg: float
    go_s: float
    stay_s: float
    back_s: float

    @property
    def end_s(self) -> float:
        """When the head is back."""
        return self.start_s + self.go_s + self.stay_s + self.back_s

    def level(self, time_s: float) -> float:
        """Share of the full turn at `time_s`, 0..1, smooth at both ends of each way."""
        gone, back = (time_s - self.start_s) / self.go_s, (self.end_s - time_s) / self.back_s
        return math.sin(math.pi / 2 * min(max(min(gone, back), 0.0), 1.0)) ** 2


@dataclass(frozen=True, slots=True)
class LightChange:
    """The light goes to `gain` times the first one, within `seconds` from `start_s`, and stays until the next change.

    `right` and `down` are its change towards the right and the lower edge: a lamp stands at a side.
    """

    start_s: float
    seconds: float
    gain: float
    right: float = 0.0
    down: float = 0.0


def changed_light(changes: tuple[LightChange, ...], time_s: float) -> tuple[float, float, float]:
    """Gain, and its change towards the right and the lower edge, at `time_s`, after `changes` in order."""
    gain, right, down = 1.0, 0.0, 0.0
    for change in changes:
        share = min(max((time_s - change.start_s) / change.seconds, 0.0), 1.0)
        gain += share * (change.gain - gain)
        right += share * (change.right - right)
        down += share * (change.down - down)
    return gain, right, down


@dataclass(frozen=True, slots=True)
class Light:
    """Light on the face: a slope over the picture that turns slowly, a slow drift, and flicker; all as shares of it."""

    slope: float = 0.0
    drift: float = 0.0
    flicker: float = 0.0
    mains_hz: float = 0.0
    seed: int = 0

    def plane(self, time_s: float) -> tuple[float, float, float]:
        """Gain at the centre, and its change towards the right and the lower edge."""
        phases = np.random.default_rng(self.seed).uniform(0, 2 * math.pi, 4)
        drift = self.drift * math.sin(2 * math.pi * 0.07 * time_s + phases[0])
        ripple = self.flicker * math.sin(2 * math.pi * self.mains_hz * time_s + phases[3]) if self.mains_hz else 0.0
        angle = phases[1] + 0.3 * math.sin(2 * math.pi * 0.05 * time_s + phases[2])
        return 1.0 + drift + ripple, self.slope * math.cos(angle), self.slope * math.sin(angle)


@dataclass(frozen=True, slots=True)
class Performance:
    """A whole clip of one person. `noise` is the sigma of the sensor noise in grey levels; `turns` and `light_changes`,
    in order and one after the other, come on top of `turn` and `light`.
    """

    duration_s: float
    expressions: tuple[Expression, ...] = ()
    blinks: tuple[Blink, ...] = ()
    gazes: tuple[Gaze, ...] = ()
    speech: Speech = field(default_factory=Speech)
    sway: Sway = field(default_factory=Sway)
    turn: Turn = Turn()
    light: Light = Light()
    noise: float = 1.0
    seed: int = 0
    turns: tuple[HeadTurn, ...] = ()
    light_changes: tuple[LightChange, ...] = ()

    def turned(self, time_s: float) -> tuple[float, float]:
        """Yaw and pitch of `turns` at `time_s`, in radians."""
        levels = [(each, each.level(time_s)) for each in self.turns]
        yaw, pitch = (sum(level * getattr(each, name) for each, level in levels) for name in ("yaw_deg", "pitch_deg"))
        return math.radians(yaw), math.radians(pitch)

    def lit(self, time_s: float) -> tuple[float, float, float]:
        """Gain at the centre at `time_s`, and its change towards the right and the lower edge."""
        gain, right, down = self.light.plane(time_s)
        level, to_right, to_bottom = changed_light(self.light_changes, time_s)
        return gain * level, right * level + to_right, down * level + to_bottom

    def action_units(self, time_s: float) -> dict[tuple[int, Side, float], float]:
        """Intensity of each (unit, side, share of the weak side) that moves at `time_s`, speech included."""
        levels: dict[tuple[int, Side, float], float] = {}
        for each in self.expressions:
            level = each.level(time_s)
            if level == 0.0:
                continue
            for au, intensity in each.action_units.items():
                key = (au, each.sides[au], 1.0 if each.sides[au] == "both" else each.weak_side)
                levels[key] = levels.get(key, 0.0) + level * intensity
        for au, intensity in self.speech.action_units(time_s).items():
            levels[au, "both", 1.0] = levels.get((au, "both", 1.0), 0.0) + intensity
        return levels

    def ground_truth(self, fps: float) -> dict[str, Any]:
        """What a perfect observer would report, and all draws, as JSON-able data.

        Turns and changes of the light are named where there are some.
        """
        head: dict[str, Any] = {"sway": asdict(self.sway), "turn": asdict(self.turn)}
        truth: dict[str, Any] = {
            "duration_s": self.duration_s,
            "fps": fps,
            "events": [each.truth(fps) for each in self.expressions],
            "blinks": [asdict(each) for each in self.blinks],
            "speech": [{"start_s": start, "end_s": end} for start, end in self.speech.intervals()],
            "gazes": [asdict(each) for each in self.gazes],
            "head": head,
            "light": asdict(self.light),
            "noise": self.noise,
            "seed": self.seed,
        }
        if self.turns:
            head["turns"] = [{**asdict(each), "end_s": round(each.end_s, 4)} for each in self.turns]
        if self.light_changes:
            truth["light_changes"] = [asdict(each) for each in self.light_changes]
        return truth
