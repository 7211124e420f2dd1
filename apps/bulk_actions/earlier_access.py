"""Actions on many Deployments that an account began end once the ways into that account have ended,
if its address was not proved before: whoever had it began them with its rights.
"""

from typing import Any

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import earlier_access_ended
from apps.bulk_actions.actions.catalogue import ACTIONS
from apps.bulk_actions.models import ActionState, BulkAction
from apps.bulk_actions.services import skip_rest


def connect() -> None:
    """Connect to the signal of accounts. Called once, when the app is ready."""
    earlier_access_ended.connect(_end, dispatch_uid="end bulk actions")


def _end(sender: Any, user: User, **_: Any) -> list[str]:
    rows = BulkAction.objects.filter(actor=user).exclude(state=ActionState.ENDED)
    related = ("organization", "workspace__organization")
    found = list(rows.select_for_update(of=("self",)).select_related(*related))
    for one in found:
        skip_rest(one)
        label = ACTIONS[one.kind].label
        changes = {"action": [label, None], "begun by": [None, user.email]}
        record_on(action="bulk_action.ended", actor=None, on=one.place, changes=changes)
    return [f"{ACTIONS[one.kind].label} for many Deployments of {one.place}" for one in found]
