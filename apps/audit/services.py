from collections.abc import Iterator, Mapping
from typing import Any

from apps.accounts.models import User, UserKind
from apps.audit.digests import content, digest_of, json_of
from apps.audit.models import AuditEvent
from apps.audit.queries import events_of
from apps.audit.redaction import redacted
from apps.core.context import current_request

SYSTEM = "Astro Portal"
CHUNK = 2000
LONGEST_LABEL = 254


def record(
    *,
    action: str,
    actor: User | None,
    organization_id: int | None,
    target_kind: str,
    target_id: object,
    target_label: str,
    changes: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Write one audit event in the caller's transaction; its commit ties it to the one before.

    `action` is `noun.verb` in the past (`deployment.created`). `changes` maps a field to `[before,
    after]`; the caller never passes a secret: it writes "replaced" instead.
    """
    context = current_request()
    event = AuditEvent(
        organization_id=organization_id,
        actor=actor,
        actor_label=_label_of(actor),
        action=action,
        target_kind=target_kind,
        target_id=str(target_id),
        target_label=target_label[:200],
        changes=redacted(changes or {}),
        address=context.address,
        request_id=context.request_id,
    )
    event.digest = digest_of(event)
    event.save(force_insert=True)
    return event


def _label_of(actor: User | None) -> str:
    if actor is None:
        return current_request().caller or SYSTEM
    label = actor.email if actor.kind == UserKind.PERSON else f"API token {actor}"
    return f"{label} {current_request().means}".strip()[:LONGEST_LABEL]


def export_events(
    *, actor: User, organization_id: int, organization_name: str, filters: Mapping[str, Any]
) -> Iterator[str]:
    """Return an organization's events as lines of JSON, oldest first; the export is an event too.

    `filters` are those of `events_of`. Each line holds what is hashed, and the hashes.
    """
    record(
        action="audit.exported",
        actor=actor,
        organization_id=organization_id,
        target_kind="organization",
        target_id=organization_id,
        target_label=organization_name,
        changes={name: str(asked) for name, asked in filters.items() if asked},
    )
    events = events_of(organization_id=organization_id, **filters).order_by("sequence", "pk")
    return (_line(event) for event in events.iterator(chunk_size=CHUNK))


def _line(event: AuditEvent) -> str:
    chained = {
        "sequence": event.sequence,
        "previous_hash": event.previous_hash,
        "digest": event.digest,
        "hash": event.hash,
    }
    return json_of({**content(event), **chained}) + "\n"
