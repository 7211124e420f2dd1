"""Sealing and opening the secret part of a stored value."""

import json
from typing import Any

from apps.core.encryption.keys import key_ring
from apps.environment.objects.models import Stored
from apps.environment.objects.values import merged, names_in


def seal(row: Stored, secret: dict[str, Any]) -> None:
    """Put a secret part into a row, which is not saved."""
    row.secret_fields = names_in(secret)
    row.sealed = (
        key_ring().seal(value=json.dumps(secret), identity=row.identity("sealed"))
        if secret
        else None
    )


def secret_of(row: Stored) -> dict[str, Any]:
    """Open the secret part of a row; empty where it has none. Raises SecretUnreadable."""
    if not row.sealed:
        return {}
    text = key_ring().open(sealed=bytes(row.sealed), identity=row.identity("sealed"))
    found: dict[str, Any] = json.loads(text)
    return found


def whole(row: Stored) -> dict[str, Any]:
    """Return a value with its secrets. Raises SecretUnreadable."""
    return merged(row.plain, secret_of(row))
