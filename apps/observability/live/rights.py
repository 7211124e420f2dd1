"""Whether a stream may be opened, and may go on. These functions ask the database."""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass

from apps.accounts.sessions.services import open_session
from apps.deployments.models import Deployment, Phase
from apps.observability.live.tickets import Ticket


@dataclass(frozen=True)
class Claim:
    """A session that wants what needs a permission on a Deployment."""

    session_id: str
    deployment_id: int
    permission: str


def claim_of(ticket: Ticket) -> Claim:
    return Claim(ticket.session_id, ticket.deployment_id, ticket.permission)


def granted(claim: Claim) -> str:
    """Return the digest of the session of a good claim, by which its end is told; "" for a claim
    that holds no more: the session or the role ended, or the Deployment was deleted.
    """
    session = open_session(session_id=claim.session_id, now=time.time())
    if session is None:
        return ""
    above = Deployment.objects.select_related("workspace__organization")
    found = above.exclude(phase=Phase.DELETED).filter(pk=claim.deployment_id).first()
    if found is None or not session.user.has_perm(claim.permission, found):
        return ""
    return hashlib.sha256(session.key.encode()).hexdigest()


def refused(claims: Iterable[Claim]) -> set[Claim]:
    """Return the claims that hold no more."""
    return {claim for claim in claims if not granted(claim)}
