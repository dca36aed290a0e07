"""One line per record."""

import ast
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from server.errors import NoFace
from server.telemetry.context import REQUEST_ID, accepted_or_new
from server.telemetry.logging import FIELDS, JsonFormatter, TextFormatter


@pytest.fixture
def record():
    """A record with extra fields and an exception."""
    try:
        int("why")
    except ValueError:
        info = sys.exc_info()
    made = logging.LogRecord("server.x", logging.WARNING, "file.py", 1, "it %s", ("happened",), info)
    made.status = 500
    return made


def test_a_record_is_one_json_object(record):
    """Time in UTC, level, message, request id, extra fields and the stack trace in one line."""
    token = REQUEST_ID.set("the-id")
    line = JsonFormatter().format(record)
    REQUEST_ID.reset(token)
    assert "\n" not in line
    fields = json.loads(line)
    assert fields["time"].endswith("+00:00")
    assert (fields["level"], fields["logger"], fields["message"]) == ("warning", "server.x", "it happened")
    assert (fields["request_id"], fields["status"]) == ("the-id", 500)
    assert fields["exception"].endswith("ValueError")
    assert 'int("why")' in fields["exception"]


def test_text_is_for_people(record):
    """The same without the machinery, the stack trace below."""
    first, *trace = TextFormatter().format(record).splitlines()
    assert "warning" in first
    assert first.endswith("it happened status=500")
    assert trace[-1] == "ValueError"


@pytest.mark.parametrize(("log_format", "is_json"), [("json", True), ("auto", True), ("text", False)])
def test_logs_go_to_stderr_in_the_wanted_form(log_format, is_json):
    """Standard output stays free for data; what is not a terminal gets JSON."""
    script = (
        "import logging; from server.telemetry.logging import configure;"
        f"configure('info', '{log_format}'); logging.getLogger('server.a').info('hello');"
        "logging.getLogger('server.a').debug('not this'); logging.getLogger('uvicorn.access').error('nor this');"
        "logging.getLogger('python_multipart.multipart').warning('nor that')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert "hello" in line
    assert line.startswith("{") == is_json


def test_only_harmless_ids_are_taken_over():
    """Anything else is replaced by a new one each time."""
    assert accepted_or_new("A-z_0.9") == "A-z_0.9"
    assert accepted_or_new("a\nb") != accepted_or_new("a\nb")


def test_no_record_has_a_field_that_is_not_listed():
    """What is logged is a list that can be read, and the formatter writes nothing beside it."""
    given = set()
    for path in (Path(__file__).parents[2] / "server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "extra" and isinstance(node.value, ast.Dict):
                given |= {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
    assert "route" in given
    assert given <= FIELDS
    record = logging.makeLogRecord({"name": "server.x", "msg": "m", "filename_of_clip": "a.mp4", "route": "/v1"})
    assert set(json.loads(JsonFormatter().format(record))) == {"time", "level", "logger", "message", "route"}


def test_the_text_of_a_foreign_exception_is_not_logged():
    """It may hold bytes of a request: type and place are told; texts of our own errors are."""
    try:
        try:
            try:
                bytes([1]).decode("secret words")
            except LookupError as error:
                raise NoFace("no face in 3 frames") from error
        except NoFace:
            {}["secret key"]
    except KeyError:
        record = logging.makeLogRecord({"name": "server.x", "msg": "m", "exc_info": sys.exc_info()})
    written = json.loads(JsonFormatter().format(record))["exception"]
    kinds = [line for line in written.splitlines() if not line.startswith(" ")]
    assert kinds == ["LookupError", "NoFace: no face in 3 frames", "KeyError"]


def test_a_library_says_only_its_template():
    """Libraries put representations of objects, and so of requests, into what they say."""
    record = logging.makeLogRecord({"name": "asyncio", "msg": "Task failed\nfuture: <Task b'secret'>"})
    assert json.loads(JsonFormatter().format(record))["message"] == "Task failed"
    record = logging.makeLogRecord({"name": "uvicorn.error", "msg": "got %r", "args": (b"secret",)})
    assert json.loads(JsonFormatter().format(record))["message"] == "got %r"
    record = logging.makeLogRecord({"name": "uvicorn.error", "msg": ValueError("secret")})
    assert json.loads(JsonFormatter().format(record))["message"] == "ValueError"
