"""Send what providers were not told yet. One that fails is tried again later and later, half a day.

A row is claimed by moving its `next_at` into the future, so two workers do not send it at the same
time, and a worker that is killed is followed by another.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F
from django.urls import reverse

from apps.core.encryption.crypto import SecretUnreadable
from apps.core.errors import PortalError
from apps.core.outbound.guarded_http import Answer, ExchangeFailed, Guard, Reach, post
from apps.deployments.models import Phase
from apps.deploys.commit_states.shapes import Report, Request, is_repeated, request_for
from apps.deploys.git.credentials import open_secret
from apps.deploys.git.servers.remotes import remote_of
from apps.deploys.models import CommitState

logger = logging.getLogger(__name__)

SECONDS, MOST_BYTES = 10.0, 16 * 1024
CLAIM = timedelta(minutes=2)
MOST_AT_ONCE, MOST_ATTEMPTS = 20, 12
FIRST_WAIT, LONGEST_WAIT = 30, 2 * 3_600
AGE = timedelta(days=30)


class ReportRefused(PortalError):
    """The provider did not take the state of a commit."""


def send_due(*, now: datetime) -> int:
    """Send what is due; return how many were sent."""
    due = CommitState.objects.exclude(sent_state=F("state")).filter(
        next_at__lte=now, attempts__lt=MOST_ATTEMPTS, deployment__phase=Phase.ACTIVE
    )
    return sum(
        send(pk=pk, now=now)
        for pk in due.order_by("next_at").values_list("pk", flat=True)[:MOST_AT_ONCE]
    )


def send(*, pk: int, now: datetime) -> bool:
    """Send one state, unless another worker does; return whether the provider took it."""
    rows = CommitState.objects.filter(pk=pk)
    if not rows.filter(next_at__lte=now).update(next_at=now + CLAIM, attempts=F("attempts") + 1):
        return False
    one = rows.select_related("repository", "deployment").get()
    try:
        _send(one)
    except PortalError as error:
        wait = min(FIRST_WAIT * 2 ** (one.attempts - 1), LONGEST_WAIT)
        # A new state that was noted meanwhile begins anew.
        rows.filter(state=one.state).update(
            last_error=error.message[:500], next_at=now + timedelta(seconds=wait)
        )
        logger.info("state of a commit not reported", extra={"repository": one.repository_id})
        return False
    rows.update(sent_state=one.state, last_error="")
    rows.filter(state=one.state).update(attempts=0)
    return True


def remove_old(*, now: datetime) -> int:
    """Forget commits of a month ago. Returns how many."""
    count, _ = CommitState.objects.filter(created_at__lt=now - AGE).delete()
    return count


def _send(one: CommitState) -> None:
    request = _request(one)
    reach = Reach(
        networks=tuple(settings.GIT_NETWORKS),
        setting="PORTAL_GIT_NETWORKS",
        allows_http=False,
        ca=settings.GIT_CA,
    )
    guard = Guard(reach=reach, seconds=SECONDS, most_bytes=MOST_BYTES)
    try:
        answer = post(request.url, body=request.body, headers=request.headers, guard=guard)
    except ExchangeFailed as error:
        raise ReportRefused(
            f"The provider could not be told the state of a commit. {error.message}"
        ) from None
    _ensure_taken(one, answer)


def _request(one: CommitState) -> Request:
    repository, deployment = one.repository, one.deployment
    try:
        token = open_secret(repository, "state_token")
    except SecretUnreadable:
        token = ""
    request = None
    if token:
        page = reverse("deploys:list", args=[deployment.ref])
        report = Report(
            commit=one.commit,
            state=one.state,
            key=deployment.ref,
            name=f"Deploy to {deployment.name}",
            description=one.description,
            url=f"{settings.PORTAL_URL}{page}",
        )
        request = request_for(
            report,
            provider=repository.provider,
            remote=remote_of(repository.url),
            username=repository.username,
            token=token,
        )
    if request is None:
        raise ReportRefused("There is no token to report with. Enter it again.")
    return request


def _ensure_taken(one: CommitState, answer: Answer) -> None:
    if 200 <= answer.status < 300:
        return
    if is_repeated(one.repository.provider, answer.status, answer.body):
        return
    if answer.status in (401, 403):
        raise ReportRefused("The provider refuses the token for states of commits. Replace it.")
    if answer.status == 404:
        raise ReportRefused(
            "The provider does not know the repository, or the token may not see it. Replace the "
            "token by one that may set states of commits."
        )
    raise ReportRefused(f"The provider answered {answer.status} to the state of a commit.")
