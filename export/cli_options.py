"""The options that several commands of `glimpse-export` share."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from server.contract import FlowMethod
from server.errors import OptionError

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelVersionPolicy

    from export.networks.keras_weights import KerasOptions
    from export.synthesis.sources import Source

Arch = Annotated[str, typer.Argument(metavar="ARCH", help="Network, such as ststnet.")]
Repository = Annotated[Path, typer.Option(help="Model repository.")]
Name = Annotated[str | None, typer.Option(help="Name of the published model; that of the network unless given.")]
Version = Annotated[int, typer.Option("--model-version", min=1, help="Version to publish.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the version if it exists.")]
Serve = Annotated[
    str | None,
    typer.Option(
        metavar="POLICY",
        help="Versions to serve from then on: latest, latest:2, all, or 1,3. Else the rule stays; a new model: latest.",
    ),
]
ShipCheckpoint = Annotated[
    bool,
    typer.Option("--ship-checkpoint/--no-ship-checkpoint", help="Keep weights.pth beside the graph, or only its hash."),
]
FlattenOrder = Annotated[
    Literal["channels_first", "channels_last"] | None,
    typer.Option("--flatten", help="Of Keras weights alone: where Flatten put the channels."),
]
Scaling = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MEAN,PEAK",
        help="Of Keras weights: what was taken off grey levels, and what they were divided by; once for each input.",
    ),
]
FlowChoice = Annotated[FlowMethod | None, typer.Option("--flow", help="Flow estimator that the gateway shall use.")]
TritonAddress = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="A running Triton instead of a local one.")
]
Backend = Annotated[
    Literal["torch", "local", "triton"] | None,
    typer.Option("--backend", help="Where inference runs: local unless given, torch for loso."),
]
EightBits = Annotated[
    bool | None,
    typer.Option(
        "--eight-bits/--float32",
        help="Publish weights rounded to 8 bits, in a quarter of the space; large networks are unless told otherwise.",
    ),
]
Protocol = Annotated[
    Literal["zero-shot", "loso"],
    typer.Option("--protocol", help="A model as it is, or a network trained without each subject in turn."),
]
Device = Annotated[
    Literal["cpu", "cuda"],
    typer.Option("--device", help="Where training computes. On cuda, runs may differ in the last bits."),
]
Plan = Annotated[
    Literal["scratch", "fine-tune"] | None,
    typer.Option("--plan", help="Settings of the training: fine-tune from given weights, else scratch."),
]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same result.")]
Processes = Annotated[int, typer.Option(min=1, help="Processes that synthesise; the result does not depend on it.")]

Sources = Annotated[
    str | None,
    typer.Option(
        help="MiE-X sources of action units: expert,early_macro,real. Else: all in clips, our own table in flow."
    ),
]

PROGRAM = "glimpse-export"
REPOSITORY = Path("model_repository")
ASSETS = Path("server/faces/assets")
PROCESSES = min(2, os.cpu_count() or 1)


def parse_keras(
    flatten: Literal["channels_first", "channels_last"] | None, scaling: list[str] | None
) -> KerasOptions | None:
    """`--flatten` and `--scaling`; None where neither was given. Raises `OptionError` for what is no scaling."""
    from export.networks.keras_weights import KerasOptions

    pairs = []
    for text in scaling or ():
        try:
            mean, peak = (float(part) for part in text.split(","))
        except ValueError:
            message = f"--scaling is a mean and a peak with a comma between, not {text!r}"
            raise OptionError(message, option="scaling") from None
        if not (math.isfinite(mean) and 0 < peak < math.inf):
            raise OptionError(f"--scaling needs a finite mean and a peak above 0, not {text!r}", option="scaling")
        pairs.append((mean, peak))
    return KerasOptions(flatten, tuple(pairs)) if flatten or pairs else None


def parse_serve(policy: str | None) -> ModelVersionPolicy | None:
    """`--serve`; None where it was not given. Raises `OptionError` for what is no policy."""
    from export.version_policy import parse_policy

    return None if policy is None else parse_policy(policy)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds such as 0,1,2. Raises `OptionError` for anything but whole numbers, each once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise OptionError(f"--seeds are whole numbers with commas between them, not {text!r}", option="seeds")
    seeds = tuple(int(part) for part in parts)
    if len(set(seeds)) < len(seeds):
        raise OptionError("--seeds must be given once each", option="seeds")
    return seeds


def parse_sources(sources: str | None) -> tuple[Source, ...]:
    """`--sources`; empty where it was not given. Raises `OptionError` for a name that is no source."""
    from export.synthesis.sources import SOURCES, check_sources

    if sources is None:
        return ()
    names = [part.strip() for part in sources.split(",")]
    chosen = tuple(source for source in SOURCES if source in names)
    check_sources(chosen if len(chosen) == len(names) else names)  # type: ignore[arg-type]
    return chosen
