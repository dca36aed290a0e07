"""The whole OpenAPI document against a running service, with real clips and pictures and with anything else."""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from bench.fuzz import seeds
from bench.fuzz.answers import of_http
from bench.fuzz.bombard import SETTINGS
from bench.live_service import service

EXAMPLES = int(os.environ.get("EXAMPLES", "60"))
"""Of each operation; `make fuzz` asks for more."""
load_all_checks()
NOT_OURS = {
    # Some ask for what this document does not have: authentication, resources that are made and deleted.
    "ignored_auth",
    "use_after_free",
    "ensure_resource_availability",
    # What is right by the schema may still be no video, name no model, or contradict itself.
    "positive_data_acceptance",
    # A number in a query is text; several spellings of one are right although the generator means them as wrong.
    "negative_data_rejection",
    # A deadline of no time is met by 504; `typed` knows which errors of the service are foreseen.
    "not_a_server_error",
}


def typed(_, response, __):
    """What may be answered at all."""
    kind = (response.headers.get("content-type") or [""])[0]
    assert not of_http(response.status_code, kind, response.content).fault


@pytest.fixture(scope="module")
def document():
    """The schema, as the service tells it."""
    media = st.sampled_from([*seeds.clips().values(), *seeds.pictures().values()])
    schemathesis.openapi.format("binary", st.one_of(media, st.binary(max_size=200)))
    with service(**SETTINGS) as running:
        yield schemathesis.openapi.from_url(f"{running.url}/openapi.json")


def test_every_check_that_applies_is_made():
    """What is left out is left out by name."""
    assert set(CHECKS.get_all_names()) >= NOT_OURS
    assert len(CHECKS.get_all_names()) - len(NOT_OURS) >= 7
    assert "response_schema_conformance" not in NOT_OURS


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_operation_is_answered_as_the_document_says(document, mode):
    """Status, type, headers and schema of each answer, and no error of the service."""
    checks = [typed, *(check for check in CHECKS.get_all() if check.__name__ not in NOT_OURS)]
    for found in document.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def holds(case):
            case.call_and_validate(checks=checks)

        takes = operation.query or operation.path_parameters or operation.body
        if mode is GenerationMode.POSITIVE or takes:
            holds()
