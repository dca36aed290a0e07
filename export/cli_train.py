"""`glimpse-export train`: one network, on synthetic data or on folders or on both, once for each seed."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.cli_options import (
    PROCESSES,
    REPOSITORY,
    Arch,
    Device,
    EightBits,
    FlowChoice,
    Name,
    Overwrite,
    Plan,
    Processes,
    Repository,
    Serve,
    ShipCheckpoint,
    Sources,
    Version,
    parse_seeds,
    parse_serve,
    parse_sources,
)
from server.contract import FlowMethod
from server.errors import OptionError

if TYPE_CHECKING:
    from export.checkpoint import Checkpoint
    from export.networks.network import Extras, Network
    from export.synthesis.events import EventSamples
    from export.synthesis.sources import Source
    from export.training_data import TrainingData

SYNTHETIC = "synthetic"
RESULT_FILE = "result.json"


@dataclass(frozen=True, slots=True)
class _Sources:
    """What `--data`, `--mix`, `--samples` and `--sources` said."""

    names: tuple[str, ...]
    shares: tuple[float, ...] | None
    samples: int | None
    expressions: tuple[Source, ...]
    processes: int

    def read(self, seed: int, network: Network) -> TrainingData:
        """The data of one seed: what is synthesised and who is held out depend on it."""
        from export.output import counting
        from export.training_data import folder_data, mixed_data, synthetic_data

        parts: list[tuple[str, TrainingData]] = []
        # Before anything is synthesised, which takes longer than to find that a folder is not there.
        folders = {source: folder_data(Path(source), seed) for source in self.names if source != SYNTHETIC}
        for source in self.names:
            if source == SYNTHETIC:
                with counting("synthesising") as progress:
                    data = synthetic_data(
                        self.samples or network.samples,
                        seed,
                        recipe=network.recipe,
                        sources=self.expressions,
                        calibration=network.calibrated,
                        processes=self.processes,
                        on_progress=progress,
                    )
            else:
                data = folders[source]
            name = SYNTHETIC if source == SYNTHETIC else Path(source).name
            taken = [known for known, _ in parts]
            parts.append((f"{name}-{len(parts) + 1}" if name in taken else name, data))
        return mixed_data(parts, self.shares)

    def render(self, seed: int, network: Network, flow: FlowMethod | None) -> EventSamples:
        """Rendered events of one seed, for a network that takes the tensors of a recipe as they are."""
        from export.build import FLOW_OF_SOURCE

        count = self.samples or network.samples
        chosen = flow or FLOW_OF_SOURCE["trained"]
        return _rendered(network.recipe, count, seed, flow=chosen, extras=network.extras, processes=self.processes)


@lru_cache(maxsize=1)
def _rendered(
    recipe: str, count: int, seed: int, *, flow: FlowMethod, extras: Extras | None, processes: int
) -> EventSamples:
    """The last samples are kept: `zoo` trains several networks on them, one after the other."""
    from export.output import counting
    from export.synthesis.events import render_events

    with counting("rendering") as progress:
        return render_events(recipe, count, seed, flow=flow, extras=extras, processes=processes, on_progress=progress)


def train(
    ctx: typer.Context,
    arch: Arch,
    *,
    data: Annotated[
        list[str], typer.Option(help="'synthetic', or a folder with an index.csv. Given several times: all of them.")
    ],
    mix: Annotated[
        str | None, typer.Option(help="Shares of the sources in an epoch, such as 3,1; as many as there are else.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same result; 0 unless given.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Several seeds, such as 0,1,2: a run of its own for each.")] = None,
    plan: Plan = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="6 with synthetic data, 60 for folders, 14 to fine-tune.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Synthetic samples: as many as the network asks for unless given.")
    ] = None,
    sources: Sources = None,
    weights: Annotated[Path | None, typer.Option(help="Weights to start from instead of random ones.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the run: runs/ARCH-seedN unless given; with several seeds, of their folders."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder where there is one.")
    ] = False,
    device: Device = "cpu",
    publish: Annotated[bool, typer.Option("--publish/--no-publish", help="Publish the result as well.")] = False,
    name: Name = None,
    repository: Repository = REPOSITORY,
    flow: FlowChoice = None,
    eight_bits: EightBits = None,
    model_version: Version = 1,
    overwrite: Overwrite = False,
    serve: Serve = None,
    ship_checkpoint: ShipCheckpoint = True,
    processes: Processes = PROCESSES,
) -> None:
    """Train a network, on synthetic data without any real sample unless a folder is given."""
    from export.build import publish_checkpoint
    from export.checkpoint import load_checkpoint
    from export.data.flow_images import check_takes_images
    from export.event_training import check_events_alone
    from export.event_training import train_on_events as train_network_on_events
    from export.networks.registry import find_network
    from export.output import message, show_epoch
    from export.repository import check_free
    from export.training import check_trainable
    from export.training import train as train_network
    from export.training_plan import check_device, plan_for

    network = find_network(arch)
    check_trainable(arch)
    check_device(device)
    chosen = _seeds(seed, seeds)
    if publish and len(chosen) > 1:
        raise OptionError("--publish needs one seed: publish one of several runs with `model`", option="publish")
    policy = parse_serve(serve)
    if publish:
        check_free(repository, name or arch, version=model_version, overwrite=overwrite)
    read = _sources(data, mix, samples, parse_sources(sources), processes)
    on_events = network.trained.preparation == "as_is"
    if on_events:
        given = {"mix": mix, "sources": sources, "weights": weights, "plan": plan, "resume": resume or None}
        check_events_alone(arch, data, given)
    elif set(data) != {SYNTHETIC}:
        check_takes_images(arch, network.recipe)
    start = load_checkpoint(weights, arch) if weights else None
    tuned = plan == "fine-tune" if plan else start is not None
    if tuned and not start:
        raise OptionError("--plan fine-tune needs --weights to start from", option="plan")
    for each in chosen:
        if len(chosen) > 1:
            message(f"seed {each}")
        folder = _folder(output, arch, each, several=len(chosen) > 1)
        settings = plan_for(
            synthetic=SYNTHETIC in read.names, seed=each, epochs=epochs, tuned=tuned, changes=network.plan
        )
        if on_events:
            checkpoint = train_network_on_events(
                arch,
                read.render(each, network, flow),
                settings,
                command=ctx.obj,
                on_epoch=show_epoch,
                device=device,
            )
        else:
            checkpoint = train_network(
                arch,
                read.read(each, network),
                settings,
                command=ctx.obj,
                start=start,
                on_epoch=show_epoch,
                device=device,
                folder=folder,
                resume=resume,
            )
        print(_write(checkpoint, folder))
        if publish:
            place = publish_checkpoint(
                checkpoint,
                repository,
                name=name or arch,
                command=ctx.obj,
                flow=flow,
                eight_bits=eight_bits,
                version=model_version,
                overwrite=overwrite,
                policy=policy,
                shipped=ship_checkpoint,
            )
            print(place)


def _write(checkpoint: Checkpoint, folder: Path) -> Path:
    """The weights, and beside them what there is to say of them and the networks that were trained along."""
    from export.checkpoint import checkpoint_bytes
    from export.companions import companion_bytes
    from export.repository import replace_file

    result = {"network": checkpoint.network, "weights_sha256": checkpoint.sha256, **checkpoint.training}
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "weights.pth"
    replace_file(weights, checkpoint_bytes(checkpoint))
    for name in checkpoint.companions:
        replace_file(folder / f"{name}.pth", companion_bytes(checkpoint, name))
    replace_file(folder / RESULT_FILE, (json.dumps(result, indent=2) + "\n").encode())
    return weights


def _folder(output: Path | None, arch: str, seed: int, *, several: bool) -> Path:
    if output is None:
        return Path("runs") / f"{arch}-seed{seed}"
    return output / f"seed{seed}" if several else output


def _seeds(seed: int | None, seeds: str | None) -> tuple[int, ...]:
    if seeds is None:
        return (seed or 0,)
    if seed is not None:
        raise OptionError("--seed and --seeds exclude each other", option="seeds")
    return parse_seeds(seeds)


def _sources(
    data: list[str], mix: str | None, samples: int | None, expressions: tuple[Source, ...], processes: int
) -> _Sources:
    if samples is not None and SYNTHETIC not in data:
        raise OptionError(f"--samples needs --data {SYNTHETIC}", option="samples")
    if expressions and SYNTHETIC not in data:
        raise OptionError(f"--sources needs --data {SYNTHETIC}", option="sources")
    if len(set(data)) < len(data):
        raise OptionError("--data names a source twice; to draw it more often, use --mix", option="data")
    if mix is None:
        return _Sources(tuple(data), None, samples, expressions, processes)
    try:
        shares = tuple(float(part) for part in mix.split(","))
    except ValueError:
        raise OptionError(f"--mix is numbers with commas between them, not {mix!r}", option="mix") from None
    if len(shares) != len(data) or not all(0 < share < math.inf for share in shares):
        raise OptionError(f"--mix needs {len(data)} numbers above 0, one for each --data", option="mix")
    return _Sources(tuple(data), shares, samples, expressions, processes)
