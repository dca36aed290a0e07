"""The file of keys: read as JSON or TOML, written as JSON, by one process at a time and never half."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import stat
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from server.access.caller import ANONYMOUS, TOKEN
from server.access.keys import Key, digest, new_key
from server.access.rates import Rate
from server.access.scopes import SCOPES
from server.errors import ConfigurationError

_MOST_BYTES = 4 << 20
_SECONDS = {"d": 86400, "h": 3600}

RESERVED = frozenset({ANONYMOUS, TOKEN, "other"})

Scope = Literal["analyze", "live", "models", "metrics", "admin"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


def _time(value: Any) -> Any:
    # Strict JSON knows no times; TOML has them. What the library says of a wrong one repeats it.
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise PydanticCustomError("time", "must be a time with its zone, such as 2030-01-01T00:00:00Z") from None


class KeyEntry(BaseModel):
    """One key as it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)

    id: str = Field(pattern=r"^[0-9A-Za-z]{12}$")
    name: Name
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    scopes: list[Scope] = Field(min_length=1)
    requests_per_second: float = Field(default=0.0, ge=0, le=1e6)
    burst: int = Field(default=0, ge=0, le=1_000_000)
    live_streams: int = Field(default=0, ge=0, le=1_000_000)
    created: Annotated[AwareDatetime, BeforeValidator(_time)] | None = None
    expires: Annotated[AwareDatetime, BeforeValidator(_time)] | None = None

    def key(self) -> Key:
        """The same without its form."""
        rate = Rate(self.requests_per_second, self.burst, self.live_streams)
        expires = self.expires.timestamp() if self.expires is not None else None
        return Key(self.id, self.name, self.sha256, frozenset(self.scopes), rate, expires)


class KeyFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    version: Literal[1] = 1
    keys: list[KeyEntry] = Field(default_factory=list, max_length=10_000)

    @model_validator(mode="after")
    def _unique(self) -> KeyFile:
        if any(entry.name in RESERVED for entry in self.keys):
            message = f"a key is named as one of {', '.join(sorted(RESERVED))}, which mean others in the metrics"
            raise PydanticCustomError("reserved", "{message}", {"message": message})
        for what in ("id", "name"):
            values = [getattr(entry, what) for entry in self.keys]
            if len(set(values)) < len(values):
                message = f"two keys have the same {what}"
                raise PydanticCustomError("twice", "{message}", {"message": message})
        return self


def read(path: Path) -> KeyFile:
    """The file at `path`. Raises `ConfigurationError`, which never repeats what the file holds."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ConfigurationError(f"the file of keys {path} is larger than {_MOST_BYTES} bytes")
        text = content.decode("utf-8")
        document = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        return KeyFile.model_validate(document)
    except OSError as error:
        raise ConfigurationError(f"the file of keys {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise ConfigurationError(f"the file of keys {path} is wrong: {_findings(error)}") from None
    except (ValueError, RecursionError):
        # What a parser says may quote the text, and somebody may have put a key itself there.
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        raise ConfigurationError(f"the file of keys {path} is no {kind}") from None


def _findings(error: ValidationError) -> str:
    found = []
    for item in error.errors(include_input=False, include_url=False, include_context=False)[:3]:
        known = [str(part) for part in item["loc"] if isinstance(part, int) or part in _FIELDS]
        found.append(f"{'.'.join(known) or 'file'}: {_plain(item)}")
    return "; ".join(found)


def _plain(item: Any) -> str:
    return "a member that is not known" if item["type"] == "extra_forbidden" else str(item["msg"])


_FIELDS = frozenset((*KeyFile.model_fields, *KeyEntry.model_fields))


def create(path: Path, name: str, scopes: list[str], **chosen: Any) -> str:
    """Add a key to the file, which is made where there is none; the key, which nobody can read again.

    `chosen` are further members of `KeyEntry`. Raises `ConfigurationError`.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        wrong = f"no scope is called {', '.join(unknown)}" if unknown else "a key needs a scope"
        raise ConfigurationError(f"{wrong}; there are {', '.join(SCOPES)}")
    key, key_id = new_key()
    made = datetime.now(UTC).replace(microsecond=0)
    entry = {"id": key_id, "name": name, "sha256": digest(key), "scopes": sorted(set(scopes)), "created": made}
    with _edited(path) as document:
        if any(known["name"] == name for known in document["keys"]):
            raise ConfigurationError(f"{path} has a key with that name already; revoke it, or choose another name")
        document["keys"].append({**entry, **{field: value for field, value in chosen.items() if value is not None}})
    return key


def revoke(path: Path, name: str) -> None:
    """Take a key out of the file. Raises `ConfigurationError` where there is none of that name."""
    with _edited(path) as document:
        kept = [entry for entry in document["keys"] if entry["name"] != name]
        if len(kept) == len(document["keys"]):
            raise ConfigurationError(f"{path} has no key with that name")
        document["keys"] = kept


def lifetime(text: str) -> datetime:
    """The time after so many days (`90d`) or hours (`12h`) from now. Raises `ConfigurationError`."""
    number, unit = text[:-1], text[-1:]
    if unit not in _SECONDS or not number.isdecimal() or not 0 < int(number) <= 36_500:
        raise ConfigurationError("a lifetime is a number of days or hours, such as 90d or 12h")
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() // 1 + int(number) * _SECONDS[unit], UTC)


@contextmanager
def _edited(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".toml":
        raise ConfigurationError(f"{path} is TOML, which is edited by hand; files of this command end in .json")
    try:
        with _alone(path):
            document = read(path).model_dump() if path.exists() else {"version": 1, "keys": []}
            yield document
            try:
                checked = KeyFile.model_validate(document)
            except ValidationError as error:
                raise ConfigurationError(f"the key would be wrong: {_findings(error)}") from None
            _replace(path, checked.model_dump(mode="json", exclude_none=True))
    except OSError as error:
        raise ConfigurationError(f"the file of keys {path} cannot be written: {error.strerror}") from None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """The lock is a file of its own: the file of keys is another one after each edit."""
    descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, document: Mapping[str, Any]) -> None:
    """Readers see the old file or the new one. A file that somebody else owns stays theirs."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
            file.flush()
            with suppress(FileNotFoundError):
                before = path.stat()
                os.fchmod(descriptor, stat.S_IMODE(before.st_mode) & 0o640)
                if (before.st_uid, before.st_gid) != (os.getuid(), os.getgid()):
                    os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fsync(descriptor)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
