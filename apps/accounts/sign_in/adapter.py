import time
from typing import Any, ClassVar

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from django.conf import settings
from django.http import HttpResponse, HttpResponseForbidden
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.crypto import constant_time_compare

from apps.accounts.mail import deliver
from apps.accounts.models import UserKind
from apps.accounts.sessions.services import signed_in_lately
from apps.core.web.middleware import client_address
from apps.core.web.own_addresses import is_own_address

SERVICE_DOMAIN = "@tokens.invalid"
BEGUN_WITH = "sign_in_begun_with"


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth is untyped
    """Sign-in as the portal wants it: accounts come from invitations, redirects stay here."""

    error_messages: ClassVar[dict[str, Any]] = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": "The email address or password is incorrect.",
    }

    def is_open_for_signup(self, request: Any) -> bool:
        return False

    def requires_single_sign_on(self, request: Any, email: str) -> bool:
        """Return whether people with this address sign in through an identity provider alone."""
        return False

    def pre_login(self, request: Any, user: Any, **kwargs: Any) -> HttpResponse | None:
        if user.kind != UserKind.PERSON:
            return HttpResponseForbidden("API tokens cannot sign in.")
        response: HttpResponse | None = super().pre_login(request, user, **kwargs)
        if response is None:
            request.session[BEGUN_WITH] = user.get_session_auth_hash()
        return response

    def login(self, request: Any, user: Any) -> None:
        """Sign in, unless the password was changed since the first step: the second one may come a
        quarter of an hour later.
        """
        begun_with = request.session.pop(BEGUN_WITH, None)
        now = user.get_session_auth_hash()
        if begun_with is not None and not constant_time_compare(begun_with, now):
            raise ImmediateHttpResponse(redirect("account_login"))
        super().login(request, user)

    def is_safe_url(self, url: str | None) -> bool:
        return is_own_address(url or "")

    def get_reset_password_from_key_url(self, key: str) -> str:
        uid, _, secret = key.partition("-")
        address = {"uidb36": uid, "key": secret}
        path = reverse("account_reset_password_from_key", kwargs=address)
        return f"{settings.PORTAL_URL}{path}"

    def _get_login_attempts_cache_key(self, request: Any, **credentials: Any) -> str:
        # allauth counts wrong passwords per host as well, of which a client may name many.
        return str(credentials.get("email", "")).lower()

    def get_client_ip(self, request: Any) -> str:
        # The address that attempts are counted for is the one that the audit log has.
        return client_address(request)

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        return not signed_in_lately(self.request.session, now=time.time())

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        if email.endswith(SERVICE_DOMAIN):
            return  # never read
        message = self.render_mail(
            template_prefix, email, {"request": self.request, "email": email, **context}
        )
        deliver(message)
