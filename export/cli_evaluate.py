"""`glimpse-export evaluate` and `score`: the protocols by which a model is measured, and the score of a log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from export.cli_options import REPOSITORY, Backend, Protocol, Repository, TritonAddress, parse_seeds
from server.errors import OptionError

if TYPE_CHECKING:
    from export.data.flow_images import FlowImages
    from export.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class _Files:
    """Where the results go; nothing is written where no path is given."""

    json: Path | None
    log: Path | None
    megc_log: Path | None

    def write(self, summary: dict[str, Any], data: FlowImages, runs: dict[str, Evaluation]) -> None:
        """`runs` by the suffix that tells their logs apart."""
        from export.megc_log import write_megc_log
        from export.output import write_json, write_log

        if self.json:
            write_json(self.json, summary)
        for suffix, evaluation in runs.items():
            if self.log:
                write_log(_suffixed(self.log, suffix), data, evaluation)
            if self.megc_log:
                write_megc_log(_suffixed(self.megc_log, suffix), data, evaluation.predictions)


def evaluate(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(metavar="NAME|ARCH", help="Published model; network for loso and for per-subject weights."),
    ],
    *,
    data: Annotated[Path, typer.Option(help="Folder with an index.csv.")],
    protocol: Protocol = "zero-shot",
    weights_per_subject: Annotated[Path | None, typer.Option(help="Folder of <subject>.pth.")] = None,
    backend: Backend = None,
    triton_address: TritonAddress = None,
    repository: Repository = REPOSITORY,
    seeds: Annotated[str | None, typer.Option(help="loso: seeds with commas between them, 0,1,2 unless given.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="loso: 60, or 14 from given weights.")] = None,
    weights: Annotated[Path | None, typer.Option(help="loso: weights to start from, not random ones.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="OUT", help="Write the measures as JSON.")] = None,
    log: Annotated[Path | None, typer.Option(metavar="CSV", help="Write the answer to every sample.")] = None,
    megc_log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the log of the MEGC2019 challenge; one per seed.")
    ] = None,
    record: Annotated[bool, typer.Option("--record", help="Add the result to the model's card.")] = False,
) -> None:
    """Score a model on real samples: UF1 and UAR of MEGC2019, with intervals over subjects."""
    from export.loso import SEEDS

    files = _Files(json, log, megc_log)
    if protocol == "loso":
        if backend not in (None, "torch"):
            raise OptionError(f"--protocol loso trains in torch; it has no --backend {backend}", option="backend")
        if triton_address or weights_per_subject or record:
            raise OptionError(
                "--protocol loso trains networks of its own: neither --triton-address, --weights-per-subject nor "
                "--record applies",
                option="protocol",
            )
        _leave_one_subject_out(
            files,
            command=ctx.obj,
            network=model,
            folder=data,
            seeds=SEEDS if seeds is None else parse_seeds(seeds),
            epochs=epochs,
            weights=weights,
        )
        return
    if seeds is not None or epochs is not None or weights is not None:
        raise OptionError("--seeds, --epochs and --weights need --protocol loso", option="protocol")
    _zero_shot(
        files,
        command=ctx.obj,
        model=model,
        folder=data,
        weights_per_subject=weights_per_subject,
        asked=backend,
        triton_address=triton_address,
        repository=repository,
        record=record,
    )


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


def _zero_shot(
    files: _Files,
    *,
    command: str,
    model: str,
    folder: Path,
    weights_per_subject: Path | None,
    asked: Backend,
    triton_address: str | None,
    repository: Path,
    record: bool,
) -> None:
    from export.bootstrap import score_intervals
    from export.cards import with_result
    from export.data.flow_images import read_flow_images
    from export.output import counting, message
    from export.protocol import evaluate_model, evaluate_per_subject
    from export.repository import read_published, write_card
    from export.score_tables import score_table

    backend = asked or "local"
    if triton_address and backend != "triton":
        raise OptionError("--triton-address needs --backend triton", option="triton-address")
    if weights_per_subject and (triton_address or record):
        raise OptionError(
            "--weights-per-subject serves its models from a repository of its own: neither --triton-address nor "
            "--record applies",
            option="weights-per-subject",
        )
    data = read_flow_images(folder)
    with counting("samples") as progress:
        if weights_per_subject:
            result = evaluate_per_subject(
                data, model, weights_per_subject, backend, report=message, on_progress=progress
            )
        else:
            result = evaluate_model(
                data,
                repository,
                model,
                backend,
                triton_address=triton_address,
                report=message,
                on_progress=progress,
            )
    intervals = score_intervals(data.labels, [result.predictions], data.datasets, data.subjects)
    summary = {
        "command": command,
        "model": model,
        "backend": backend,
        "protocol": "zero-shot",
        "data": folder.name,
        "data_sha256": data.sha256,
        **result.summary(),
        "intervals": intervals.summary(),
    }
    files.write(summary, data, {"": result})
    if record:
        published = read_published(repository, model)
        write_card(published.folder, with_result(published.card, summary))
    print(score_table(result, intervals))


def _leave_one_subject_out(
    files: _Files,
    *,
    command: str,
    network: str,
    folder: Path,
    seeds: tuple[int, ...],
    epochs: int | None,
    weights: Path | None,
) -> None:
    from export.bootstrap import score_intervals
    from export.checkpoint import load_checkpoint
    from export.data.flow_images import read_flow_images
    from export.loso import leave_one_subject_out, loso_plan
    from export.networks.registry import find_network
    from export.output import message, show_fold
    from export.score_tables import inflation_warning, loso_table

    find_network(network)
    start = load_checkpoint(weights, network) if weights else None
    data = read_flow_images(folder)
    plan = loso_plan(tuned=start is not None, epochs=epochs)
    result = leave_one_subject_out(network, data, plan, seeds, start=start, on_fold=show_fold)
    predictions = [run.evaluation.predictions for run in result.runs]
    intervals = score_intervals(data.labels, predictions, data.datasets, data.subjects)
    summary = {
        "command": command,
        "model": network,
        "backend": "torch",
        "protocol": "loso",
        "data": folder.name,
        "data_sha256": data.sha256,
        "start_sha256": start.sha256 if start else "",
        **result.summary(),
        "intervals": intervals.summary(),
    }
    several = len(result.runs) > 1
    files.write(summary, data, {f"-seed{run.seed}" if several else "": run.evaluation for run in result.runs})
    message(inflation_warning(result))
    print(loso_table(result, intervals))


def _suffixed(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.stem}{suffix}{path.suffix}")
