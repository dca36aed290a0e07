"""`glimpse-export adapt`: a model for the place where it will be used, from samples that nobody has labelled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from export.cli_options import (
    REPOSITORY,
    FlowChoice,
    Overwrite,
    Repository,
    Serve,
    ShipCheckpoint,
    Version,
    parse_serve,
)
from server.contract import FlowMethod
from server.errors import OptionError

if TYPE_CHECKING:
    from export.checkpoint import Checkpoint

Method = Annotated[
    Literal["priors", "tgsr"] | None,
    typer.Option("--method", help="priors for a published model, tgsr for tgsr_flow; follows from MODEL."),
]


def adapt(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="NAME|tgsr_flow", help="Published model, or the linear network.")],
    *,
    data: Annotated[Path, typer.Option(help="Unlabelled samples: a folder with an index.csv, of which path is read.")],
    name: Annotated[str, typer.Option(help="Name of the adapted model.")],
    method: Method = None,
    source: Annotated[Path | None, typer.Option(help="Labelled samples of another place, to train on.")] = None,
    repository: Repository = REPOSITORY,
    flow: FlowChoice = None,
    model_version: Version = 1,
    overwrite: Overwrite = False,
    serve: Serve = None,
    ship_checkpoint: ShipCheckpoint = True,
) -> None:
    """Adapt to a camera: re-estimate how often the classes occur there, or fit a linear model to its mean."""
    from export.adaptation.adapt import TGSR_NETWORK
    from export.build import publish_checkpoint
    from export.repository import check_free

    expected = "tgsr" if model == TGSR_NETWORK else "priors"
    if method not in (None, expected):
        raise OptionError(f"{model} is adapted by --method {expected}, not by {method}", option="method")
    if expected == "priors" and flow is not None:
        raise OptionError(f"the flow of {model} stays that of its contract; --flow needs {TGSR_NETWORK}", option="flow")
    if expected == "tgsr" and source is None:
        raise OptionError(f"{TGSR_NETWORK} needs labelled samples to learn from: --source", option="source")
    if name == model:
        raise OptionError("the adapted model needs a name of its own", option="name")
    policy = parse_serve(serve)
    check_free(repository, name, version=model_version, overwrite=overwrite)
    if expected == "tgsr" and source is not None:
        checkpoint = _fitted(source, data, ctx.obj)
    else:
        checkpoint, flow = _reweighted(model, repository, data, source, ctx.obj)
    place = publish_checkpoint(
        checkpoint,
        repository,
        name=name,
        command=ctx.obj,
        flow=flow,
        version=model_version,
        overwrite=overwrite,
        policy=policy,
        shipped=ship_checkpoint,
    )
    print(place)


def _reweighted(
    model: str, repository: Path, data: Path, source: Path | None, command: str
) -> tuple[Checkpoint, FlowMethod]:
    """The model with the class shares of `data`, and the flow that it is fed."""
    from export.adaptation.adapt import adapt_priors
    from export.data.flow_images import read_flow_images, read_unlabelled_images
    from export.labels import LABELS
    from export.output import message
    from export.repository import read_published
    from export.scoring import published_checkpoint

    published = read_published(repository, model)
    base = published_checkpoint(repository, model)
    labelled = read_flow_images(source) if source else None
    checkpoint, estimate = adapt_priors(base, model, read_unlabelled_images(data), labelled, command=command)
    for label, before, after in zip(LABELS, estimate.trained, estimate.shares, strict=True):
        message(f"share of {label}: {before:.3f} in training, {after:.3f} estimated")
    message(f"p = {estimate.p_value:.2g}: shares as far off by chance; nobody's labels have confirmed them")
    return checkpoint, published.contract.flow


def _fitted(source: Path, data: Path, command: str) -> Checkpoint:
    """The linear network, trained on `source` for `data`."""
    from export.adaptation.adapt import adapt_tgsr
    from export.data.flow_images import read_flow_images, read_unlabelled_images
    from export.output import counting, message

    labelled, target = read_flow_images(source), read_unlabelled_images(data)
    with counting("fits") as progress:
        checkpoint = adapt_tgsr(labelled, target, name=source.name, command=command, on_progress=progress)
    chosen = checkpoint.training
    message(
        f"kappa {chosen['kappa']}, xi {chosen['xi']}: UF1 {chosen['validation']['uf1']:.4f} on left-out source "
        "subjects, by which they were chosen; the target has no labels to measure by"
    )
    if not chosen["xi"]:
        message("warning: xi 0 fared best on the source, so nothing was learnt from the unlabelled samples")
    return checkpoint
