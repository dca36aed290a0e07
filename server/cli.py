"""The command line: `glimpse serve | analyze | batch | live | models | keys | triton | health | settings`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server import __version__, console
from server.cli_batch import batch
from server.cli_health import health
from server.cli_keys import keys
from server.cli_live import live
from server.cli_tls import CaFileOption, CertificateOption, KeyOption, tls_of
from server.errors import ConfigurationError, GlimpseError, OptionError
from server.notice import NOTICE
from server.settings import Settings, load, rows
from server.settings.asking import ClientSettings
from server.types import AnalyzeOptions, Report

if TYPE_CHECKING:
    from client import Tls

app = typer.Typer(
    name="glimpse",
    help="Micro-expression recognition: timed events from clips of faces.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Backend(StrEnum):
    """Who runs the models."""

    LOCAL = "local"
    TRITON = "triton"


class HowMuch(StrEnum):
    """How much of a face is told."""

    FULL = "full"
    MINIMAL = "minimal"


class Faces(StrEnum):
    """Whose expressions."""

    LARGEST = "largest"
    ALL = "all"


UrlOption = Annotated[str | None, typer.Option(help="Ask the running service at this URL instead.")]
BackendOption = Annotated[Backend | None, typer.Option(help="Who runs the models.")]
AddressOption = Annotated[str | None, typer.Option(help="gRPC address of Triton, host:port.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: 0 done, 1 failed, 2 used wrongly."""
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="glimpse")
    except OptionError as error:
        console.say(f"glimpse: {error.message}")
        raise SystemExit(2) from None
    except GlimpseError as error:
        console.say(f"glimpse: {error.message}")
        raise SystemExit(1) from None


def _version(wanted: bool) -> None:
    if wanted:
        console.data(f"{__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Data goes to stdout, messages to stderr."""


def _settings(**groups: dict[str, Any]) -> Settings:
    given = {
        group: {name: value for name, value in values.items() if value is not None} for group, values in groups.items()
    }
    try:
        return load(**given)
    except ConfigurationError as error:
        console.say(f"glimpse: {error.message}")
        raise typer.Exit(2) from None


@app.command()
def serve(  # noqa: PLR0917 - each is an option of the command line
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of REST; 0 takes a free one.")] = None,
    grpc_port: Annotated[int | None, typer.Option(help="Port of gRPC; 0 takes a free one.")] = None,
    demo: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Send this clip once the service is ready.")
    ] = None,
    backend: BackendOption = None,
    triton_address: AddressOption = None,
    require_auth: Annotated[
        bool | None, typer.Option("--require-auth", help="Refuse to start without keys or an issuer of tokens.")
    ] = None,
) -> None:
    """Run the service until Ctrl-C."""
    from server.encryption import prepare_grpc

    settings = _settings(
        server={"host": host, "port": port, "grpc_port": grpc_port},
        access={"require_auth": require_auth},
        backend={"kind": backend, "triton_address": triton_address},
    )
    if demo is not None and settings.tls.certificate:
        raise typer.BadParameter("--demo is for a service without encryption; with it, use glimpse analyze --url")
    prepare_grpc(settings.tls)
    from server.service import run

    def ready(url: str, grpc: str) -> None:
        if demo is not None:
            threading.Thread(target=_demonstrate, args=(url, grpc, demo, settings.client), daemon=True).start()

    run(settings, on_ready=ready, on_warning=console.say)


def _demonstrate(url: str, grpc: str, clip: Path, asking: ClientSettings) -> None:
    """What any client could do: post the clip over HTTP and read the answer."""
    from server.remote import RemoteService

    async def ask() -> Report:
        async with RemoteService(url, asking) as service:
            with console.progress(clip.name) as show:
                return await service.analyze(_bytes_of(clip), AnalyzeOptions(), show)

    try:
        report = asyncio.run(ask())
    except (GlimpseError, OSError) as error:
        console.say(f"{clip}: {error}")
    else:
        console.show_report(str(clip), report)
    console.say(f"Serving on {url} (documentation: {url}/docs), gRPC on {grpc}. Ctrl-C ends it.")


