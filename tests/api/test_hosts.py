"""By which names a service may be asked."""

import pytest

from server.api.hosts import Hosts

LOOPBACK = ["127.0.0.1", "127.0.0.2", "::1", "localhost"]


@pytest.mark.parametrize("address", LOOPBACK)
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8080",
        "[::1]:8080",
        "localhost",
        "LOCALHOST:8080",
        "localhost.",
        "page.localhost",
        "192.168.1.7",
        None,
    ],
)
def test_addresses_and_localhost_may(address, host):
    """No page of elsewhere has such a name; and who sends none is no browser."""
    assert Hosts(address, ()).admits(host)


@pytest.mark.parametrize("address", LOOPBACK)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8080@localhost",
        "localhost@evil.example",
        "evil.example/localhost",
        "evil.example\\.localhost",
        "localhost:port",
        "[::1",
        "x",
        "",
    ],
)
def test_other_names_may_not_on_loopback(address, host):
    """A page that has its own name point here is not taken for one of this service."""
    assert not Hosts(address, ()).admits(host)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::", "192.168.1.7"])
def test_a_list_holds_everywhere(address):
    """Its names may, whatever the case and port; others may not."""
    hosts = Hosts(address, ("Glimpse.example",))
    assert hosts.admits("glimpse.EXAMPLE:443")
    assert hosts.admits("10.0.0.1")
    assert not hosts.admits("evil.example")
    assert not hosts.admits("a.glimpse.example")


@pytest.mark.parametrize(("address", "allowed"), [("0.0.0.0", ()), ("10.0.0.1", ()), ("127.0.0.1", ("*",))])
def test_without_a_list_elsewhere_and_with_a_star_anything_may(address, allowed):
    """The service cannot know how others call it, or was told not to care."""
    assert Hosts(address, allowed).admits("evil.example")
