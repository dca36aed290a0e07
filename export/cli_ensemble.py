"""`glimpse-export ensemble`: several published models answer as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import typer

from export.cli_options import REPOSITORY, Overwrite, Repository, Version
from server.errors import OptionError


def ensemble(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the ensemble.")],
    members: Annotated[
        list[str], typer.Argument(metavar="MEMBER[=WEIGHT]...", help="Published models; a weight is 1 unless given.")
    ],
    *,
    abstain_below: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Confidence below which the ensemble's answer is withheld.")
    ] = 0.0,
    repository: Repository = REPOSITORY,
    model_version: Version = 1,
    overwrite: Overwrite = False,
) -> None:
    """Publish the weighted mean of published models as one more model."""
    from export.ensemble import publish_ensemble

    place = publish_ensemble(
        repository,
        name,
        parse_members(members),
        command=ctx.obj,
        abstain_below=abstain_below,
        version=model_version,
        overwrite=overwrite,
    )
    print(place)


def parse_members(given: Sequence[str]) -> dict[str, float]:
    """Weights by name from MEMBER[=WEIGHT]. Raises `OptionError` for what is no weight, and for a name given twice."""
    weights: dict[str, float] = {}
    for text in given:
        name, equals, number = text.partition("=")
        try:
            weight = float(number) if equals else 1.0
        except ValueError:
            weight = math.nan
        if not (math.isfinite(weight) and weight > 0):
            raise OptionError(f"the weight of {name} must be a number above 0, not {number!r}", option="members")
        if name in weights:
            raise OptionError(f"{name} is named twice", option="members")
        weights[name] = weight
    return weights
