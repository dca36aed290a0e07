"""From settings to the guard: what is warned of, what is refused, and the commands about keys."""

import json
import logging

import pytest

from server.cli import main
from server.errors import ConfigurationError
from server.guarded import check_exposure, guard_of
from server.service import run
from server.settings import load
from server.telemetry.metrics import Metrics
from tests.issuer import AUDIENCE, ISSUER, jwk, key_set


def tree(host="127.0.0.1", **groups):
    return load({}, server={"host": host, "port": 0, "grpc_port": 0}, **groups)


def glimpse(*arguments):
    """The status of a command."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as ended:
        return ended.code
    return 0


def tokens_of(where):
    return {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks": str(where)}


@pytest.fixture
def keys_file(tmp_path):
    """A file with one key."""
    assert glimpse("keys", "create", "lab", "--scopes", "analyze", "--file", tmp_path / "keys.json") == 0
    return tmp_path / "keys.json"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_on_this_machine_alone_nothing_is_asked_and_nothing_is_said(host):
    """Off by default."""
    assert check_exposure(tree(host)) == ""
    assert not guard_of(tree(host), Metrics()).on


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1"])
def test_an_open_door_is_warned_of(host, keys_file):
    """Unless keys or tokens are asked for."""
    assert host in check_exposure(tree(host))
    assert "GLIMPSE_ACCESS__REQUIRE_AUTH=true" in check_exposure(tree(host))
    assert check_exposure(tree(host, access={"keys_file": str(keys_file)})) == ""
    assert check_exposure(tree(host, access=tokens_of("https://login.example/jwks"))) == ""


def test_the_warning_is_in_the_log_and_before_the_eyes(caplog, monkeypatch):
    """Both, before anything is served."""
    monkeypatch.setattr("server.service.telemetry_logging.configure", lambda *_: None)
    told = []

    def stop(warning):
        told.append(warning)
        raise ConfigurationError("enough")

    with pytest.raises(ConfigurationError, match="enough"):
        run(tree("0.0.0.0"), on_warning=stop)
    assert told[0].startswith("WARNING: 0.0.0.0 can be reached by other machines")
    assert (logging.WARNING, told[0]) in [(record.levelno, record.getMessage()) for record in caplog.records]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_where_credentials_are_required_the_door_does_not_stay_open(host):
    """Nothing to check them with is no reason to check none."""
    with pytest.raises(ConfigurationError, match="credentials are required"):
        run(tree(host, access={"require_auth": True}))


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ({"access": {"keys_file": "/nowhere/keys.json"}}, "/nowhere/keys.json cannot be read: No such file"),
        ({"access": tokens_of("/nowhere/jwks.json")}, "/nowhere/jwks.json: No such file"),
        ({"access": tokens_of("http://10.0.0.1/jwks")}, "use https"),
        ({"access": tokens_of("http://login.example/jwks")}, "use https"),
        ({"admin": {"port": 0, "host": "0.0.0.0"}}, "GLIMPSE_ADMIN__HOST"),
    ],
)
def test_what_cannot_be_checked_with_is_refused(groups, told):
    """Before the service is built, in a sentence."""
    with pytest.raises(ConfigurationError) as refused:
        guard_of(tree(**groups), Metrics())
    assert told in refused.value.message


def test_a_broken_set_of_keys_is_refused(tmp_path):
    """One that is whole is taken, from a file or by http from this machine."""
    path = tmp_path / "jwks.json"
    path.write_text("{", "utf-8")
    with pytest.raises(ConfigurationError, match="JSON Web Key Set"):
        guard_of(tree(access=tokens_of(path)), Metrics())
    path.write_bytes(key_set(jwk("ES256", "one")))
    assert guard_of(tree(access=tokens_of(path)), Metrics()).on
    with pytest.raises(ConfigurationError, match="RS256"):
        guard_of(tree(access={**tokens_of(path), "jwt_algorithms": "RS256"}), Metrics())
    assert guard_of(tree(access=tokens_of("http://127.0.0.1:1/jwks")), Metrics()).on


def test_a_file_without_a_key_that_holds_is_warned_of(keys_file, caplog):
    """Everybody is refused then, which is safe and seldom meant."""
    assert glimpse("keys", "revoke", "lab", "--file", keys_file) == 0
    guard = guard_of(tree(access={"keys_file": str(keys_file)}), Metrics())
    assert guard.on
    assert "none that holds" in caplog.text


def test_the_commands_make_list_and_revoke_keys(tmp_path, capsys, monkeypatch):
    """The key is the one line on stdout, once; the file may be that of the settings."""
    path = tmp_path / "keys.json"
    monkeypatch.setenv("GLIMPSE_ACCESS__KEYS_FILE", str(path))
    assert glimpse("keys", "create", "lab", "--scopes", "analyze, live", "--rate", "5", "--expires", "90d") == 0
    made = capsys.readouterr()
    key = made.out.strip()
    assert (made.out, key[:8]) == (f"{key}\n", "glimpse_")
    assert key not in made.err
    assert key not in path.read_text("utf-8")
    assert glimpse("keys", "list") == 0
    listed = capsys.readouterr().out
    assert "lab" in listed
    assert "analyze,live" in listed
    assert json.loads(path.read_text("utf-8"))["keys"][0]["sha256"] not in listed
    assert glimpse("keys", "revoke", "lab") == 0
    assert json.loads(path.read_text("utf-8"))["keys"] == []


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["create", "lab", "--scopes", "analyse", "--file", "{}"], 1),
        (["create", "lab", "--scopes", "", "--file", "{}"], 1),
        (["create", "two words", "--scopes", "live", "--file", "{}"], 1),
        (["create", "lab", "--scopes", "live", "--expires", "soon", "--file", "{}"], 1),
        (["create", "lab", "--scopes", "live", "--rate", "-1", "--file", "{}"], 2),
        (["create", "lab", "--scopes", "live"], 2),
        (["create", "lab", "--file", "{}"], 2),
        (["list", "--file", "{}"], 1),
        (["revoke", "lab", "--file", "{}"], 1),
    ],
)
def test_a_wrong_command_makes_no_key(tmp_path, capsys, arguments, status):
    """Nothing is printed that looks like one."""
    path = str(tmp_path / "keys.json")
    assert glimpse("keys", *[path if argument == "{}" else argument for argument in arguments]) == status
    assert capsys.readouterr().out == ""


def test_settings_do_not_show_what_commands_ask_with(capsys, monkeypatch):
    """Neither the table, nor the document, nor what is said of wrong ones."""
    for name in ("API_KEY", "TOKEN"):
        for arguments in (["settings"], ["settings", "--json"]):
            monkeypatch.setenv(f"GLIMPSE_CLIENT__{name}", "very-secret")
            assert glimpse(*arguments) == 0
            assert "very-secret" not in "".join(capsys.readouterr())
            monkeypatch.setenv(f"GLIMPSE_CLIENT__{name}", "very-secret with a blank")
            assert glimpse(*arguments) == 2
            said = "".join(capsys.readouterr())
            assert f"GLIMPSE_CLIENT__{name}" in said
            assert "very-secret" not in said
        monkeypatch.delenv(f"GLIMPSE_CLIENT__{name}")
