"""Rules, alerts, dashboard and manual speak of the metrics that there are."""

import itertools
import json
import re
from pathlib import Path

import grpc
import promql_parser
import pytest
import yaml

from helm.dashboard.__main__ import text
from server.api.status import TABLE
from server.telemetry.certificates import CertificateMetrics
from server.telemetry.metrics import Metrics, outcome_of
from tests.triton_metrics import OF_GPUS, OF_TRITON

ROOT = Path(__file__).parents[2]
FILES = ROOT / "helm" / "glimpse" / "files"
GROUPS = yaml.safe_load((FILES / "rules.yaml").read_text(encoding="utf-8"))["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
PANELS = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))["panels"]
TARGETS = [target["expr"].replace("$__rate_interval", "1m") for panel in PANELS for target in panel.get("targets", ())]
QUERIES = [rule["expr"] for rule in RULES] + TARGETS
CASES = [
    case
    for file in (ROOT / "tests" / "ops" / "rules").glob("*.yaml")
    for case in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
]
MANUAL = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
OF_PROMETHEUS = {"up", "ALERTS"}
OF_CONTAINERS = {"glimpse_container_memory_bytes", "glimpse_container_memory_limit_bytes"}


@pytest.fixture(scope="module")
def told():
    """The type of each metric of the service by its name, with those of TLS and of containers."""
    metrics = Metrics()
    metrics.set_limits(queued=1, inflight=1, streams=1, worker_bytes=1)
    CertificateMetrics(metrics.registry)
    types = {family.name: family.type for family in metrics.registry.collect()}
    named = {f"{name}_total" if kind == "counter" else name: kind for name, kind in types.items()}
    return named | dict.fromkeys(OF_CONTAINERS, "gauge")


def names_in(query):
    """The metrics that a query asks for."""
    found = []

    def look(node):
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node.name)
        return True

    promql_parser.walk(promql_parser.parse(query), pre_visit=look)
    return set(found)


def series(told):
    """Every name under which the service tells something."""
    ends = {"histogram": ("_bucket", "_sum", "_count")}
    return {name + end for name, kind in told.items() for end in ends.get(kind, ("",))}


def test_every_query_asks_for_what_there_is(told):
    """Rules and panels parse, and name metrics of the service, of Triton, of Prometheus, or what a rule records."""
    known = series(told) | RECORDED | OF_TRITON | OF_GPUS | OF_PROMETHEUS
    assert {name for query in QUERIES for name in names_in(query)} - known == set()


def test_no_metric_is_told_for_nobody(told):
    """Each metric of the service is asked for by a rule or a panel, and each recorded one too."""
    asked = {name for query in QUERIES for name in names_in(query)}
    used = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} | asked
    assert {name for name in told if name.startswith("glimpse_")} - used == set()
    assert RECORDED - asked == set()


def test_the_manual_has_every_metric(told):
    """With its type, and none that is not there."""
    rows = dict(re.findall(r"^\| `(glimpse_\w+)` \| (\w+) \|", MANUAL, re.MULTILINE))
    assert rows == {name: kind for name, kind in told.items() if name.startswith("glimpse_")}


def test_the_manual_has_every_alert():
    """With its severity and its summary, in the order of the file."""
    rows = re.findall(r"^\| \[(Glimpse\w+)\]\(runbooks\.md#(\w+)\) \| (\w+) \| (.+) \|$", MANUAL, re.MULTILINE)
    wanted = [
        (rule["alert"], rule["alert"].lower(), rule["labels"]["severity"], rule["annotations"]["summary"])
        for rule in ALERTS
    ]
    assert rows == wanted


def test_every_alert_has_its_entry_in_the_runbooks():
    """Under its name, with its severity; no entry is of an alert that is gone; links lead to it."""
    text = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    entries = re.findall(r"^## (\w+)\n\*(\w+)\.\*", text, re.MULTILINE)
    assert entries == [(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS]
    for rule in ALERTS:
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}"
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    for title in itertools.chain.from_iterable(re.findall(r"\*([A-Z][^*?]+\?)\*", part) for part in text.split("## ")):
        assert " ".join(title.split()) in {panel["title"] for panel in PANELS}


def test_every_alert_is_tried_both_ways():
    """Some case of promtool has it fire, and some other has it silent."""
    tried = [(test["alertname"], bool(test["exp_alerts"])) for case in CASES for test in case["alert_rule_test"]]
    assert sorted(tried) == sorted((rule["alert"], fires) for rule in ALERTS for fires in (True, False))


def test_failed_is_what_the_service_calls_so():
    """The rules and the metric by caller draw the same line, for every status that there is."""
    (failed,) = {rule["expr"] for rule in RULES if rule.get("record") == "route:glimpse_requests_failed:rate5m"}
    pattern = re.compile(re.search(r'status=~"([^"]+)"', failed)[1])
    statuses = {*map(str, range(200, 600)), *(code.name for code in grpc.StatusCode), "1000", "1008", "1009", "1011"}
    statuses |= {str(status.close) for status in TABLE.values() if hasattr(status, "close")} | {"1013", "4408"}
    assert {status for status in statuses if pattern.fullmatch(status)} == {
        status for status in statuses if outcome_of(status) == "failed"
    }


def test_the_dashboard_is_what_the_program_writes():
    """Nobody has edited the one and not the other: `python -m helm.dashboard`."""
    assert (FILES / "dashboard.json").read_text(encoding="utf-8") == text()


def test_panels_lie_side_by_side():
    """No two share a place or a number, every one fits into the columns, and each asks with a question mark."""
    places = set()
    for panel in PANELS:
        at = panel["gridPos"]
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert not cells & places
        assert at["x"] + at["w"] <= 24
        places |= cells
        assert panel["type"] == "row" or panel["title"].endswith("?")
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
