"""The manual of limits is the one of the code."""

import re
from pathlib import Path

import grpc
import pytest

from server.api.rest.problems import explanations
from server.api.status import TABLE
from server.settings import load, rows

ROOT = Path(__file__).parents[1]
MANUAL = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|\n ").split(" | ")]
    for line in MANUAL.splitlines()
    if line.startswith("| ") and "`GLIMPSE_" in line
]
SETTINGS = {row.name: row for row in rows(load({}))}
NO_LIMITS = {
    *(f"GLIMPSE_SERVER__{name}" for name in ("HOST", "PORT", "GRPC_PORT", "GRPC_REFLECTION", "ALLOWED_ORIGINS")),
    "GLIMPSE_SERVER__DRAIN_SECONDS",
}
GRPC = {code: {row.grpc for kind, row in TABLE.items() if kind.code == code} for code in {k.code for k in TABLE}}
OF_THE_LIBRARY = {"header-too-large": "RESOURCE_EXHAUSTED", "upload-stalled": "DEADLINE_EXCEEDED"}
"""What gRPC says of problems that are of HTTP alone."""


def test_every_limit_is_in_the_manual():
    """Those of requests, of live streams, and of connections."""
    groups = ("GLIMPSE_LIMITS__", "GLIMPSE_LIVE__")
    wanted = {name for name in SETTINGS if name.startswith(groups)}
    bounds = {name for name in SETTINGS if re.match(r"GLIMPSE_SERVER__.*_(BYTES|SECONDS|CONNECTIONS)$", name)}
    assert (wanted | bounds | {"GLIMPSE_SERVER__CONNECTIONS"}) - NO_LIMITS <= {row[1] for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_the_manual_tells_what_the_code_does(row):
    """Default, code, statuses, and a test that exists."""
    _, setting, default, code, http, status, test = row
    assert default == str(SETTINGS[setting].default)
    if code != "-":
        assert explanations()[code].status == int(http)
    assert status == "-" or status in grpc.StatusCode.__members__
    if code in GRPC and status != "-":
        assert status in GRPC[code]
    if code in OF_THE_LIBRARY:
        assert status == OF_THE_LIBRARY[code]
    file, _, name = test.partition("::")
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), test
