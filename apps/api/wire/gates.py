"""The gate of every operation: a token in the `Authorization` header, then the object, then the
permission on it.

Cookies are ignored, so no page of another origin can call on a person's behalf and no CSRF token is
needed; no session is created. What a caller may not see is not there: 404.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, wraps
from time import time as now
from typing import Any

from django.conf import settings
from django.core.cache import cache as kept
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from apps.access.queries import note_held, permission_limit, with_held
from apps.access.roles.catalogue import PERMISSIONS
from apps.access.scoped import PermissionMissing, require
from apps.api.wire.errors import (
    BAD_TOKENS_SECONDS,
    NotHere,
    TooManyBadTokens,
    TooManyCalls,
    permission_missing,
    refusal,
)
from apps.core.context import name_means
from apps.core.errors import PortalError
from apps.core.kept_queries import Asked, KeptRows, asked
from apps.core.public_ids import number_of
from apps.core.web.gates import View
from apps.core.web.middleware import client_address
from apps.deployments.models import Deployment, Phase
from apps.deploys.deliveries.queries import with_delivery
from apps.organizations.models import Organization, PersonalToken, Workspace
from apps.organizations.tokens.queries import Caller, TokenRefused, caller_of
from apps.organizations.workspaces.queries import organizations_of

# 32 random bytes cannot be guessed: this tells a caller that keeps trying to stop. Good tokens pass
# all the same, as many people may share an address.
BAD_TOKENS = 30
LONGEST_WORD = 60
# What the shape of a Deployment needs besides its workspace.
DEPLOYMENT_PARTS = ("cluster", "wanted__created_by", "applied", "created_by")


class Call(HttpRequest):
    """A request that came through the gate; `found` is the object that it is about."""

    caller: Caller
    organization: Organization
    found: Any


@dataclass(frozen=True)
class Gate:
    """Ask for a working token; below an organization, for one of that organization; and for a
    permission on an object where there is one.

    `model` is found by the argument `by` of the address: its public ID, or the value of a `field`.
    `adding` adds columns to the query that finds it.
    `permission` is "" where an operation filters by itself: lists, mostly. With `of_operators` the
    token has to be a personal one, without a limit, of an operator; others get 404.
    """

    permission: str = ""
    model: Any = None
    by: str = ""
    with_also: tuple[str, ...] = ()
    field: str = ""
    adding: Callable[[Any], Any] | None = None
    of_operators: bool = False

    def __post_init__(self) -> None:
        if self.permission and self.permission not in PERMISSIONS:
            raise ValueError(f"No such permission: {self.permission}")

    @property
    def access_stamp(self) -> tuple[str, str, str]:
        """What the view guard reads."""
        if self.of_operators:
            return ("operator", "", "")
        scope = self.model.access_scope if self.model else "organization"
        return (scope, self.permission, "") if self.permission else ("token", "", "")

    def __call__(self, request: Any) -> Caller:
        caller = request.caller = _caller(request)
        _limit(caller)
        if self.of_operators and not _is_operator(caller.user):
            raise NotHere
        name_means(means_of(caller, request))
        arguments = request.resolver_match.kwargs
        if "organizationId" in arguments:
            request.organization = _organization(caller, arguments["organizationId"])
        if self.model is not None:
            request.found = self._find(request, arguments)
        elif self.permission:
            require(user=caller.user, permission=self.permission, on=request.organization)
        return caller

    def _find(self, request: Any, arguments: dict[str, str]) -> Any:
        caller: Caller = request.caller
        organization = getattr(request, "organization", request.caller.organization)
        text = arguments[self.by]
        # Of an API token it is known already what it may do.
        is_person = caller.role is None
        found = rows_of(self, is_within=organization is not None, is_person=is_person).one(
            named=text if self.field else number_of(self.model.access_scope, text),
            organization=organization.pk if organization is not None else None,
            user=caller.user.pk,
        )
        if found is None or getattr(found, "phase", "") == Phase.DELETED:
            raise NotHere
        if is_person:
            note_held(user=caller.user, on=found)
        if not caller.user.has_perm(f"{self.model.access_scope}.view", found):
            raise NotHere
        require(user=caller.user, permission=self.permission, on=found)
        return found


@cache
def rows_of(gate: Gate, *, is_within: bool, is_person: bool) -> KeptRows[Any]:
    """Write the query of what a gate finds, with what a person holds on it; within an organization
    or, for a program that is signed in at an address without one, in any.
    """
    paths = gate.model.access_paths
    rows = gate.model.objects.select_related(*filter(None, paths.values()), *gate.with_also)
    rows = gate.adding(rows) if gate.adding else rows
    rows = with_held(rows, user_id=Asked("user")) if is_person else rows
    rows = rows.filter(**{gate.field or "pk": asked("named")})
    if is_within:
        rows = rows.filter(**{paths["organization"]: asked("organization")})
    return KeptRows(rows)


ANY_TOKEN = Gate()
OPERATORS = Gate(of_operators=True)


def in_organization(permission: str = "") -> Gate:
    """Let through tokens of the organization that the address names, with a permission on it."""
    return Gate(permission)


def on_workspace(permission: str) -> Gate:
    return Gate(permission, Workspace, "workspaceId")


def on_deployment(permission: str) -> Gate:
    """Load a Deployment with all that its shape needs."""
    return Gate(
        permission,
        Deployment,
        "deploymentId",
        with_also=DEPLOYMENT_PARTS,
        adding=with_delivery,
    )


def by_token_on_deployment(permission: str) -> Callable[[View], View]:
    """Require a working token and a permission on the Deployment whose `ref` is in the address, for
    a view that is no operation and may write. It gets the Caller and the Deployment.
    """
    ask = Gate(permission, Deployment, "ref", with_also=("applied", "cluster"), field="ref")

    def decorate(view: View) -> View:
        @csrf_exempt  # no cookie is read
        @wraps(view)
        def gate(request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                caller = ask(request)
                kwargs.pop("ref")
                answer = view(request, caller, request.found, *args, **kwargs)
            except PermissionMissing as error:
                return permission_missing(request, error)
            except PortalError as error:
                return refusal(request, error)
            answer["Cache-Control"] = "no-store"
            return answer

        gate.access_stamp = ask.access_stamp  # type: ignore[attr-defined]  # read by the view guard
        return gate

    return decorate


def by_token(view: View) -> View:
    """Require a working token for a view that only reads and is no operation. Its Caller becomes
    the argument `caller`.
    """

    @require_safe
    @wraps(view)
    def gate(request: HttpRequest) -> HttpResponseBase:
        try:
            caller = ANY_TOKEN(request)
        except PortalError as error:
            return refusal(request, error)
        answer = view(request, caller)
        answer["Cache-Control"] = "no-store"
        return answer

    gate.access_stamp = ANY_TOKEN.access_stamp  # type: ignore[attr-defined]  # read by the view guard
    return gate


def _caller(request: HttpRequest) -> Caller:
    # A client may send its body slowly, and the token be revoked meanwhile: who asks is looked up
    # once all has arrived. What is too big for memory is a file, which is read as it comes.
    with suppress(RequestDataTooBig):
        request.body  # noqa: B018 - Django keeps it
    address = client_address(request)
    try:
        return caller_of(secret=_secret_of(request), address=address)
    except TokenRefused:
        if _is_noisy(address):
            raise TooManyBadTokens from None
        _note_bad(address)
        raise


def means_of(caller: Caller, request: HttpRequest) -> str:
    """Say what a call is made with, for the audit log: the token, and the program by its own word.
    An API token is the actor itself.
    """
    token, program = caller.token, program_of(request)
    if isinstance(token, PersonalToken):
        named = f"by personal token {token.name}"
        return f"{named}, {program}" if program else named
    return f"by {program}" if program else ""


def program_of(request: HttpRequest) -> str:
    """Return how the calling program names itself and its version, "" where it does not."""
    kind = _word(request.headers.get("X-Astro-Client-Identifier", ""))
    if kind:
        version = _word(request.headers.get("X-Astro-Client-Version", ""))
        name = "astro-cli" if kind == "cli" else kind
        return f"{name}/{version}" if version else name
    return _word(request.headers.get("User-Agent", ""))


def _word(said: str) -> str:
    first = said.strip().partition(" ")[0]
    return "".join(one for one in first if one.isascii() and one.isprintable())[:LONGEST_WORD]


def _is_operator(user: Any) -> bool:
    """Return whether a token may do what takes no permission: one with a limit may not."""
    return getattr(user, "is_operator", False) and permission_limit(user) is None


def _limit(caller: Caller) -> None:
    """Count the calls of a token in this minute. Without a cache nothing is counted."""
    most = settings.API_CALLS_PER_MINUTE
    minute, second = divmod(int(now()), 60)
    key = f"api:calls:{caller.token._meta.model_name}:{caller.token.pk}:{minute}"
    if not most:
        return
    try:
        calls = kept.incr(key)
    except ValueError:  # the first one of this minute
        kept.add(key, 1, 120)
        return
    if calls > most:
        raise TooManyCalls(most, seconds=60 - second)


def _organization(caller: Caller, text: str) -> Organization:
    number, own = number_of("organization", text), caller.organization
    if own is None:
        own = organizations_of(user=caller.user).filter(pk=number).first()
    if own is None or own.pk != number:
        raise NotHere
    return own


def _secret_of(request: HttpRequest) -> str:
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not secret.strip():
        raise TokenRefused("Send a token: “Authorization: Bearer …”.")
    return secret.strip()


def _is_noisy(address: str) -> bool:
    return int(kept.get(_key(address)) or 0) >= BAD_TOKENS


def _note_bad(address: str) -> None:
    if not kept.add(_key(address), 1, BAD_TOKENS_SECONDS):
        try:
            kept.incr(_key(address))
        except ValueError:  # it ended between the two
            return


def _key(address: str) -> str:
    return f"api:bad-tokens:{address}"
