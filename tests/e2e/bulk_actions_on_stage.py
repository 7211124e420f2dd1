"""Actions on many Deployments: one that is prepared and one that stopped with a failure."""

from typing import Any

from apps.bulk_actions import services
from apps.bulk_actions.models import ActionState, BulkAction, BulkItem, ItemState
from apps.bulk_actions.queries import Filter, candidates


def bulk_actions_on_stage(*, workspace: Any, author: Any) -> dict[str, int]:
    """Return the primary keys of a draft for the organization and a stopped one of a workspace."""
    organization = workspace.organization
    draft = _prepared(author, organization)
    stopped = _prepared(author, workspace)
    items = list(BulkItem.objects.filter(action=stopped).order_by("position"))
    for item, state in zip(
        items, (ItemState.DONE, ItemState.FAILED, ItemState.RUNNING), strict=False
    ):
        item.state, item.message = state, "The scheduler did not start. " * 8
        item.save()
    rows = BulkAction.objects.filter(pk=stopped.pk)
    rows.update(
        state=ActionState.STOPPED, stop_reason="etl-prod failed.", began_at=stopped.created_at
    )
    return {"draft": draft.pk, "stopped": stopped.pk}


def _prepared(author: Any, place: Any) -> BulkAction:
    return services.prepare(
        actor=author,
        place=place,
        kind="variable",
        parameters={"name": "A_VARIABLE_WITH_A_RATHER_LONG_NAME" * 3, "value": "v" * 300},
        deployments=candidates(user=author, place=place, wanted=Filter()),
    )
