"""`glimpse-export capacity`: gateways, processors, memory and Tritons for a load, and what breaks first."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from server.errors import OptionError

_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")


def capacity(
    *,
    costs: Annotated[Path, typer.Option(help="What `python -m bench.costs --json` wrote on such a machine.")],
    clips: Annotated[float, typer.Option(help="Clips per second.")] = 0.0,
    clip_seconds: Annotated[float, typer.Option(help="Length of a clip.")] = 10.0,
    clip_fps: Annotated[float, typer.Option(help="Its frames per second.")] = 30.0,
    clip_size: Annotated[str, typer.Option(help="Its pictures.")] = "640x480",
    clip_events: Annotated[float, typer.Option(help="Movements in a clip, on the mean.")] = 1.0,
    streams: Annotated[int, typer.Option(help="Live streams at a time.")] = 0,
    stream_fps: Annotated[float, typer.Option(help="Their frames per second.")] = 30.0,
    stream_size: Annotated[str, typer.Option(help="Their pictures.")] = "640x480",
    stream_events: Annotated[float, typer.Option(help="Movements in a minute of a stream, on the mean.")] = 6.0,
    processors: Annotated[int, typer.Option(help="Processors of a gateway.")] = 2,
    utilisation: Annotated[float, typer.Option(help="Share of them that may be taken, on the mean.")] = 0.7,
    wait: Annotated[float, typer.Option(help="Seconds that a clip may wait for a worker, on the mean.")] = 2.0,
    variation: Annotated[
        float, typer.Option(help="Squared coefficient of variation of the time of a clip; 0 where all are alike.")
    ] = 1.0,
    spare: Annotated[int, typer.Option(help="Gateways, and Tritons, that may be away.")] = 1,
    model: Annotated[str, typer.Option(help="Model that answers.")] = "glimpse_flow",
    backend: Annotated[Literal["local", "triton"], typer.Option(help="Where inference runs.")] = "local",
    inference_ms: Annotated[
        float | None, typer.Option(help="Time of an inference on your Triton, in place of the measured one.")
    ] = None,
    as_values: Annotated[bool, typer.Option("--values", help="Print values for the chart instead.")] = False,
) -> None:
    """Reckon what a load needs, from costs that were measured."""
    from export.capacity import MIB, as_yaml, planned, values
    from export.capacity_costs import read_costs
    from export.capacity_load import Load, Terms

    known = read_costs(costs)
    load = Load(
        clips, clip_seconds, clip_fps, _size(clip_size, "clip-size"), clip_events, streams, stream_fps,
        _size(stream_size, "stream-size"), stream_events,
    )  # fmt: skip
    terms = Terms(
        processors, utilisation, wait, variation, spare, model, backend,
        None if inference_ms is None else inference_ms / 1e3,
    )  # fmt: skip
    plan = planned(load, known, terms)
    if as_values:
        print(as_yaml(values(plan, known, terms)), end="")
        return
    print(f"gateways    {plan.replicas}, of which {terms.spare} may be away; {plan.processors} processors in all")
    print(f"memory      {plan.memory_bytes / MIB:.0f} MiB each, without uploads; the limit is above that")
    if plan.tritons:
        print(f"Tritons     {plan.tritons}, of which {terms.spare} may be away")
    if load.clips_per_s:
        print(f"a clip      {plan.clip_s:.2f} s of a worker")
    if load.streams:
        print(f"a stream    {plan.stream_processors:.2f} processors; at most {plan.streams_each} in a gateway")
    print("\nWhat breaks first, with the spare ones away:\n")
    print("| bound | taken | there is | load may grow | then |\n|---|---|---|---|---|")
    for bound in plan.bounds:
        growth = "without end" if math.isinf(bound.growth) else f"{bound.growth:.1f} x"
        print(f"| {bound.name} | {bound.taken:.2f} | {bound.there:g} {bound.unit} | {growth} | {bound.then} |")


def _size(text: str, option: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(text)
    if not found:
        raise OptionError(f"{text!r} is no size such as 640x480", option=option)
    return int(found[1]), int(found[2])
