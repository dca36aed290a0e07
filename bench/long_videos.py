"""Spotting in long videos: `python -m bench.long_videos`.

Renders 30 videos of two minutes, 25 at 30 and 5 at 60 frames a second: 20 with four to six micro- and macro-expressions
a minute, 10 without any; all with blinks, glances, spells of speech, head turns, changes of the light and sensor noise
(`export.synthesis.long_scenes`), encoded as a camera would and once more at crf 23. Three systems look at each: Glimpse
on the whole clip, Glimpse on a live stream of it, and MDMD (`bench.mdmd`), the published baseline without training.

An event counts where it overlaps a true one by half of both together, one to one. Micro and macro are scored as at MEGC
2020: what was told as one kind against what is of it. The videos of the default seed were looked at by nobody while
spotting was developed; that used 20266, which was reported on before, and the seeds 900 to 999, with
`--seed 901 --with-events 4 --without 3 --seconds 90 --fast-every 0`.

There is one public-domain portrait, so the thirty people are changes of it: unseen as they are, they are no strangers.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np

from bench.long_render import FAST_EVERY, SECONDS, WITH_EVENTS, WITHOUT, long_plans, render_long
from bench.long_scores import CAUSES, KINDS, TIMES, Watched, agreement, system_scores
from bench.long_spotters import Encoding, live, mdmd, mdmd_courses, offline
from bench.mdmd import CHALLENGE_P, CHOSEN_P
from export.output import write_json
from export.synthesis.identities import default_face

SEED = 20268
"""Development used the seeds 900 to 999 and, once it had been reported on, 20266; never this one."""
SYSTEMS = ("offline", "live", "mdmd")
MDMD_ROWS = {f"MDMD, p = {CHALLENGE_P:g}": CHALLENGE_P, f"MDMD, p = {CHOSEN_P:g}": CHOSEN_P}
_COUNTS = ("tp", "fp", "fn", "precision", "recall", "f1")
ROWS = {"offline": "Glimpse, whole clip", "live": "Glimpse, live"}


def watch(
    path: Path, systems: Sequence[str], encoding: Encoding, thresholds: Mapping[str, float]
) -> tuple[str, Watched]:
    """What each system finds in one video; MDMD at each of `thresholds`, by name."""
    cv2.setNumThreads(1)
    video = path.read_bytes()
    found: dict[str, list[dict[str, Any]]] = {}
    if "offline" in systems:
        found[ROWS["offline"]] = offline(video)
    if "live" in systems:
        found[ROWS["live"]] = live(video, encoding)
    if "mdmd" in systems:
        courses = mdmd_courses(video)
        found |= {name: mdmd(courses, p) for name, p in thresholds.items()}
    return path.name, Watched(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")), found)


def watch_all(
    paths: Sequence[Path],
    systems: Sequence[str],
    encoding: Encoding,
    thresholds: Mapping[str, float],
    processes: int,
) -> dict[str, Watched]:
    """Every video, with progress on stderr. Nothing is kept for a later run: results of other code are no results."""
    seen = {}
    look = partial(watch, systems=systems, encoding=encoding, thresholds=thresholds)
    for name, video in _each(look, paths, processes):
        seen[name] = video
        print(f"watched {len(seen)} of {len(paths)}", end="\r", file=sys.stderr, flush=True)
    return seen


def _each(look: partial[tuple[str, Watched]], paths: Sequence[Path], processes: int) -> Iterator[tuple[str, Watched]]:
    if processes == 1:
        yield from map(look, paths)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(look, paths)


def results(videos: Sequence[Watched]) -> dict[str, Any]:
    """All figures, by system."""
    systems = list(videos[0].found)
    both = all(ROWS[name] in systems for name in ("offline", "live"))
    return {
        "videos": len(videos),
        "minutes": round(sum(video.minutes for video in videos), 2),
        "without_expression": sum(video.quiet for video in videos),
        "events": {kind: sum(e["kind"] == kind for v in videos for e in v.truth["events"]) for kind in KINDS},
        "systems": {name: system_scores(videos, name) for name in systems},
        "live_against_clip": agreement(videos, ROWS["offline"], ROWS["live"]) if both else None,
    }


def show(found: Mapping[str, Any]) -> None:
    """Print the tables, in Markdown."""
    systems = found["systems"]
    print(
        f"{found['videos']} videos, {found['minutes']:g} minutes, {found['without_expression']} of them without an"
        f" expression; {found['events']['micro']} micro- and {found['events']['macro']} macro-expressions\n"
    )
    _table(
        (
            "",
            "found",
            "false",
            "missed",
            "precision",
            "recall",
            "F1",
            "F1 micro",
            "F1 macro",
            "false a minute, quiet videos",
        ),
        [
            (name, *(s["all"][c] for c in _COUNTS), *(s[k]["f1"] for k in KINDS), _false(s))
            for name, s in systems.items()
        ],
    )
    rates = list(next(iter(systems.values()))["by_fps"])
    _table(
        ("", *(f"recall of {k}" for k in KINDS), "named so", *(f"F1 at {r} fps" for r in rates), "F1 of videos"),
        [
            (name, *(s["recall_by_true_kind"][k]["recall"] for k in KINDS), _named(s),
             *(s["by_fps"][r]["f1"] for r in rates), _spread(s["f1_of_videos"]))
            for name, s in systems.items()
        ],
    )  # fmt: skip
    _table(
        ("false events in videos without an expression", *CAUSES, "most in one"),
        [
            (name, *(s["quiet"]["by_cause"][c] for c in CAUSES), s["quiet"]["most_in_a_video"])
            for name, s in systems.items()
            if s["quiet"]
        ],
    )
    _table(
        ("error, ms: median, median and 95 % of the absolute", *(name[:-2] for name in TIMES)),
        [
            (name, *(", ".join(f"{value:g}" for value in s["boundaries_ms"][t].values()) for t in TIMES))
            for name, s in systems.items()
            if s["boundaries_ms"]
        ],
    )
    if same := found["live_against_clip"]:
        near = same["within_2_frames"]
        print(
            f"live and whole clip: {same['both']} events in both of {same['either']} in either (share {same['share']});"
            f" within 2 frames: onset {near['onset_s']}, apex {near['apex_s']}, offset {near['offset_s']},"
            f" all three {near['all']}; the same kind {same['same_kind']}"
        )


def _false(scores: Mapping[str, Any]) -> float | None:
    return scores["quiet"] and scores["quiet"]["per_minute"]


def _named(scores: Mapping[str, Any]) -> str:
    kinds = scores["recall_by_true_kind"].values()
    return f"{sum(k['named_so'] for k in kinds)} of {sum(k['found'] for k in kinds)}"


def _spread(values: Mapping[str, float] | None) -> str:
    return f"{values['median']:g} ({values['least']:g} to {values['most']:g})" if values else "-"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for row in rows:
        print("| " + " | ".join("-" if cell is None else str(cell) for cell in row) + " |")
    print()


def scan(videos: Sequence[Watched]) -> None:
    """Print what MDMD scores at each threshold."""
    for name in videos[0].found:
        scores = system_scores(videos, name)
        print(name, *(f"{part} {scores[part]['f1']}" for part in ("all", *KINDS)), sep="\t")


def main() -> None:
    """Render, watch, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--with-events", type=int, default=WITH_EVENTS, help="videos with expressions")
    parser.add_argument("--without", type=int, default=WITHOUT, help="videos without an expression")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of each")
    parser.add_argument("--fast-every", type=int, default=FAST_EVERY, help="one of so many at 60 fps; 0 for none")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="which to run, with commas")
    parser.add_argument("--encoding", choices=get_args(Encoding), default="gray8", help="pictures of the live stream")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/long_videos"), help="folder of rendered videos")
    parser.add_argument("--render-only", action="store_true", help="render what is missing, and stop")
    parser.add_argument("--scan", action="store_true", help="MDMD alone, at thresholds from 0.01 to 0.99")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--events", type=Path, help="file for all true and found events, as JSON")
    options = parser.parse_args()
    systems = [part for part in options.systems.split(",") if part]
    if unknown := [name for name in systems if name not in SYSTEMS]:
        parser.error(f"systems are {', '.join(SYSTEMS)}; got {', '.join(unknown)}")
    if options.scan and not 900 <= options.seed <= 999:
        parser.error("a threshold is chosen on development videos, seeds 900 to 999, and on no others")
    plans = long_plans(
        options.seed,
        [default_face()],
        with_events=options.with_events,
        without=options.without,
        seconds=options.seconds,
        fast_every=options.fast_every,
    )
    paths = render_long(
        options.runs / str(options.seed), plans, processes=options.processes,
        on_progress=lambda done, total: print(f"rendered {done} of {total}", end="\r", file=sys.stderr, flush=True),
    )  # fmt: skip
    if options.render_only:
        return
    thresholds = {f"{p:.2f}": float(p) for p in np.arange(1, 100) / 100} if options.scan else MDMD_ROWS
    seen = watch_all(paths, ["mdmd"] if options.scan else systems, options.encoding, thresholds, options.processes)
    if options.scan:
        scan(list(seen.values()))
        return
    found = {"seed": options.seed, "encoding": options.encoding, **results(list(seen.values()))}
    show(found)
    if options.json:
        write_json(options.json, found)
    if options.events:
        write_json(options.events, {name: {"truth": v.truth, "found": v.found} for name, v in seen.items()})


if __name__ == "__main__":
    main()
