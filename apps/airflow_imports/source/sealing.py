"""What of an import is secret."""

import json
from dataclasses import asdict, dataclass, field

from apps.airflow_imports.models import AirflowImport
from apps.core.encryption.keys import key_ring


@dataclass(frozen=True, kw_only=True)
class ImportSecrets:
    """The password of the server, and Fernet keys, the newest first."""

    password: str = field(default="", repr=False)
    fernet_keys: tuple[str, ...] = field(default=(), repr=False)


def seal_secrets(row: AirflowImport, secrets: ImportSecrets) -> bytes:
    """Return secrets sealed for a row."""
    text = json.dumps(asdict(secrets))
    return key_ring().seal(value=text, identity=row.identity("sealed"))


def open_secrets(row: AirflowImport) -> ImportSecrets:
    """Return the secrets of a row. Raises SecretUnreadable."""
    sealed = bytes(row.sealed or b"")
    found = json.loads(key_ring().open(sealed=sealed, identity=row.identity("sealed")))
    return ImportSecrets(password=found["password"], fernet_keys=tuple(found["fernet_keys"]))
