"""Note what becomes of commits: when one is judged, and when its deploy has ended."""

from datetime import datetime, timedelta

from django.utils import timezone

from apps.deployments.models import Deployment, RevisionState
from apps.deploys.commit_states.shapes import FAILURE, PENDING, SUCCESS
from apps.deploys.models import (
    CommitState,
    Deploy,
    DeployState,
    GitRepository,
    Preview,
    PreviewState,
)

MOST_AGE = timedelta(days=7)
MOST_AT_ONCE = 200
_ENDS = {
    RevisionState.APPLIED: (SUCCESS, "It runs."),
    RevisionState.FAILED: (FAILURE, "It could not be applied."),
}
_REPLACED = (FAILURE, "Another deploy took its place.")
_PREVIEW_ENDS = {
    PreviewState.FAILED: (FAILURE, "Its packages or its code have to change."),
    PreviewState.DISCARDED: (FAILURE, "It was discarded."),
}


def note_commit(
    *,
    repository: GitRepository,
    deployment: Deployment,
    commit: str,
    state: str,
    description: str = "",
) -> None:
    """Note the state of a commit for one Deployment. Nothing where no token is there to report it
    with.
    """
    if not repository.state_token:
        return
    CommitState.objects.update_or_create(
        deployment=deployment,
        commit=commit,
        defaults={
            "repository": repository,
            "state": state,
            "description": description[:300],
            "attempts": 0,
            "next_at": timezone.now(),
            "last_error": "",
        },
    )


def follow_pending(*, now: datetime) -> int:
    """Give commits whose deploy or preview has ended their last state. Returns how many."""
    pending = CommitState.objects.filter(state=PENDING, created_at__gt=now - MOST_AGE)
    found = list(pending.order_by("created_at")[:MOST_AT_ONCE])
    changed = 0
    for one in found:
        ended = _deploy_end(one) or _preview_end(one)
        if ended:
            rows = CommitState.objects.filter(pk=one.pk, state=PENDING)
            changed += rows.update(state=ended[0], description=ended[1], attempts=0, next_at=now)
    return changed


def _deploy_end(one: CommitState) -> tuple[str, str] | None:
    deploys = Deploy.objects.filter(
        deployment=one.deployment_id, git_commit=one.commit, source=Deploy.Source.GIT
    )
    deploy = deploys.select_related("revision", "deployment__wanted").order_by("-number").first()
    if deploy is None:
        return None
    if deploy.revision is None:
        return None if deploy.state == DeployState.WAITING else (FAILURE, deploy.problem[:300])
    state, wanted = deploy.revision.state, deploy.deployment.wanted
    if state == RevisionState.SUPERSEDED:
        # A change of the configuration alone goes on with the same code.
        if wanted is None or wanted.code_digest != deploy.digest:
            return _REPLACED
        state = wanted.state
    return _ENDS.get(RevisionState(state))


def _preview_end(one: CommitState) -> tuple[str, str] | None:
    previews = Preview.objects.filter(
        deployment=one.deployment_id, origin__commit=one.commit, source=Deploy.Source.GIT
    )
    state = previews.order_by("-number").values_list("state", flat=True).first()
    return _PREVIEW_ENDS.get(PreviewState(state)) if state else None
