"""Connections and variables that the portal keeps, read from a file that the data plane replaces,
and the backends that the file names, which are asked for what it does not hold.

Airflow asks here first, then its environment variables, then its own database. A changed file is
read at the next lookup, so nothing restarts. The file is replaced as a whole: a reader sees the old
one or the new one. One that is not there holds nothing.
"""

import json
import logging
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from airflow.secrets.base_secrets import BaseSecretsBackend

Stamp = tuple[int, int, int]
logger = logging.getLogger(__name__)
# By the types of the portal's form: the file names no class.
CLASSES = {
    "vault": ("airflow.providers.hashicorp.secrets.vault", "VaultBackend"),
    "aws-secrets-manager": (
        "airflow.providers.amazon.aws.secrets.secrets_manager",
        "SecretsManagerBackend",
    ),
    "aws-parameter-store": (
        "airflow.providers.amazon.aws.secrets.systems_manager",
        "SystemsManagerParameterStoreBackend",
    ),
    "gcp-secret-manager": (
        "airflow.providers.google.cloud.secrets.secret_manager",
        "CloudSecretManagerBackend",
    ),
    "azure-key-vault": (
        "airflow.providers.microsoft.azure.secrets.key_vault",
        "AzureKeyVaultBackend",
    ),
}
# The portal gives them to Airflow by variables, and other stores have no say in them.
PORTAL_CONNECTION = "portal_"


class PortalSecretsBackend(BaseSecretsBackend):
    def __init__(self, path: str = "", **_newer: Any) -> None:
        super().__init__()
        self._path = Path(path)
        self._stamp: Stamp | None = None
        self._objects: dict[str, Any] = {}
        self._backends: list[tuple[str, Any]] | None = None

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:
        connection = self._read("connections").get(conn_id)
        if connection is not None:
            return json.dumps(connection)
        if conn_id.lower().startswith(PORTAL_CONNECTION):
            return None
        return self._asked(lambda one: one.get_conn_value(conn_id))

    def get_variable(self, key: str, team_name: str | None = None) -> str | None:
        value = self._read("variables").get(key)
        if value is not None:
            return str(value)
        return self._asked(lambda one: one.get_variable(key))

    def get_config(self, key: str) -> str | None:
        return None

    def _asked(self, look: Callable[[Any], str | None]) -> str | None:
        """Ask the other backends in their order. One that fails is said in the log, and skipped."""
        if self._backends is None:
            self._backends = _made(self._objects.get("backends") or [])
        for name, backend in self._backends:
            try:
                found = look(backend)
            except Exception as error:  # noqa: BLE001 - whatever a provider raises; it may quote secrets
                logger.warning("The secrets backend %s failed: %s.", name, type(error).__name__)
                continue
            if found is not None:
                return found
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
            self._backends = None
        found: dict[str, Any] = self._objects.get(kind, {})
        return found


def _made(wanted: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Make the backends that can be made, and say why the others cannot."""
    found = []
    for one in wanted:
        module, name = CLASSES.get(str(one.get("type")), ("", ""))
        try:
            found.append((name, getattr(import_module(module), name)(**one["options"])))
        except ModuleNotFoundError as error:
            logger.warning(
                "%s is not used: this Airflow lacks %s. Add its provider to requirements.txt.",
                name,
                error.name,
            )
        except Exception as error:  # noqa: BLE001 - as above
            logger.warning("The secrets backend %s cannot be used: %s.", name, type(error).__name__)
    return found
