"""`python -m helm.dashboard` writes the Grafana dashboard of the chart anew.

Panels are said in the modules beside this one; here is what Grafana 10.4 and newer want of each (schema version 39),
and their layout, which follows from their order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helm.dashboard import insight, machine, service
from helm.dashboard.panel import Panel

OUT = Path(__file__).parents[1] / "glimpse" / "files" / "dashboard.json"
ROWS = {**service.ROWS, **insight.ROWS, **machine.ROWS}
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24


def dashboard() -> dict[str, Any]:
    """The whole document."""
    return {
        "uid": "glimpse",
        "title": "Glimpse",
        "tags": ["glimpse"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": _variables()},
        "panels": list(_panels()),
    }


def _variables() -> list[dict[str, Any]]:
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}}
    return [
        source,
        _variable("namespace", "Namespace", "label_values(glimpse_build_info, namespace)"),
        _variable("job", "Job", 'label_values(glimpse_build_info{namespace=~"$namespace"}, job)'),
    ]


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        # Also where nobody has such a label, as without Kubernetes.
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for title, panels in ROWS.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"h": 1, "w": _COLUMNS, "x": 0, "y": y},
        }
        y += 1
        x, height = 0, 0
        for panel in panels:
            if x + panel.wide > _COLUMNS:
                x, y, height = 0, y + height, 0
            number += 1
            tall = 4 if panel.wide < 8 else 8
            yield _drawn(panel, number, {"h": tall, "w": panel.wide, "x": x, "y": y})
            x, height = x + panel.wide, max(height, tall)
        y += height


def _drawn(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    custom: dict[str, Any] = {}
    options: dict[str, Any]
    if panel.kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value"}
    else:
        custom = {
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 5,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "off" if panel.warn is None and panel.bad is None else "dashed"},
        }
        options = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": _thresholds(panel), "custom": custom},
            "overrides": [],
        },
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "editorMode": "code",
                "expr": expr,
                "legendFormat": legend,
            }
            for index, (legend, expr) in enumerate(panel.queries)
        ],
    }


def _thresholds(panel: Panel) -> dict[str, Any]:
    """From green to red; for what must not be less than `bad`, the other way round."""
    less_is_bad = panel.kind == "stat" and panel.warn is None
    steps: list[dict[str, Any]] = [
        {"color": "red" if less_is_bad and panel.bad is not None else "green", "value": None}
    ]
    if panel.warn is not None:
        steps.append({"color": "orange", "value": panel.warn})
    if panel.bad is not None:
        steps.append({"color": "green" if less_is_bad else "red", "value": panel.bad})
    return {"mode": "absolute", "steps": steps}


def text() -> str:
    """The document as it is committed."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    OUT.write_text(text(), encoding="utf-8")
