"""The page, the document and the explanations of problems."""

import re
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from server.api.rest.problems import explanations

EXAMPLES = 40


def late_at_most(_, response, __):
    """A deadline of no time is met by 504; nothing else may fail."""
    assert response.status_code < 500 or response.status_code == 504


CHECKS = [
    late_at_most,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


def test_the_page_needs_nothing_from_elsewhere(gateway):
    """Every asset comes from this service, and the policy makes browsers refuse any other."""
    page = gateway.client.get("/docs")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assets = [link for link in re.findall(r'(?:src|href)="([^"]+)"', page.text) if not link.startswith("data:")]
    assert len(assets) == 3
    for asset in assets:
        assert asset.startswith("/docs/")
        answer = gateway.client.get(asset)
        assert answer.status_code == 200
        assert len(answer.content) > 100
    assert "validatorUrl: null" in gateway.client.get("/docs/start.js").text
    assert gateway.client.get("/docs/other.js").status_code == 404


def test_every_problem_is_explained(gateway):
    """Each code has a page with its title, and the index names them all."""
    index = gateway.client.get("/problems").text
    for code, row in explanations().items():
        page = gateway.client.get(f"/problems/{code}")
        assert page.status_code == 200
        assert row.title in page.text
        assert f'"/problems/{code}"' in index
    assert gateway.client.get("/problems/none").status_code == 404


def test_the_document_tells_what_the_code_does(gateway):
    """Bodies read by hand, all representations and the problems are in it."""
    document = gateway.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    analyze = document["paths"]["/v1/analyze"]["post"]
    form = analyze["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["clip"]
    assert {"model", "faces", "onset_s", "apex_s", "kinds", "deadline_s"} <= set(form["properties"])
    representations = {"application/json", "text/csv", "image/png", "text/event-stream"}
    representations |= {"image/svg+xml", "application/pdf", "video/mp4", "text/x-eaf+xml", "application/x-ndjson"}
    assert set(analyze["responses"]["200"]["content"]) == representations
    for status in ("413", "415", "422", "429", "503", "504"):
        assert set(analyze["responses"][status]["content"]) == {"application/problem+json"}


def test_the_manual_names_everything(gateway):
    """Routes, options and problem codes with their statuses, as they are in the code."""
    manual = (Path(__file__).parents[3] / "docs" / "rest.md").read_text()
    document = gateway.client.get("/openapi.json").json()
    for path in document["paths"]:
        assert f" {path}`" in manual, path
    for parameter in document["paths"]["/v1/analyze"]["post"]["parameters"]:
        assert f"`{parameter['name']}`" in manual
    for code, row in explanations().items():
        assert re.search(rf"^\| {row.status} \|.*`{code}`", manual, re.MULTILINE), code


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_random_requests_are_answered_as_the_document_says(start, mode):
    """Whatever is sent, within the schema or outside, the answer is one that the document foresees."""
    gateway = start(limits={"upload_bytes": 65536})
    schema = schemathesis.openapi.from_url(f"{gateway.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 9
    for operation in operations:
        cases = operation.as_strategy(generation_mode=mode)

        @given(case=cases)
        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def holds(case):
            case.call_and_validate(checks=CHECKS)

        takes = operation.path.startswith("/v1/") and operation.path not in ("/v1/models", "/v1/live")
        if mode is GenerationMode.POSITIVE or takes:
            holds()
