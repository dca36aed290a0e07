"""`glimpse keys`: the file of API keys, edited by one command at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server import console
from server.errors import OptionError
from server.settings import load
from server.settings.access import ACCESS
from server.settings.group import variable

keys = typer.Typer(name="keys", help="API keys: who may ask for what.", no_args_is_help=True)

FileOption = Annotated[Path | None, typer.Option("--file", help="The file of keys; by default that of the settings.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What logs and metrics call it; no person's name.")]


def _file(given: Path | None) -> Path:
    chosen = given or load().access.keys_file
    if not chosen:
        raise OptionError(f"name the file of keys with --file or {variable(ACCESS, 'keys_file')}", option="file")
    return Path(chosen)


@keys.command()
def create(  # noqa: PLR0917 - each is an option of the command line
    name: NameArgument,
    scopes: Annotated[str, typer.Option(help="What for, comma separated: analyze, live, models, metrics, admin.")],
    file: FileOption = None,
    rate: Annotated[float | None, typer.Option(min=0, help="Requests per second in the long run.")] = None,
    burst: Annotated[int | None, typer.Option(min=0, help="Requests at once; by default those of a second.")] = None,
    live_streams: Annotated[int | None, typer.Option(min=0, help="Live streams at a time.")] = None,
    expires: Annotated[str | None, typer.Option(help="How long it holds, such as 90d or 12h.")] = None,
) -> None:
    """Make a key and print it, once: the file keeps its hash alone."""
    from server.access import key_file

    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    until = key_file.lifetime(expires) if expires is not None else None
    path = _file(file)
    chosen = {"requests_per_second": rate, "burst": burst, "live_streams": live_streams, "expires": until}
    key = key_file.create(path, name, wanted, **chosen)
    console.data(f"{key}\n")
    console.say(f"Key {name} is in {path}. Keep what was printed: it cannot be shown again.")


@keys.command(name="list")
def show(file: FileOption = None) -> None:
    """Names, scopes and rates of all keys."""
    from server.access import key_file

    console.show_keys(key_file.read(_file(file)).keys)


@keys.command()
def revoke(name: NameArgument, file: FileOption = None) -> None:
    """Take a key out of the file; a running service follows within `GLIMPSE_ACCESS__RELOAD_SECONDS`."""
    from server.access import key_file

    path = _file(file)
    key_file.revoke(path, name)
    console.say(f"Key {name} is no longer in {path}.")
