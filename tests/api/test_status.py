"""The table from errors to statuses."""

import grpc

from server import errors
from server.api.status import TABLE, status_of


def tree(kind):
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def test_every_error_has_a_row_of_its_own():
    """A new class of the tree must be given its statuses."""
    ours = {kind for kind in tree(errors.GlimpseError) if kind.__module__ == "server.errors"}
    assert len(ours) > 20
    assert set(TABLE) == ours


def test_rows_are_statuses_that_exist():
    """HTTP errors and names of gRPC codes."""
    names = {code.name for code in grpc.StatusCode}
    for kind, status in TABLE.items():
        assert 400 <= status.http < 600, kind
        assert status.grpc in names, kind
        assert status.advice.endswith("."), kind


def test_an_error_of_another_module_is_read_as_its_parent():
    """A subclass without a row has the row of the class above it."""

    class Torn(errors.TruncatedMedia):
        """Local to this test."""

    assert status_of(Torn("x")) is TABLE[errors.TruncatedMedia]
    assert status_of(Torn) is TABLE[errors.TruncatedMedia]


def test_classes_that_share_a_code_share_their_status():
    """One problem code never has two statuses."""
    seen = {}
    for kind, status in TABLE.items():
        assert seen.setdefault(kind.code, (status.http, status.retryable)) == (status.http, status.retryable), kind
