from django.db.models import Q, QuerySet

from apps.audit.models import NO_ORGANIZATION, AuditChain, AuditEvent


def events_of(
    *, organization_id: int, actor: str = "", action: str = "", target: str = ""
) -> QuerySet[AuditEvent]:
    """List an organization's events, newest first.

    `actor` is part of an address, `action` starts the name of the action, `target` is part of the
    label of what was changed, or its kind.
    """
    events = AuditEvent.objects.filter(organization_id=organization_id)
    if actor:
        events = events.filter(actor_label__icontains=actor)
    if action:
        events = events.filter(action__startswith=action)
    if target:
        events = events.filter(Q(target_label__icontains=target) | Q(target_kind=target.lower()))
    return events.order_by("-id")


def events_in_chain(chain: AuditChain) -> QuerySet[AuditEvent]:
    """Select the events that a chain ties together."""
    organization_id = None if chain.pk == NO_ORGANIZATION else chain.pk
    return AuditEvent.objects.filter(organization_id=organization_id)
