"""`glimpse-export versions`, `policy`, `rollback` and `drop-checkpoint`: what of a model is served."""

from __future__ import annotations

from typing import Annotated

import typer

from export.cli_options import REPOSITORY, Repository
from server.errors import OptionError

_HASH_SHOWN = 12

Published = Annotated[str, typer.Argument(metavar="NAME", help="Published model.")]


def versions(name: Published, repository: Repository = REPOSITORY) -> None:
    """List the versions of a model: which are served, when and from what they were made."""
    from export.versions import list_versions

    for each in list_versions(repository, name):
        state = "answers" if each.answers else "served" if each.served else "kept"
        members = ", ".join(f"{member.name} {member.version} x {member.weight:g}" for member in each.members)
        weights = f"weights {each.weights_sha256[:_HASH_SHOWN]}{'' if each.shipped else ' (not here)'}"
        facts = (
            f"version {each.version}",
            f"{state:<7}",
            each.written.strftime("%Y-%m-%d %H:%M UTC"),
            f"members {members}" if members else weights,
            each.network,
            each.command,
            each.training,
        )
        print("  ".join(facts))


def policy(
    name: Published,
    *,
    latest: Annotated[int | None, typer.Option(min=1, help="Serve the newest versions, so many of them.")] = None,
    specific: Annotated[str | None, typer.Option(help="Serve these versions, such as 1,2.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Serve all versions.")] = False,
    repository: Repository = REPOSITORY,
) -> None:
    """Choose which versions are served; the newest of them answers where a request names none."""
    from export.version_policy import all_policy, latest_policy, parse_versions, specific_policy
    from export.versions import set_policy

    if (latest is not None) + (specific is not None) + every != 1:
        raise OptionError("choose one of --latest N, --specific 1,2 and --all", option="policy")
    if latest is not None:
        chosen = latest_policy(latest)
    else:
        chosen = specific_policy(parse_versions(specific)) if specific is not None else all_policy()
    served = set_policy(repository, name, chosen)
    print(f"{name}: serves {', '.join(served)}; version {served[-1]} answers")


def rollback(
    name: Published,
    *,
    to: Annotated[int | None, typer.Option(min=1, help="Version; that before the answering one unless given.")] = None,
    repository: Repository = REPOSITORY,
) -> None:
    """Serve an older version alone. Nothing is deleted: `policy NAME --latest 1` goes forward again."""
    from export.versions import roll_back

    answering = roll_back(repository, name, None if to is None else str(to))
    print(f"{name}: version {answering} answers")


def drop_checkpoint(
    name: Published,
    *,
    model_version: Annotated[int | None, typer.Option(min=1, help="That which answers unless given.")] = None,
    repository: Repository = REPOSITORY,
) -> None:
    """Remove a version's weights.pth, for its size; the card keeps its hash and says that it is not shipped."""
    from export.versions import drop_checkpoint as drop

    print(drop(repository, name, None if model_version is None else str(model_version)))
