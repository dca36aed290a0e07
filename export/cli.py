"""`glimpse-export`: build, import, train, evaluate and verify the models that the service loads."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from export.cli_accelerate import accelerate
from export.cli_adapt import adapt
from export.cli_capacity import capacity
from export.cli_ensemble import ensemble
from export.cli_evaluate import evaluate, score
from export.cli_generator import generator
from export.cli_options import (
    ASSETS,
    PROGRAM,
    REPOSITORY,
    Arch,
    EightBits,
    FlattenOrder,
    FlowChoice,
    Name,
    Overwrite,
    Repository,
    Scaling,
    Serve,
    ShipCheckpoint,
    TritonAddress,
    Version,
    parse_keras,
    parse_serve,
)
from export.cli_prepare import prepare
from export.cli_synthesize import synthesize
from export.cli_train import train
from export.cli_versions import drop_checkpoint, policy, rollback, versions
from export.cli_zoo import zoo
from server.errors import GlimpseError, OptionError

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(prepare)


@app.command()
def faces(
    output: Annotated[Path, typer.Option(help="Folder for the networks and their notice.")] = ASSETS,
    wheel: Annotated[Path | None, typer.Option(help="Wheel that was downloaded before.")] = None,
) -> None:
    """Build the face detector and the landmark network."""
    from export.faces import build_faces
    from export.output import message

    for path in build_faces(output, wheel, message):
        print(path)


@app.command("import")
def import_(
    ctx: typer.Context,
    arch: Arch,
    checkpoint: Annotated[Path, typer.Argument(help="Weights of others: .pth, .safetensors, or .h5 of Keras.")],
    *,
    name: Annotated[str, typer.Option(help="Name of the published model.")],
    flatten: FlattenOrder = None,
    scaling: Scaling = None,
    repository: Repository = REPOSITORY,
    flow: FlowChoice = None,
    model_version: Version = 1,
    overwrite: Overwrite = False,
    serve: Serve = None,
    ship_checkpoint: ShipCheckpoint = True,
) -> None:
    """Publish somebody else's weights."""
    from export.build import publish_checkpoint
    from export.checkpoint import load_checkpoint
    from export.output import message

    loaded = load_checkpoint(checkpoint, arch, parse_keras(flatten, scaling))
    if loaded.source != "imported":
        raise OptionError(f"{checkpoint} was trained here; publish it with `{PROGRAM} model`", option="checkpoint")
    for note in loaded.training.get("notes", ()):
        message(note)
    place = publish_checkpoint(
        loaded,
        repository,
        name=name,
        command=ctx.obj,
        flow=flow,
        version=model_version,
        overwrite=overwrite,
        policy=parse_serve(serve),
        shipped=ship_checkpoint,
    )
    print(place)


@app.command()
def model(
    ctx: typer.Context,
    arch: Arch,
    *,
    weights: Annotated[Path, typer.Option(help="Weights that `train` wrote.")],
    name: Name = None,
    repository: Repository = REPOSITORY,
    flow: FlowChoice = None,
    eight_bits: EightBits = None,
    model_version: Version = 1,
    overwrite: Overwrite = False,
    serve: Serve = None,
    ship_checkpoint: ShipCheckpoint = True,
) -> None:
    """Publish weights that were trained here."""
    from export.build import publish_checkpoint
    from export.checkpoint import load_checkpoint

    loaded = load_checkpoint(weights, arch)
    if loaded.source != "trained":
        raise OptionError(f"{weights} was not trained here; publish it with `{PROGRAM} import`", option="weights")
    place = publish_checkpoint(
        loaded,
        repository,
        name=name or arch,
        command=loaded.training.get("command", ctx.obj),
        flow=flow,
        eight_bits=eight_bits,
        version=model_version,
        overwrite=overwrite,
        policy=parse_serve(serve),
        shipped=ship_checkpoint,
    )
    print(place)


app.command()(train)
app.command()(zoo)
app.command()(evaluate)
app.command()(score)
app.command()(adapt)
app.command()(accelerate)
app.command()(generator)
app.command()(ensemble)


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="Model; all of the repository unless given.")] = None,
    repository: Repository = REPOSITORY,
    triton: Annotated[bool, typer.Option("--triton", help="Ask a real Triton as well, started for it.")] = False,
    triton_address: TritonAddress = None,
) -> None:
    """Check files against their hashes, contract against graph, and one backend against the other."""
    from export.output import message
    from export.repository import published_names
    from export.verify import verify as verify_model

    names = [name] if name else published_names(repository)
    if not names:
        raise OptionError(f"{repository} holds no model", option="repository")
    failed = False
    for each in names:
        for check in verify_model(repository, each, triton=triton, triton_address=triton_address, report=message):
            print(f"{each}: {check.name}: {'ok' if check.passed else 'FAILED'}: {check.detail}")
            failed |= not check.passed
    if failed:
        raise typer.Exit(1)


app.command()(versions)
app.command()(policy)
app.command()(rollback)
app.command("drop-checkpoint")(drop_checkpoint)
app.command()(synthesize)
app.command()(capacity)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exits with 0, with 1 when it failed, with 2 when it was called wrongly."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(args=given, prog_name=PROGRAM, obj=shlex.join([PROGRAM, *given]))
    except GlimpseError as error:
        from export.output import message

        message(f"error: {error}")
        raise SystemExit(1) from None
