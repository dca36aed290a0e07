"""Networks by name: those that the modules beside this one register as `NETWORKS`."""

from __future__ import annotations

import importlib
import pkgutil

import export.networks
from export.networks.network import Network
from server.errors import OptionError


def _registered() -> dict[str, Network]:
    found: dict[str, Network] = {}
    for module in sorted(each.name for each in pkgutil.iter_modules(export.networks.__path__)):
        if module == __name__.rpartition(".")[2]:
            continue
        for network in getattr(importlib.import_module(f"{export.networks.__name__}.{module}"), "NETWORKS", ()):
            if network.name in found:
                raise RuntimeError(f"two networks are called {network.name!r}")
            found[network.name] = network
    return found


NETWORKS: dict[str, Network] = _registered()


def find_network(name: str) -> Network:
    """The network called `name`. Raises `OptionError`, naming those that exist."""
    try:
        return NETWORKS[name]
    except KeyError:
        raise OptionError(f"no network {name!r}; there are: {', '.join(sorted(NETWORKS))}", option="arch") from None
