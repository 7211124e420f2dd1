from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.utils.http import url_has_allowed_host_and_scheme


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Sign-in as the portal wants it: accounts come from invitations, redirects stay here."""

    def is_open_for_signup(self, request: Any) -> bool:
        return False

    def is_safe_url(self, url: str | None) -> bool:
        return url_has_allowed_host_and_scheme(
            url or "",
            allowed_hosts={self.request.get_host()},
            require_https=self.request.is_secure(),
        )
