"""The ticket that lets a portal user into an Airflow, signed by the portal, checked by its plugin.

Airflow holds the public key alone. A ticket is for one Deployment, one minute and one use; it
travels in the body of a form, never in an address, so that it is in no log and no browser history.
"""

import uuid
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

import jwt
from django.conf import settings

from apps.accounts.models import User
from apps.core.web.own_addresses import is_plain_path
from apps.deployments.models import Deployment

VALID_FOR = timedelta(seconds=60)
# The highest permission held decides the role, from most to least.
ROLES = (
    ("deployment.airflow.admin", "admin"),
    ("deployment.airflow.edit", "op"),
    ("deployment.airflow.run", "user"),
    ("deployment.airflow.view", "viewer"),
)


def airflow_role(*, user: User, deployment: Deployment) -> str:
    """Return Airflow's name for what the user may do there, empty when that is nothing."""
    held = (role for permission, role in ROLES if user.has_perm(permission, deployment))
    return next(held, "")


def sign_ticket(
    *, user: User, deployment: Deployment, role: str, session_id: str, now: datetime
) -> str:
    """Make the JWT that the portal's plugin in Airflow accepts (RFC 7519, EdDSA of RFC 8037).

    The plugin copies `session_id` into Airflow's session, so that it ends with the portal's.
    """
    claims: dict[str, Any] = {
        "sub": user.email,
        "name": user.name or user.email,
        "role": role,
        "portal_session": session_id,
        "iss": settings.PORTAL_URL,
        "aud": f"airflow:{deployment.ref}",
        "iat": now,
        "exp": now + VALID_FOR,
        "jti": uuid.uuid4().hex,
    }
    return jwt.encode(claims, settings.AIRFLOW_SIGN_IN_KEY, algorithm="EdDSA")


class AirflowSeen(Protocol):
    """What its address takes of a Deployment: of the model, or of a row of a list."""

    @property
    def ref(self) -> str: ...
    @property
    def observation(self) -> dict[str, Any]: ...


def airflow_url(deployment: AirflowSeen) -> str:
    """Return the address of a Deployment's Airflow, with a slash at its end."""
    seen = deployment.observation.get("ui_url") if deployment.observation else ""
    return f"{(seen or f'{settings.AIRFLOW_URL}/{deployment.ref}').rstrip('/')}/"


def path_in_airflow(target: str, *, base: str) -> str:
    """Keep the path and query of `target` if they lie in the Airflow at `base`; else return "".

    Airflow sends the whole requested address; a client may send anything.
    """
    if len(target) > 2_000 or "\\" in target or not target.isascii() or not target.isprintable():
        return ""
    try:
        parts = urlsplit(target)
    except ValueError:
        return ""
    is_inside = parts.path.startswith(urlsplit(base).path) and is_plain_path(parts.path)
    if not is_inside or " " in target:
        return ""
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
