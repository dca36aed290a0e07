"""A file of keys for tests, and what is counted of callers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.access import key_file


@dataclass
class Keys:
    """Keys of a file by their names."""

    path: Path
    by_name: dict[str, str] = field(default_factory=dict)

    def make(self, name: str, *scopes: str, **chosen: Any) -> str:
        """One more."""
        self.by_name[name] = key_file.create(self.path, name, list(scopes), **chosen)
        return self.by_name[name]

    def revoke(self, name: str) -> None:
        """One less."""
        key_file.revoke(self.path, name)

    def bearer(self, name: str) -> dict[str, str]:
        """The header of one."""
        return {"authorization": f"Bearer {self.by_name[name]}"}

    @property
    def settings(self) -> dict[str, Any]:
        """Those of a service that takes them, and soon notices what has changed."""
        return {"keys_file": str(self.path), "reload_seconds": 0.1}
