"""`glimpse-export zoo`: every registered network that the repository lacks, trained on synthetic data and published."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from export.cli_options import PROCESSES, PROGRAM, REPOSITORY, Processes, Repository
from server.errors import OptionError


def zoo(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="[ARCH]...", help="Networks; all unless given.")] = None,
    *,
    repository: Repository = REPOSITORY,
    output: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    processes: Processes = PROCESSES,
) -> None:
    """Train and publish what the repository lacks, as `train ARCH --data synthetic --publish` does one by one.

    What is published is left alone, so a call that was interrupted goes on with the network that it was at.
    """
    from export.networks.registry import NETWORKS, find_network
    from export.output import message
    from export.repository import published_names
    from export.training import check_trainable

    there = published_names(repository)
    lacking = [each for each in map(find_network, names or NETWORKS) if each.name not in there]
    # Those of one recipe follow each other, since they share what is rendered.
    lacking.sort(key=lambda each: (each.recipe, each.samples, each.name))
    for number, network in enumerate(lacking, start=1):
        message(f"{network.name}: {number} of {len(lacking)}")
        try:
            check_trainable(network.name)
        except OptionError as error:
            message(f"{network.name} is left out: {error}")
            continue
        arguments = ["train", network.name, "--data", "synthetic", "--seed", "0", "--publish"]
        recorded = shlex.join([PROGRAM, *arguments])
        places = ["--repository", str(repository), "--output", str(output / f"{network.name}-seed0")]
        ctx.find_root().command.main(
            args=[*arguments, *places, "--processes", str(processes)],
            prog_name=PROGRAM,
            obj=recorded,
            standalone_mode=False,
        )
