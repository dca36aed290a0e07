"""One line per record."""

import json
import logging
import subprocess
import sys

import pytest

from server.telemetry.context import REQUEST_ID, accepted_or_new
from server.telemetry.logging import JsonFormatter, TextFormatter


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
    assert "ValueError: invalid literal" in fields["exception"]


def test_text_is_for_people(record):
    """The same without the machinery, the stack trace below."""
    first, *trace = TextFormatter().format(record).splitlines()
    assert "warning" in first
    assert first.endswith("it happened status=500")
    assert trace[-1].startswith("ValueError: ")


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
