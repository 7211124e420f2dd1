"""Answer a client of the registry: who is it, and what of what it asks for may it?

A repository that is unknown, one of others, and one on which the right is missing are all the same:
left out of the token. The registry then refuses, and says nothing else.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from apps.accounts.models import User
from apps.audit.services import record
from apps.core.errors import PortalError
from apps.deployments.models import Deployment, Phase
from apps.deployments.secrets.pulling import ref_in_credential, repository_of
from apps.organizations.models import Organization, PersonalToken
from apps.organizations.tokens.queries import Caller, TokenRefused, caller_of
from apps.registry.attempts import count, counted
from apps.registry.scopes import Asked, scopes_in
from apps.registry.signing import TOKEN_SECONDS, Access, signed_token

logger = logging.getLogger(__name__)
BAD_SIGN_INS = 30
# Images that the operator offers to all who may sign in, such as copies of the runtimes.
SHARED = "runtime/"
# Which repositories besides its own a Deployment pulls from, by its ref. The app of deploys, which
# is above this one, puts its query of what was promoted here when it is ready.
PULLED_BESIDES: list[Callable[[str], set[str]]] = []
NEEDED = {"pull": "deployment.view", "push": "deployment.deploys.create"}


class NoRegistry(PortalError):
    def __init__(self) -> None:
        super().__init__("This portal has no registry: its operator has not set PORTAL_REGISTRY.")


class WrongService(PortalError):
    def __init__(self) -> None:
        super().__init__(
            f"The service of a token must be {settings.REGISTRY}: set it as auth.token.service in "
            "the registry's configuration."
        )


class TooManySignIns(PortalError):
    """An address or a token asks too often in this minute."""

    def __init__(self) -> None:
        super().__init__("Too many sign-ins to the registry within a minute. Wait a minute.")


@dataclass(frozen=True)
class Issued:
    token: str
    seconds: int
    issued_at: datetime


def issue_token(
    *, secret: str, service: str, scopes: Iterable[str], address: str, now: datetime
) -> Issued:
    """Return a token with what the holder of a secret may do of what is asked for. The secret is an
    API token, a personal token, or a pull credential of a Deployment.

    Raises TokenRefused and TooManySignIns; to those who may sign in NoRegistry and WrongService.
    """
    ref = ref_in_credential(secret, now=now)
    if ref:
        _limit(f"robot:{ref}")
        _check_service(service)
        subject, access = f"robot of {ref}", _access_of_robot(ref, scopes_in(scopes))
    else:
        caller = _caller(secret, address)
        _check_service(service)
        subject, access = f"user {caller.user.pk}", _access_of(caller, scopes_in(scopes))
    return Issued(signed_token(subject=subject, access=access, now=now), TOKEN_SECONDS, now)


def _check_service(service: str) -> None:
    if not settings.REGISTRY:
        raise NoRegistry
    if service != settings.REGISTRY:
        raise WrongService


def _caller(secret: str, address: str) -> Caller:
    try:
        caller = caller_of(secret=secret, address=address)
    except TokenRefused as error:
        _note_refused(address, error)
        raise
    _limit(f"calls:{caller.token._meta.model_name}:{caller.token.pk}")
    return caller


def _limit(key: str) -> None:
    most = settings.API_CALLS_PER_MINUTE
    if most and count(key) > most:
        raise TooManySignIns


def _note_refused(address: str, error: TokenRefused) -> None:
    """Count what was refused, and record the first of each minute. A good token passes all the
    same, as many people may share an address.
    """
    key = f"refused:{address}"
    if counted(key) >= BAD_SIGN_INS:
        raise TooManySignIns
    if count(key) > 1:
        return
    logger.warning("sign-in to the registry refused", extra={"address": address})
    record(
        action="registry.sign_in_refused",
        actor=None,
        organization_id=None,
        target_kind="registry",
        target_id="",
        target_label=settings.REGISTRY,
        changes={"reason": error.message},
    )


def _access_of(caller: Caller, asked: list[Asked]) -> list[Access]:
    named = {one.repository for one in asked}
    deployments = {repository_of(one.ref): one for one in _deployments(caller.organization, named)}
    access = []
    for one in asked:
        deployment = deployments.get(one.repository)
        if deployment is not None:
            may = [action for action in one.actions if _may(caller.user, action, deployment)]
        else:
            may = _of_shared(one, may_push=_speaks_for_operator(caller))
        if may:
            access.append(Access(one.repository, tuple(may)))
    return access


def _speaks_for_operator(caller: Caller) -> bool:
    """Say whether the token may all that an operator may: not one that is limited."""
    limits = caller.token.permissions if isinstance(caller.token, PersonalToken) else None
    return caller.user.is_operator and limits is None


def _deployments(
    organization: Organization | None, repositories: Iterable[str]
) -> list[Deployment]:
    """Return those that are named, of an organization or of all."""
    refs = [name.rpartition("/")[2] for name in repositories]
    rows = Deployment.objects.filter(ref__in=refs)
    if organization is not None:
        rows = rows.filter(workspace__organization=organization)
    return list(rows.exclude(phase=Phase.DELETED).select_related("workspace__organization"))


def _may(user: User, action: str, deployment: Deployment) -> bool:
    return all(
        user.has_perm(permission, deployment) for permission in {"deployment.view", NEEDED[action]}
    )


def _of_shared(asked: Asked, *, may_push: bool) -> list[str]:
    if not asked.repository.startswith(SHARED):
        return []
    return [action for action in asked.actions if action == "pull" or may_push]


def _access_of_robot(ref: str, asked: list[Asked]) -> list[Access]:
    is_there = Deployment.objects.filter(ref=ref).exclude(phase=Phase.DELETED).exists()
    own = {repository_of(ref)} if is_there else set()
    if is_there and {one.repository for one in asked} - own:
        own = own.union(*(query(ref) for query in PULLED_BESIDES))
    return [
        Access(one.repository, ("pull",))
        for one in asked
        if "pull" in one.actions
        and is_there
        and (one.repository in own or one.repository.startswith(SHARED))
    ]
