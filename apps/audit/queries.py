from datetime import date

from django.db.models import Q, QuerySet

from apps.audit.models import NO_ORGANIZATION, AuditChain, AuditEvent


def events_of(
    *,
    organization_id: int,
    actor: str = "",
    action: str = "",
    target: str = "",
    since: date | None = None,
    until: date | None = None,
) -> QuerySet[AuditEvent]:
    """List an organization's events, newest first.

    `actor` is part of an address, `action` starts the name of the action, `target` is part of the
    label of what was changed, or its kind. `since` and `until` are the first and the last day, in
    the current time zone.
    """
    events = AuditEvent.objects.filter(organization_id=organization_id)
    if actor:
        events = events.filter(actor_label__icontains=actor)
    if action:
        events = events.filter(action__startswith=action)
    if target:
        events = events.filter(Q(target_label__icontains=target) | Q(target_kind=target.lower()))
    if since:
        events = events.filter(at__date__gte=since)
    if until:
        events = events.filter(at__date__lte=until)
    return events.order_by("-id")


def events_in_chain(chain: AuditChain) -> QuerySet[AuditEvent]:
    """Select the events that a chain ties together."""
    organization_id = None if chain.pk == NO_ORGANIZATION else chain.pk
    return AuditEvent.objects.filter(organization_id=organization_id)
