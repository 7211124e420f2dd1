"""What an account asked to promote is withdrawn once the ways into that account have ended, if its
address was not proved before: whoever had it asked with its rights.
"""

from typing import Any

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import earlier_access_ended
from apps.deploys.models import UNDER_WAY, Promotion, PromotionState


def connect() -> None:
    """Connect to the signal of accounts. Called once, when the app is ready."""
    earlier_access_ended.connect(_end, dispatch_uid="withdraw promotions")


def _end(sender: Any, user: User, **_: Any) -> list[str]:
    waiting = Promotion.objects.filter(created_by=user, state__in=UNDER_WAY)
    found = list(waiting.select_related("deployment__workspace__organization"))
    waiting.filter(pk__in=[one.pk for one in found]).update(state=PromotionState.WITHDRAWN)
    for one in found:
        change = {"promotion": [one.number, None], "asked for by": [None, user.email]}
        record_on(
            action="deployment.promotion_withdrawn", actor=None, on=one.deployment, changes=change
        )
    return [f"the promotion of {one.source_name} to {one.deployment}" for one in found]
