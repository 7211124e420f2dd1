"""A backup that deletes its Deployment afterwards does so with the rights of whoever asked. It only
backs up once the ways into that account have ended, if its address was not proved before.
"""

from typing import Any

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import earlier_access_ended
from apps.backups.models import UNFINISHED, Backup


def connect() -> None:
    """Connect to the signal of accounts. Called once, when the app is ready."""
    earlier_access_ended.connect(_end, dispatch_uid="delete nothing after backups")


def _end(sender: Any, user: User, **_: Any) -> list[str]:
    waiting = Backup.objects.filter(created_by=user, state__in=UNFINISHED, then_deletes=True)
    found = list(waiting.select_related("deployment__workspace__organization"))
    waiting.filter(pk__in=[one.pk for one in found]).update(then_deletes=False)
    for one in found:
        changes = {"deletes the Deployment": [True, False], "asked for by": [None, user.email]}
        record_on(
            action="backup.deletion_withdrawn", actor=None, on=one.deployment, changes=changes
        )
    return [f"the deletion of {one.deployment} after its backup" for one in found]
