"""`glimpse-export evaluate` and `score`: the protocols by which a model is measured, and the score of a log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli_files import ResultFiles
from export.cli_loso import LeaveOneSubjectOut
from export.cli_options import (
    PROCESSES,
    REPOSITORY,
    Backend,
    Protocol,
    Repository,
    TritonAddress,
    parse_seeds,
)
from export.cli_rendered import OnRendered
from export.cli_train import SYNTHETIC
from export.cli_zero_shot import ZeroShot
from server.errors import OptionError

SEEDS = "0,1,2"


def evaluate(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(metavar="NAME|ARCH", help="Published model; network for loso and for per-subject weights."),
    ],
    *,
    data: Annotated[Path, typer.Option(help="Folder with an index.csv, or 'synthetic': rendered people.")],
    protocol: Protocol = "zero-shot",
    weights_per_subject: Annotated[Path | None, typer.Option(help="Folder of <subject>.pth.")] = None,
    backend: Backend = None,
    triton_address: TritonAddress = None,
    repository: Repository = REPOSITORY,
    seeds: Annotated[str | None, typer.Option(help="loso: seeds with commas between them, 0,1,2 unless given.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="loso: 60, or 14 from given weights.")] = None,
    weights: Annotated[Path | None, typer.Option(help="loso: weights to start from, not random ones.")] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="ARCH", help="loso: network to train from scratch on the same folds."),
    ] = None,
    baseline_epochs: Annotated[int | None, typer.Option(min=1, help="loso: epochs of the baseline, 60.")] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Folds (1) or rendered people at a time, a core each; changes no result."),
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="OUT", help="Write the measures as JSON.")] = None,
    log: Annotated[Path | None, typer.Option(metavar="CSV", help="Write the answer to every sample.")] = None,
    megc_log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the log of the MEGC2019 challenge; one per seed.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw the confusion matrices.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Add the result to the model's card.")] = False,
) -> None:
    """Score a model on real samples: UF1 and UAR of MEGC2019, with intervals over subjects."""
    files = ResultFiles(json, log, megc_log, plot)
    if protocol == "loso":
        if backend not in (None, "torch"):
            raise OptionError(f"--protocol loso trains in torch; it has no --backend {backend}", option="backend")
        if triton_address or weights_per_subject or record:
            raise OptionError(
                "--protocol loso trains networks of its own: neither --triton-address, --weights-per-subject nor "
                "--record applies",
                option="protocol",
            )
        LeaveOneSubjectOut(
            network=model,
            folder=data,
            seeds=parse_seeds(SEEDS if seeds is None else seeds),
            epochs=epochs,
            weights=weights,
            baseline=baseline,
            baseline_epochs=baseline_epochs,
            processes=processes or 1,
        ).run(files, ctx.obj)
        return
    if any(option is not None for option in (seeds, epochs, weights, baseline, baseline_epochs)):
        raise OptionError(
            "--seeds, --epochs, --weights, --baseline and --baseline-epochs need --protocol loso", option="protocol"
        )
    if str(data) == SYNTHETIC:
        if weights_per_subject:
            raise OptionError("--weights-per-subject needs the subjects of a folder", option="data")
        OnRendered(model, backend, triton_address, repository, record, processes or PROCESSES).run(files, ctx.obj)
        return
    ZeroShot(
        model=model,
        folder=data,
        weights_per_subject=weights_per_subject,
        backend=backend,
        triton_address=triton_address,
        repository=repository,
        record=record,
    ).run(files, ctx.obj)


def score(log: Annotated[Path, typer.Argument(metavar="LOG", help="A log of the MEGC2019 challenge.")]) -> None:
    """Recompute UF1 and UAR from a log: lines "database subject", each followed by "clip truth prediction"."""
    from export.bootstrap import score_intervals
    from export.evaluation import score_predictions
    from export.megc_log import read_megc_log
    from export.score_tables import score_table

    answers = read_megc_log(log)
    scores = score_predictions(answers.truth, answers.predictions, answers.datasets)
    intervals = score_intervals(answers.truth, [answers.predictions], answers.datasets, answers.subjects)
    print(score_table(scores, intervals))
