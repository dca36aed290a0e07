"""Which pages may open a live stream."""

import pytest

from server.api.ws.origins import admitted


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://a.example", "a.example"),
        ("http://a.example", "a.example:80"),
        ("https://A.example", "a.EXAMPLE:443"),
        ("https://a.example:443", "a.example"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_pages_of_the_service_itself_may(origin, host):
    """Whether or not the port of the scheme is written."""
    assert admitted(origin, host, ())


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://a.example:8080", "a.example"),
        ("https://a.example", "a.example:80"),
        ("http://b.a.example", "a.example"),
        ("http://a.example.evil", "a.example"),
        ("http://a.example:port", "a.example"),
        ("http://[", "["),
        ("http://", ""),
        ("a.example", "a.example"),
        ("", ""),
        ("null", "null"),
        ("*", "a.example"),
    ],
)
def test_others_may_not(origin, host):
    """Nor what is no origin at all."""
    assert not admitted(origin, host, ())


def test_what_is_allowed_may():
    """Whatever the case of its letters; an address is not the beginning of another one."""
    allowed = ("https://Lab.example", "null")
    assert admitted("https://lab.example", "a", allowed)
    assert admitted("null", "a", allowed)
    assert not admitted("https://lab.example:444", "a", allowed)
    assert admitted("https://evil.example", "a", ("*",))


def test_programs_may():
    """They send no origin, and a page cannot leave it out."""
    assert admitted(None, "a.example", ())
