"""Upgrades that an account confirmed and that changed nothing yet are cancelled once the ways into
that account have ended, if its address was not proved before: whoever had it confirmed with its
rights.
"""

from typing import Any

from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import earlier_access_ended
from apps.upgrades.models import Upgrade, UpgradeState


def connect() -> None:
    """Connect to the signal of accounts. Called once, when the app is ready."""
    earlier_access_ended.connect(_end, dispatch_uid="cancel upgrades")


def _end(sender: Any, user: User, **_: Any) -> list[str]:
    states = (UpgradeState.WAITING, UpgradeState.BACKING_UP)
    waiting = Upgrade.objects.filter(confirmed_by=user, state__in=states)
    found = list(waiting.select_related("deployment__workspace__organization"))
    waiting.filter(pk__in=[one.pk for one in found]).update(
        state=UpgradeState.CANCELLED, ended_at=timezone.now()
    )
    for one in found:
        changes = {"runtime": [one.source, one.target], "confirmed by": [None, user.email]}
        record_on(action="upgrade.cancelled", actor=None, on=one.deployment, changes=changes)
    return [f"the upgrade of {one.deployment} to {one.target}" for one in found]
