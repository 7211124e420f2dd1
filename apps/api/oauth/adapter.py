"""What a program is given on a person's word lasts no longer than the proofs that the person gave.

A code waits for its program for some minutes. When the password or a second factor is changed in
that time, because an account is taken back, the code is worth nothing.
"""

from typing import Any

from allauth.idp.oidc.adapter import DefaultOIDCAdapter
from django.conf import settings
from django.core.cache import cache
from django.utils.crypto import constant_time_compare

from apps.accounts.models import User
from apps.organizations.tokens.logins import proofs_of


class Adapter(DefaultOIDCAdapter):  # type: ignore[misc]  # allauth is untyped
    """Ties the codes of browsers on the same machine to the proofs, and has the portal's address
    from its settings: a client names the host of a request.
    """

    def get_issuer(self) -> str:
        return str(settings.PORTAL_URL)

    def get_user_sub(self, client: Any, user: User) -> str:
        return f"{super().get_user_sub(client, user)}:{proofs_of(user)}"

    def get_user_by_sub(self, client: Any, sub: str) -> User | None:
        number, _, proofs = sub.partition(":")
        user: User | None = super().get_user_by_sub(client, number)
        if user is None or not constant_time_compare(proofs, proofs_of(user)):
            return None
        return user


def note_device(*, device_code: str, user: User) -> None:
    """Note with which proofs a person confirms a machine without a browser."""
    cache.set(_key(device_code), proofs_of(user), timeout=settings.IDP_OIDC_DEVICE_CODE_EXPIRES_IN)


def is_device_confirmed(*, device_code: str, user: User) -> bool:
    """Return whether the proofs are still those with which the person confirmed the machine."""
    return constant_time_compare(str(cache.get(_key(device_code), "")), proofs_of(user))


def _key(device_code: str) -> str:
    return f"oauth:device-proofs:{device_code}"
