"""The one way to begin a session that does not begin at a page of allauth."""

from allauth.account.adapter import get_adapter
from django.http import HttpRequest, HttpResponse

from apps.accounts.models import User


def start_session(
    request: HttpRequest, user: User, *, bypasses_single_sign_on: bool = False
) -> HttpResponse | None:
    """Sign a person in; return the page that refuses it instead, None when they are signed in.

    The adapter decides, as it does for passwords and passkeys: closed accounts, API tokens, and
    people whose domain enforces single sign-on do not get in.
    """
    refusal = refusal_of(request, user, bypasses_single_sign_on=bypasses_single_sign_on)
    if refusal is not None:
        return refusal
    get_adapter(request).login(request, user)
    return None


def refusal_of(
    request: HttpRequest, user: User, *, bypasses_single_sign_on: bool = False
) -> HttpResponse | None:
    """Return the page that says why a person cannot begin a session here, None if they can."""
    response: HttpResponse | None = get_adapter(request).pre_login(
        request,
        user,
        email_verification="none",
        signal_kwargs={"bypasses_single_sign_on": bypasses_single_sign_on},
        email=None,
        signup=False,
        redirect_url=None,
    )
    return response
