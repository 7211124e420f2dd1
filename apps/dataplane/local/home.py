"""The one folder that holds all state of a portal on this machine.

A portal has no state elsewhere, so two homes are two portals, and removing the folder removes
everything.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path


def default_home() -> Path:
    """Name the folder used without PORTAL_HOME: root keeps it where other users may traverse."""
    if os.geteuid() == 0:
        return Path("/var/lib/astro-portal")
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/astro-portal"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "astro-portal"


@dataclass(frozen=True)
class Home:
    """Paths below PORTAL_HOME. Pure: `machine.embedded_databases.prepare_home` creates them."""

    path: Path

    @classmethod
    def from_environment(cls) -> "Home":
        value = os.environ.get("PORTAL_HOME", "")
        return cls(Path(value).expanduser().resolve() if value else default_home())

    @property
    def ports(self) -> Path:
        """JSON object: name of a listener → TCP port, chosen once and remembered."""
        return self.path / "ports.json"

    @property
    def keys(self) -> Path:
        """Secrets of the portal itself, one file each, 0600."""
        return self.path / "keys"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """Sockets, pid files and locks: nothing here outlives a restart of the machine."""
        return self.path / "run"

    @property
    def programs(self) -> Path:
        """One supervisord file per program, 0600."""
        return self.path / "programs"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def valkey(self) -> Path:
        return self.path / "valkey"

    @property
    def bundles(self) -> Path:
        """Uploaded code archives of the default file storage."""
        return self.path / "bundles"

    @property
    def runtimes(self) -> Path:
        """One folder per runtime: its uv environment and `progress.json`."""
        return self.path / "runtimes"

    @property
    def deployments(self) -> Path:
        """One folder per Deployment, named by its ref."""
        return self.path / "deployments"

    @property
    def edge_routes(self) -> Path:
        """JSON object: Deployment ref → port of its Airflow API server."""
        return self.path / "edge-routes.json"
