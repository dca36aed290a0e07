"""Rules and alerts, as Prometheus's own tool reads and tries them."""

import subprocess
from pathlib import Path

import pytest

from tests.ops.tools import needs

pytestmark = pytest.mark.ops
ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm" / "glimpse" / "files" / "rules.yaml"


def promtool(*arguments):
    """Its status, and what it says."""
    needs("promtool")
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_rules_are_well_formed():
    """`promtool check rules` has nothing to say, lint included."""
    status, told = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert status == 0, told


@pytest.mark.parametrize("file", sorted((Path(__file__).parent / "rules").glob("*.yaml")), ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_not_else(file):
    """Each on series made for it, with labels and texts; each on others that come near, where it is silent."""
    status, told = promtool("test", "rules", file)
    assert status == 0, told
