"""DAGs that an account let run and that are still paused stay so once the ways into that account
have ended, if its address was not proved before: whoever had it asked with its rights.
"""

from typing import Any

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import earlier_access_ended
from apps.airflow_imports.models import AirflowImport


def connect() -> None:
    """Connect to the signal of accounts. Called once, when the app is ready."""
    earlier_access_ended.connect(_end, dispatch_uid="unpause nothing of imports")


def _end(sender: Any, user: User, **_: Any) -> list[str]:
    asked = AirflowImport.objects.filter(
        unpaused_by=user, unpause__asked__isnull=False, unpause__done__isnull=True
    )
    found = list(asked.select_related("workspace__organization"))
    asked.filter(pk__in=[one.pk for one in found]).update(unpause={}, unpaused_by=None)
    for one in found:
        changes = {"import": [one.name, one.name], "asked for by": [None, user.email]}
        record_on(action="import.unpause_withdrawn", actor=None, on=one.workspace, changes=changes)
    return [f"unpausing the DAGs of {one}" for one in found]
