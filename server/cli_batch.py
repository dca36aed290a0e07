"""`glimpse batch`: a corpus of clips into a folder of results."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from server import console
from server.bulk.pace import Display, Pace, shown
from server.bulk.results import Format, Results, Summary
from server.errors import ConfigurationError, OptionError
from server.notice import NOTICE
from server.settings import Settings, load

if TYPE_CHECKING:
    from server.bulk.engines import Engine
    from server.bulk.outcomes import Work

_LONGEST_S = 24 * 3600.0
_NAMED = 20


def batch(  # noqa: PLR0917 - each is an option of the command line
    out: Annotated[Path, typer.Option(help="Folder of the results; one of an earlier run is gone on with.")],
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT...", help="Files, folders, quoted patterns; - reads a list.")
    ] = None,
    lists: Annotated[list[str] | None, typer.Option("--list", help="File that names clips, one a line.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="Names of clips are relative to it; by default as before, or to this folder.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    model_version: Annotated[str | None, typer.Option(help="Version of the model.")] = None,
    faces: Annotated[Literal["largest", "all"], typer.Option(help="Whose expressions.")] = "largest",
    kinds: Annotated[str, typer.Option(help="Events to report.")] = "micro,macro",
    detail: Annotated[
        Literal["full", "minimal"], typer.Option(help="With minimal, nothing that measures a face.")
    ] = "full",
    backend: Annotated[Literal["local", "triton"] | None, typer.Option(help="Who runs the models.")] = None,
    triton_address: Annotated[str | None, typer.Option(help="gRPC address of Triton, host:port.")] = None,
    format: Annotated[  # noqa: A002 - as it is called on the command line
        Format, typer.Option(help="Of the table of events; Parquet needs the extra batch.")
    ] = "jsonl",
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Whose processors.")] = "local",
    ray_address: Annotated[str | None, typer.Option(help="Of the Ray cluster; by default RAY_ADDRESS.")] = None,
    ship: Annotated[
        bool, typer.Option("--ship", help="Send clips to the cluster, whose nodes cannot read these files.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Clips at a time; by default one for each processor.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, max=_LONGEST_S, help="Seconds that a clip may take.")] = _LONGEST_S,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Look again at clips that failed.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going/--fail-fast", help="Whether further clips begin after one has failed.")
    ] = True,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw earlier results in the folder away.")] = False,
    progress: Annotated[Display, typer.Option(help="Bar on a terminal, lines elsewhere.")] = "auto",
) -> None:
    """Analyse a corpus of clips into a folder of results; the same command goes on where a run was broken off."""
    from server.analysis import options_of
    from server.bulk.outcomes import Work
    from server.bulk.tables import need_parquet

    if engine == "local" and (ship or ray_address):
        raise typer.BadParameter("--ship and --ray-address belong to --engine ray")
    if not inputs and not lists:
        raise typer.BadParameter("name clips: files, folders, patterns, or --list")
    given = {"model": model, "version": model_version, "faces": faces, "kinds": kinds, "detail": detail}
    options = options_of({name: value for name, value in given.items() if value is not None})
    settings = _settings(backend, triton_address, workers if engine == "local" else None)
    if format != "jsonl":
        need_parquet()
    work = Work(options, timeout, settings.limits.upload_bytes)
    with Results(out, fresh=fresh) as results:
        chosen = _root(root, results)
        total = _enqueue(results, inputs or [], lists or [], chosen)
        pace = Pace(total)
        where = _engine(engine, settings, work, ray_address, workers, ship=ship)
        how = {"retry_failed": retry_failed, "fail_fast": not keep_going}
        complete = asyncio.run(_run(results, where, (settings, work, chosen), pace, progress, **how))
        summary = results.finish(format, complete=complete)
        _tell(results, summary, pace)
    if not complete:
        console.say(f"Stopped after {pace.seen} of {total} clips; the same command goes on from there.")
    if summary.failures or not complete:
        raise typer.Exit(1)


async def _run(
    results: Results,
    where: AbstractAsyncContextManager[Engine],
    subject: tuple[Settings, Work, Path],
    pace: Pace,
    display: Display,
    **how: bool,
) -> bool:
    """Whether all clips were looked at. The first signal lets those under way finish; the second one ends at once."""
    from server.bulk.manifest import manifest_of
    from server.bulk.run import Run

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    run: Run | None = None

    def end() -> None:
        nonlocal run
        if run is None:
            assert task is not None
            task.cancel()
        else:
            console.say("Clips under way are finished; once more ends at once.")
            run.stop()
            run = None

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    settings, work, root = subject
    try:
        async with where as engine:
            results.begin(manifest_of(settings, work, engine.model, root))
            pace.begin()
            with shown(pace, display, console.say) as tell:
                run = Run(engine, results, pace, tell, **how)
                return await run()
    except asyncio.CancelledError:
        return False


def _settings(backend: str | None, triton_address: str | None, workers: int | None) -> Settings:
    given: dict[str, dict[str, Any]] = {
        "backend": {"kind": backend, "triton_address": triton_address},
        "workers": {"count": workers},
    }
    chosen = {group: {k: v for k, v in values.items() if v is not None} for group, values in given.items()}
    try:
        return load(**chosen)
    except ConfigurationError as error:
        raise OptionError(error.message, option="settings") from None


def _engine(
    engine: str, settings: Settings, work: Work, address: str | None, workers: int | None, *, ship: bool
) -> AbstractAsyncContextManager[Engine]:
    if engine == "ray":
        from server.bulk.ray_engine import open_ray

        return open_ray(address, settings, work, workers=workers, ship=ship)
    from server.bulk.engines import open_local

    return open_local(settings, work)


def _root(given: Path | None, results: Results) -> Path:
    """What names are relative to; what was named by an earlier run keeps its name."""
    before = (results.manifest or {}).get("root")
    return Path(os.path.abspath(given or before or Path.cwd()))  # noqa: PTH100 - links stay as they were named


def _enqueue(results: Results, inputs: list[str], lists: list[str], root: Path) -> int:
    from server.bulk.inputs import find, name_of

    total = results.enqueue((name_of(path, root), os.path.abspath(os.fsencode(path))) for path in find(inputs, lists))  # noqa: PTH100 - as above
    if not total:
        raise OptionError("there is no clip in what was named", option="inputs")
    return total


def _tell(results: Results, summary: Summary, pace: Pace) -> None:
    """What is in the folder as a table on stdout; clips that failed, by name, and the notice on stderr."""
    for number, failure in enumerate(results.failures()):
        if number == _NAMED:
            console.say(f"... and {sum(summary.failures.values()) - _NAMED} more, in errors.jsonl")
            break
        console.say(f"{failure['path']}: {failure['message']} ({failure['code']})")
    console.say(NOTICE)
    console.show_counts(
        [
            ("clips with a report", f"{summary.clips}"),
            *((f"clips failed, {code}", f"{count}") for code, count in sorted(summary.failures.items())),
            *((f"events, {label}", f"{count}") for label, count in sorted(summary.events.items())),
            ("seconds of film", f"{summary.film_s:.1f}"),
            ("by this run: clips, failed", f"{pace.analysed}, {pace.failed}"),
            ("by this run: seconds of film per second", f"{pace.film_s / max(pace.elapsed_s, 1e-9):.2f}"),
        ]
    )