@app.command()
def analyze(  # noqa: PLR0917 - each is an option of the command line
    clips: Annotated[list[Path], typer.Argument(metavar="CLIP...", help="Video files.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON report per line.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="The events as CSV.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write the timeline of the only clip as PNG.")] = None,
    url: UrlOption = None,
    model: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    model_version: Annotated[str | None, typer.Option(help="Version of the model.")] = None,
    faces: Annotated[Faces, typer.Option(help="Whose expressions.")] = Faces.LARGEST,
    onset_s: Annotated[float | None, typer.Option(help="Fix the onset of one event.")] = None,
    apex_s: Annotated[float | None, typer.Option(help="Fix the apex of one event.")] = None,
    kinds: Annotated[str, typer.Option(help="Events to report.")] = "micro,macro",
    detail: Annotated[HowMuch, typer.Option(help="With minimal, nothing that measures a face.")] = HowMuch.FULL,
    include: Annotated[str, typer.Option(help="For --json: signals, pictures or both, as signals,pictures.")] = "",
    backend: BackendOption = None,
    triton_address: AddressOption = None,
    ca_file: CaFileOption = None,
    client_certificate: CertificateOption = None,
    client_key: KeyOption = None,
) -> None:
    """Find and classify the expressions of clips, in this process or by a running service."""
    if json and csv:
        raise typer.BadParameter("choose one of --json and --csv")
    if include and not json:
        raise typer.BadParameter("--include is for --json, which alone can show it")
    if plot is not None and len(clips) != 1:
        raise typer.BadParameter("--plot takes a single clip")
    if url is not None and (backend or triton_address):
        raise typer.BadParameter("with --url the service decides on the backend")
    tls = _tls_for(url, ca_file, client_certificate, client_key)
    given = {
        "model": model,
        "version": model_version,
        "faces": faces.value,
        "onset_s": onset_s,
        "apex_s": apex_s,
        "kinds": kinds,
        "detail": detail.value,
        "include": include,
    }
    options = {name: str(value) for name, value in given.items() if value is not None}
    settings = _settings(backend={"kind": backend, "triton_address": triton_address})
    shown = "json" if json else "csv" if csv else "table"
    reports, failed = asyncio.run(_analyze_all(clips, options, url, tls, settings, shown=shown))
    if reports:
        console.say(NOTICE)
    if csv and reports:
        _write_csv(reports)
    if plot is not None and reports:
        from server.report.render import timeline_png

        plot.write_bytes(timeline_png(reports[0][1]))
    if failed:
        raise typer.Exit(1)


async def _analyze_all(
    clips: Sequence[Path], options: dict[str, str], url: str | None, tls: Tls | None, settings: Settings, *, shown: str
) -> tuple[list[tuple[str, Report]], bool]:
    """Every clip in its turn; one that cannot be analysed costs an error line, not the others."""
    from server.analysis import open_analysis

    reports: list[tuple[str, Report]] = []
    async with open_analysis(url, settings, options, tls) as run:
        for clip in clips:
            try:
                with console.progress(clip.name) as on_progress:
                    report = await run(_bytes_of(clip), on_progress)
            except (GlimpseError, OSError) as error:
                console.say(f"{clip}: {error.strerror if isinstance(error, OSError) else error}")
                continue
            reports.append((str(clip), report))
            if shown == "table":
                console.show_report(str(clip), report)
            elif shown == "json":
                console.data(console.report_line(str(clip), report))
    return reports, len(reports) < len(clips)


def _tls_for(url: str | None, ca_file: Path | None, certificate: Path | None, key: Path | None) -> Tls | None:
    tls = tls_of(ca_file, certificate, key)
    if tls is not None and not (url or "").startswith("https://"):
        raise typer.BadParameter("--ca-file, --client-certificate and --client-key belong to --url https://...")
    return tls


def _bytes_of(clip: Path) -> bytes:
    return clip.read_bytes()


def _write_csv(reports: list[tuple[str, Report]]) -> None:
    from server.report.export import events_csv

    console.data(events_csv(reports if len(reports) > 1 else reports[0][1]))


app.command()(batch)
app.command()(live)
app.command()(health)
app.add_typer(keys)


@app.command()
def models(  # noqa: PLR0917 - each is an option of the command line
    url: UrlOption = None,
    backend: BackendOption = None,
    triton_address: AddressOption = None,
    ca_file: CaFileOption = None,
    client_certificate: CertificateOption = None,
    client_key: KeyOption = None,
) -> None:
    """List the models, servable or not."""
    from server.analysis import list_models

    settings = _settings(backend={"kind": backend, "triton_address": triton_address})
    tls = _tls_for(url, ca_file, client_certificate, client_key)
    console.show_models(asyncio.run(list_models(url, settings, tls)))


@app.command()
def triton(
    repository: Annotated[Path | None, typer.Option(help="Folder of the models.")] = None,
    port: Annotated[int, typer.Option(help="gRPC port.")] = 8001,
    http_port: Annotated[int, typer.Option(help="HTTP port.")] = 8000,
    metrics_port: Annotated[int, typer.Option(help="Port of its metrics.")] = 8002,
) -> None:
    """Run a real Triton on this machine, on loopback, until Ctrl-C."""
    from server.predict.tritonserver import TritonServer

    folder = repository or Path(_settings().backend.repository)
    server = TritonServer(folder, grpc_port=port, http_port=http_port, metrics_port=metrics_port, report=console.say)
    raise typer.Exit(server.serve())


@app.command()
def settings(
    json: Annotated[bool, typer.Option("--json", help="As a JSON document.")] = False,
) -> None:
    """Show every setting: its variable, value, default and meaning."""
    listed = list(rows(_settings()))
    if json:
        console.data(console.settings_json(listed))
    else:
        console.show_settings(listed)
