"""Spotting on simulated regional motion: `python -m bench.spotting`.

Pulses of sin^2 rise and cos^2 fall on three seconds of noise; how many are found, with which bias and spread of onset,
apex and offset in milliseconds, and how many are taken for macro-expressions although they last less than 0.47 s.
"""

from __future__ import annotations

import numpy as np

from server.spotting.intervals import spot
from server.spotting.signal import REGIONS
from server.testing import still_head

PULSES = 500
NOISE_IOD = 0.0008
GROUPS = ("brow", "mouth_corner")


def pulse(times: np.ndarray, onset: float, rise: float, fall: float) -> np.ndarray:
    """Level 0..1 at `times`."""
    up = np.clip((times - onset) / rise, 0, 1)
    down = np.clip((times - onset - rise) / fall, 0, 1)
    return np.sin(np.pi / 2 * up) ** 2 * np.cos(np.pi / 2 * down) ** 2


def main() -> None:
    """Print one line for each frame rate."""
    print(f"{'fps':>5}{'found':>8}{'onset ms':>16}{'apex ms':>16}{'offset ms':>16}{'macro':>8}")
    for fps in (25, 30, 60, 100, 200):
        rng = np.random.default_rng(7)
        times = np.arange(round(3 * fps)) / fps
        errors, macro = [], 0
        for _ in range(PULSES):
            onset, rise, fall = rng.uniform(0.6, 1.6), rng.uniform(0.09, 0.22), rng.uniform(0.09, 0.24)
            regions = [i for i, name in enumerate(REGIONS) if name.startswith(str(rng.choice(GROUPS)))]
            displacement = NOISE_IOD * rng.standard_normal((len(times), len(REGIONS), 2))
            displacement[:, regions, 1] += rng.uniform(0.025, 0.06) * pulse(times, onset, rise, fall)[:, None]
            events = spot(still_head(times, displacement))
            if len(events) == 1:
                (event,) = events
                true = onset, onset + rise, onset + rise + fall
                errors.append(np.subtract((event.onset_s, event.apex_s, event.offset_s), true))
                macro += event.kind == "macro"
        cells = [f"{1e3 * np.mean(e):+8.1f} sd{1e3 * np.std(e):5.1f}" for e in np.transpose(errors)]
        print(f"{fps:5d}{len(errors):5d}/{PULSES}" + "".join(cells) + f"{macro:8d}")


if __name__ == "__main__":
    main()
