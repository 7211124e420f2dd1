"""Credentials with which nodes pull the images of one Deployment from the portal's registry.

They are not stored: a text that the portal signs names the Deployment and the end. All that are
made within six hours are the same text, so that what is rendered does not change with every look,
and each works for a day: a node may need an image while the portal is away.
"""

import base64
import hashlib
import json
from datetime import datetime

import jwt
from django.conf import settings
from django.utils.encoding import force_bytes

ROBOT = "portal-robot"
STEP_SECONDS, LASTS_SECONDS = 6 * 3600, 24 * 3600
AUDIENCE = "registry-pull"
ALGORITHM = "HS256"
LONGEST = 1_000


def repository_of(ref: str) -> str:
    """Return where the registry keeps the images of a Deployment."""
    return f"deployments/{ref}"


def push_target(ref: str) -> str:
    """Return where people push the images of a Deployment, registry first; empty without one."""
    return f"{settings.REGISTRY}/{repository_of(ref)}" if settings.REGISTRY else ""


def pull_credential(*, ref: str, now: datetime) -> str:
    """Return a password for the user `ROBOT` that pulls the images of a Deployment alone."""
    begins = period_of(now) * STEP_SECONDS
    claims = {"aud": AUDIENCE, "sub": ref, "iat": begins, "exp": begins + LASTS_SECONDS}
    return jwt.encode(claims, _key(settings.SECRET_KEY), ALGORITHM)


def period_of(now: datetime) -> int:
    """Return the number of the six hours in which all credentials of a Deployment are the same."""
    return int(now.timestamp()) // STEP_SECONDS


def ref_in_credential(text: str, *, now: datetime) -> str:
    """Return for which Deployment a password is; empty where it has ended or is none."""
    if len(text) > LONGEST:
        return ""
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return next(filter(None, (_ref_in(text, _key(key), now) for key in keys)), "")


def pull_config(*, ref: str, now: datetime) -> str:
    """Return the `.dockerconfigjson` with which nodes pull the images of a Deployment from the
    portal's registry, the same for six hours; empty where the portal has no registry.

    Source: Pull an Image from a Private Registry, Kubernetes documentation.
    """
    if not settings.REGISTRY:
        return ""
    return docker_config(
        registry=settings.REGISTRY, user=ROBOT, password=pull_credential(ref=ref, now=now)
    )


def docker_config(*, registry: str, user: str, password: str) -> str:
    """Return a `.dockerconfigjson` with the credential for one registry."""
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    entry = {"username": user, "password": password, "auth": auth}
    return json.dumps({"auths": {registry: entry}}, sort_keys=True)


def _ref_in(text: str, key: bytes, now: datetime) -> str:
    options = {"verify_exp": False, "verify_iat": False, "require": ["exp", "sub"]}
    try:
        claims = jwt.decode(text, key, algorithms=[ALGORITHM], audience=AUDIENCE, options=options)  # type: ignore[arg-type]  # any of them
    except jwt.InvalidTokenError:
        return ""
    return str(claims["sub"]) if now.timestamp() < claims["exp"] else ""


def _key(secret: str | bytes) -> bytes:
    """Derive a key of its own, so that nothing else that is signed can pass for a credential."""
    return hashlib.sha256(b"astro-portal.registry-pull." + force_bytes(secret)).digest()
