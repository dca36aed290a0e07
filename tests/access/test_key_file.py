"""The file of keys: read, edited, and what is said of a broken one."""

import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from server.access import key_file
from server.access.keys import digest, new_key
from server.errors import ConfigurationError

KEY, KEY_ID = new_key()
ENTRY = {"id": KEY_ID, "name": "lab", "sha256": digest(KEY), "scopes": ["analyze"]}


def wrong(path):
    with pytest.raises(ConfigurationError) as refused:
        key_file.read(path)
    assert "\n" not in refused.value.message
    return refused.value.message


def test_a_key_is_created_listed_and_revoked(tmp_path):
    """The file holds its hash, its scopes and its rate; after the revocation, nothing of it."""
    path = tmp_path / "keys.json"
    key = key_file.create(path, "lab", ["live", "analyze"], requests_per_second=5.0, burst=10, live_streams=2)
    [entry] = key_file.read(path).keys
    assert (entry.name, entry.scopes, entry.sha256) == ("lab", ["analyze", "live"], digest(key))
    made = entry.key()
    assert (made.rate.per_s, made.rate.burst, made.rate.streams) == (5.0, 10, 2)
    assert key.rpartition("_")[2] not in path.read_text("utf-8")
    with pytest.raises(ConfigurationError, match="already"):
        key_file.create(path, "lab", ["live"])
    key_file.revoke(path, "lab")
    assert key_file.read(path).keys == []
    with pytest.raises(ConfigurationError, match="no key with that name"):
        key_file.revoke(path, "lab")


def test_only_its_owner_reads_a_new_file(tmp_path):
    """Whatever the umask; one that the operator has opened to a group stays so."""
    path = tmp_path / "keys.json"
    before = os.umask(0)
    try:
        key_file.create(path, "lab", ["live"])
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o664)
    key_file.create(path, "clinic", ["live"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == ["keys.json", "keys.json.lock"]


def test_many_commands_at_once_lose_no_key(tmp_path):
    """Each reads what the one before it has written."""
    path = tmp_path / "keys.json"
    code = (
        "import sys; from pathlib import Path; from server.access import key_file\n"
        "for n in range(5): key_file.create(Path(sys.argv[1]), f'{sys.argv[2]}-{n}', ['live'])"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "abc"]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert sorted(entry.name for entry in key_file.read(path).keys) == [f"{a}-{n}" for a in "abc" for n in range(5)]


@pytest.mark.parametrize("fault", ["dump", "fsync"])
def test_an_edit_that_fails_leaves_the_old_file(tmp_path, monkeypatch, fault):
    """And nothing half beside it."""
    path = tmp_path / "keys.json"
    key_file.create(path, "lab", ["live"])
    old = path.read_bytes()

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(key_file.json if fault == "dump" else key_file.os, fault, fail)
    with pytest.raises(ConfigurationError, match="No space left"):
        key_file.create(path, "clinic", ["live"])
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert sorted(each.name for each in tmp_path.iterdir()) == ["keys.json", "keys.json.lock"]


def test_the_file_may_be_toml(tmp_path):
    """With its own times; the command does not edit it."""
    path = tmp_path / "keys.toml"
    path.write_text(
        f'[[keys]]\nid = "{KEY_ID}"\nname = "lab"\nsha256 = "{digest(KEY)}"\nscopes = ["live"]\n'
        "expires = 2030-01-01T00:00:00Z\n",
        "utf-8",
    )
    [entry] = key_file.read(path).keys
    assert entry.key().expires == datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    with pytest.raises(ConfigurationError, match="edited by hand"):
        key_file.create(path, "clinic", ["live"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        (f'{{"keys": [{{"id": "{KEY}}}]}}', "is no JSON"),
        (json.dumps([]), "file: "),
        (json.dumps({"keys": [{**ENTRY, "sha256": KEY}]}), "keys.0.sha256: "),
        (json.dumps({"keys": [{**ENTRY, "id": KEY}]}), "keys.0.id: "),
        (json.dumps({"keys": [{**ENTRY, "name": KEY + "!"}]}), "keys.0.name: "),
        (json.dumps({"keys": [{**ENTRY, "scopes": [KEY]}]}), "keys.0.scopes.0: "),
        (json.dumps({"keys": [{**ENTRY, "scopes": []}]}), "keys.0.scopes: "),
        (json.dumps({"keys": [{**ENTRY, KEY: 1}]}), "keys.0: a member that is not known"),
        (json.dumps({"keys": [{**ENTRY, "expires": KEY}]}), "keys.0.expires: "),
        (json.dumps({"keys": [{**ENTRY, "expires": "2030-01-01T00:00:00"}]}), "keys.0.expires: "),
        (json.dumps({"keys": [{**ENTRY, "requests_per_second": -1}]}), "keys.0.requests_per_second: "),
        (json.dumps({"keys": [ENTRY, {**ENTRY, "name": "other-lab"}]}), "two keys have the same id"),
        (json.dumps({"keys": [ENTRY, {**ENTRY, "id": "A" * 12}]}), "two keys have the same name"),
        (json.dumps({"keys": [{**ENTRY, "name": "jwt"}]}), "mean others in the metrics"),
        (json.dumps({"version": 2, "keys": []}), "version: "),
    ],
    ids=lambda _: "broken",
)
def test_a_broken_file_is_explained_without_what_it_holds(tmp_path, content, told):
    """Somebody may have put a key itself where it does not belong."""
    path = tmp_path / "keys.json"
    path.write_text(content, "utf-8")
    message = wrong(path)
    assert told in message
    assert str(path) in message
    assert KEY not in message
    assert KEY.rpartition("_")[2] not in message


def test_a_file_that_is_not_there_is_named(tmp_path):
    """With what the system says."""
    assert "No such file" in wrong(tmp_path / "keys.json")


@pytest.mark.parametrize("text", ["", "d", "90", "0d", "-1d", "1y", "99999999d", "1.5h"])
def test_a_lifetime_that_is_none_is_refused(text):
    """It is a whole number of days or hours."""
    with pytest.raises(ConfigurationError, match="90d or 12h"):
        key_file.lifetime(text)


def test_a_lifetime_counts_from_now():
    """In days or hours."""
    assert 89.9 < (key_file.lifetime("90d") - datetime.now(UTC)).total_seconds() / 86400 <= 90
    assert 11.9 < (key_file.lifetime("12h") - datetime.now(UTC)).total_seconds() / 3600 <= 12
