from collections.abc import Mapping
from typing import Any

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.context import current_request

SYSTEM = "Astro Portal"


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
    """Write one audit event in the caller's transaction.

    `action` is `noun.verb` in the past (`deployment.created`). `changes` maps a field to `[before,
    after]`; the caller never passes a secret: it writes "replaced" instead.
    """
    context = current_request()
    return AuditEvent.objects.create(
        organization_id=organization_id,
        actor=actor,
        actor_label=actor.email if actor else SYSTEM,
        action=action,
        target_kind=target_kind,
        target_id=str(target_id),
        target_label=target_label[:200],
        changes=dict(changes or {}),
        address=context.address,
        request_id=context.request_id,
    )
