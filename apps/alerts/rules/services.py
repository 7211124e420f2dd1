"""Creating, changing, switching and deleting rules."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.alerts.channels.models import Channel
from apps.alerts.rules.models import Rule


@transaction.atomic
def save_rule(*, actor: User, rule: Rule, channels: Iterable[Channel]) -> Rule:
    """Create or change a rule. One that is new or has another kind tells what happens from now on.

    `channels` are those that its place can use.
    """
    before = Rule.objects.select_for_update().filter(pk=rule.pk).first() if rule.pk else None
    if before is None:
        rule.created_by = actor
    if before is None or before.kind != rule.kind or not before.is_enabled:
        rule.since = timezone.now()
    rule.save()
    rule.channels.set(channels)
    after = rule.as_changes() | {"channels": ", ".join(sorted(one.name for one in channels))}
    old = before.as_changes() if before else {}
    changes = {
        name: [old.get(name), after.get(name)]
        for name in sorted(after.keys() | old.keys())
        if old.get(name) != after.get(name)
    }
    _record("updated" if before else "created", actor, rule, changes)
    return rule


@transaction.atomic
def switch_rule(*, actor: User, rule: Rule, is_enabled: bool) -> None:
    """Switch a rule on or off. What happened while it was off is not told."""
    if rule.is_enabled == is_enabled:
        return
    rule.is_enabled = is_enabled
    if is_enabled:
        rule.since = timezone.now()
    rule.save(update_fields=["is_enabled", "since"])
    _record("updated", actor, rule, {"is_enabled": [not is_enabled, is_enabled]})


@transaction.atomic
def delete_rule(*, actor: User, rule: Rule) -> None:
    """Delete a rule, its alerts and the log of their messages."""
    _record("deleted", actor, rule, {"name": [rule.name, None]})
    rule.delete()


def _record(what: str, actor: User, rule: Rule, changes: dict[str, Any]) -> None:
    labelled = {"rule": [None, rule.name], **changes}
    record_on(action=f"alert_rule.{what}", actor=actor, on=rule.place, changes=labelled)
