"""What the local data plane must know of its surroundings: databases, edge, timeouts."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from apps.dataplane.errors import Permanent
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import embedded_databases

# What `LocalConfig.from_environment` reads; a process that calls it needs no other of our settings.
SETTINGS = (
    "DATABASE_URL",
    "REDIS_URL",
    "PORTAL_AIRFLOW_URL",
    "PORTAL_EDGE_HOST",
    "PORTAL_SCALE_DOWN_SECONDS",
    "PORTAL_TASK_LOG_DAYS",
    "PORTAL_PARSE_LOG_HOURS",
    "PORTAL_HISTORY_DAYS",
    "PORTAL_PACKAGE_INDEX_URL",
    "PORTAL_PACKAGE_INDEX_NETWORKS",
)
RUNTIME_FOLDER = Path(__file__).resolve().parents[3] / "runtime"


@dataclass(frozen=True, kw_only=True)
class LocalConfig:
    """`database_url` is of a role that may create roles and databases; `broker_url` has no database
    number; `portal_number` is the one that the portal's own jobs are in.

    `edge_url` is the address at which browsers reach all Airflows, without a slash at its end.
    `package_index` is where packages come from, empty for what uv is configured with.
    `package_index_networks` are those that package indexes of people may lie in besides public and
    private ones.
    """

    database_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    edge_url: str
    portal_number: int = 0
    runtime_folder: Path = RUNTIME_FOLDER
    python: str = sys.executable
    start_timeout_seconds: int = 300
    scale_down_seconds: int = 30
    task_log_days: int = 30
    parse_log_hours: int = 24
    history_days: int = 365
    package_index: str = field(default="", repr=False)
    package_index_networks: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, home: Home) -> "LocalConfig":
        """Read `SETTINGS`, with defaults from the home.

        Raises Permanent when the home was never prepared.
        """
        try:
            database_url = os.environ.get("DATABASE_URL") or embedded_databases.database_url(home)
            broker_url = os.environ.get("REDIS_URL") or embedded_databases.redis_url(home)
            edge_url = edge_url_of(home)
        except FileNotFoundError as error:
            raise Permanent(
                "The services of this machine have not been started yet: run `make run`."
            ) from error
        return cls(
            database_url=database_url,
            broker_url=urlunsplit(urlsplit(broker_url)._replace(path="")),
            portal_number=_database_number(broker_url),
            edge_url=edge_url.rstrip("/"),
            scale_down_seconds=int(os.environ.get("PORTAL_SCALE_DOWN_SECONDS") or 30),
            task_log_days=int(os.environ.get("PORTAL_TASK_LOG_DAYS") or 30),
            parse_log_hours=int(os.environ.get("PORTAL_PARSE_LOG_HOURS") or 24),
            history_days=int(os.environ.get("PORTAL_HISTORY_DAYS") or 365),
            package_index=os.environ.get("PORTAL_PACKAGE_INDEX_URL", ""),
            package_index_networks=_words(os.environ.get("PORTAL_PACKAGE_INDEX_NETWORKS", "")),
        )

    def broker(self, number: int) -> str:
        """Return the broker's URL with a database number."""
        return f"{self.broker_url}/{number}"


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for one in text.split(",") if (word := one.strip()))


def _database_number(broker_url: str) -> int:
    number = urlsplit(broker_url).path.strip("/")
    return int(number) if number.isdecimal() else 0


def edge_url_of(home: Home) -> str:
    """Return the address under which browsers reach the Airflows of this machine."""
    if url := os.environ.get("PORTAL_AIRFLOW_URL"):
        return url
    host = os.environ.get("PORTAL_EDGE_HOST") or "localhost"
    if host in ("127.0.0.1", "0.0.0.0", "::", "::1"):  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"http://{host}:{embedded_databases.edge_port(home)}"
