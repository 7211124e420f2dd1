"""Connections and variables that the portal keeps, read from a file that the data plane replaces.

Airflow asks here first, then its environment variables, then its own database. A changed file is
read at the next lookup, so nothing restarts. The file is replaced as a whole: a reader sees the old
one or the new one. One that is not there holds nothing.
"""

import json
from pathlib import Path
from typing import Any

from airflow.secrets.base_secrets import BaseSecretsBackend

Stamp = tuple[int, int, int]


class PortalSecretsBackend(BaseSecretsBackend):
    def __init__(self, path: str = "", **_newer: Any) -> None:
        super().__init__()
        self._path = Path(path)
        self._stamp: Stamp | None = None
        self._objects: dict[str, Any] = {}

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:
        connection = self._read("connections").get(conn_id)
        return None if connection is None else json.dumps(connection)

    def get_variable(self, key: str, team_name: str | None = None) -> str | None:
        value = self._read("variables").get(key)
        return None if value is None else str(value)

    def get_config(self, key: str) -> str | None:
        return None

    def _read(self, kind: str) -> dict[str, Any]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return {}
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            # The stamp is of before: a file that is replaced meanwhile is read again.
            self._objects = json.loads(self._path.read_text() or "{}")
            self._stamp = stamp
        found: dict[str, Any] = self._objects.get(kind, {})
        return found
