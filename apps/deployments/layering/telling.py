"""Whom a change of a layer reaches is told to people who see them. Whoever may change a cluster or
an organization need not see what its workspaces have.
"""

from collections.abc import Sequence

from apps.accounts.models import User
from apps.deployments.layering.services import Place, Reached
from apps.deployments.models import Deployment


def told_to(*, user: User, place: Place, reached: Sequence[Reached]) -> tuple[list[Reached], int]:
    """Return those that a person sees, and how many others there are. Operators, who alone change
    the layer of the portal, are told all of them.
    """
    if place is None:
        return list(reached), 0
    rows = Deployment.objects.visible_to(user)
    seen = set(
        rows.filter(pk__in=[one.deployment.pk for one in reached]).values_list("pk", flat=True)
    )
    told = [one for one in reached if one.deployment.pk in seen]
    return told, len(reached) - len(told)
