"""What operators alone may ask."""

import logging

import httpx
import pytest

from server.app import create_app
from server.errors import ConfigurationError
from server.settings import load
from tests.callers import Keys


@pytest.fixture
def keys(tmp_path):
    """An operator and somebody else."""
    made = Keys(tmp_path / "keys.json")
    made.make("operator", "admin")
    made.make("lab", "analyze", "models", "metrics")
    return made


@pytest.fixture
def admin(start, caplog):
    """Starts a gateway with calls of operators; a client of theirs, and the gateway."""
    caplog.set_level(logging.INFO, "server.admin")
    clients = []

    def begin(**settings):
        gateway = start(admin={"port": 0}, **settings)
        url = next(record.url for record in caplog.records if record.name == "server.admin")
        clients.append(httpx.Client(base_url=url, timeout=20, trust_env=False))
        return clients[-1], gateway

    yield begin
    for client in clients:
        client.close()


def test_operators_see_the_state_of_the_service(admin):
    """On a port of this machine alone, which asks for no credential where nobody is asked for one."""
    client, gateway = admin()
    state = client.get("/admin/state").json()
    assert state["ready"] is True
    assert state["access"] == {"keys": None, "tokens": False}
    assert state["live"] == {"streams": 0, "frames_per_s": 0.0, "leases": 0}
    assert {"glimpse_live_streams", "glimpse_workers", "glimpse_queue_depth"} <= set(state["gauges"])
    assert client.post("/admin/reload").json() == {"reloaded": [], "failed": {}}
    assert client.get("/livez").status_code == 404
    for path in ("/admin/state", "/admin/reload"):
        assert gateway.client.get(path).status_code == 404


def test_with_keys_the_scope_admin_is_needed(admin, keys):
    """Everything else there as well."""
    client, _ = admin(access=keys.settings)
    for path in ("/admin/state", "/", "/nothing", "/metrics"):
        assert client.get(path).status_code == 401 or path == "/", path
    assert client.get("/admin/state", headers=keys.bearer("lab")).json()["scope"] == "admin"
    assert client.get("/admin/state", headers=keys.bearer("operator")).json()["access"]["keys"] == 2


def test_keys_are_read_anew_at_once(start, admin, keys):
    """What is wrong with them is said, and the old ones serve on."""
    client, gateway = admin(access={**keys.settings, "reload_seconds": 3600})
    bearer = keys.bearer("lab")
    keys.revoke("lab")
    assert gateway.client.get("/v1/models", headers=bearer).status_code == 200
    answer = client.post("/admin/reload", headers=keys.bearer("operator"))
    assert (answer.status_code, answer.json()) == (200, {"reloaded": ["keys"], "failed": {}})
    assert gateway.client.get("/v1/models", headers=bearer).status_code == 401
    keys.path.write_text("{", "utf-8")
    answer = client.post("/admin/reload", headers=keys.bearer("operator"))
    assert answer.status_code == 500
    assert "is no JSON" in answer.json()["failed"]["keys"]
    assert client.get("/admin/state", headers=keys.bearer("operator")).status_code == 200


def test_a_page_cannot_ask_what_operators_ask(admin):
    """A browser says where a page is from."""
    client, _ = admin()
    answer = client.post("/admin/reload", headers={"origin": "http://evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign-origin")


def test_models_are_loaded_by_a_backend_that_leaves_it_to_others(admin):
    """The local one does not; what is no name, or no such call, is not there."""
    client, _ = admin()
    for change in ("load", "unload"):
        answer = client.post(f"/admin/models/ststnet/{change}")
        assert (answer.status_code, answer.json()["code"]) == (409, "model-error")
    for path in ("/admin/models/ststnet/reload", "/admin/models/..%2fx/load", "/admin/models/X/load"):
        assert client.post(path).status_code == 404
    assert client.post("/admin/models/ststnet/load", headers={"origin": "null"}).status_code == 403


def test_without_keys_operators_are_on_this_machine():
    """Anything else is refused before it listens."""
    with pytest.raises(ConfigurationError, match="GLIMPSE_ADMIN__HOST"):
        create_app(load({}, admin={"port": 0, "host": "0.0.0.0"}))


def test_a_foreign_name_is_refused_to_operators_too(admin):
    """A page that has its own name point to this machine does not read the state of the service."""
    answer = admin()[0].get("/admin/state", headers={"host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (421, "foreign-host")
    assert answer.headers["x-content-type-options"] == "nosniff"
