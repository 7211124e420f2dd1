"""What an event's hash covers. The database computes the same hash at commit (migration 0002)."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

from apps.audit.models import AuditEvent


def content(event: AuditEvent) -> dict[str, Any]:
    """Return the content of an event, as it is hashed and exported."""
    return {
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "organization_id": event.organization_id,
        "actor_id": event.actor_id,
        "actor_label": event.actor_label,
        "action": event.action,
        "target_kind": event.target_kind,
        "target_id": event.target_id,
        "target_label": event.target_label,
        "changes": event.changes,
        "address": event.address,
        "request_id": event.request_id,
    }


def digest_of(event: AuditEvent) -> str:
    """Hash the content: SHA-256 of its JSON with sorted keys, no blanks, in ASCII."""
    return hashlib.sha256(json_of(content(event)).encode()).hexdigest()


def json_of(values: Mapping[str, Any]) -> str:
    """Write the one form of JSON that is hashed."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def link_of(*, previous_hash: str, sequence: int, digest: str) -> str:
    """Hash what ties an event to the one before it."""
    return hashlib.sha256(f"{previous_hash}:{sequence}:{digest}".encode()).hexdigest()
