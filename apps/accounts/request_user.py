from typing import cast

from django.http import HttpRequest

from apps.accounts.models import User


def request_user(request: HttpRequest) -> User:
    """Return the signed-in person; only for views behind a gate that requires sign-in."""
    return cast(User, request.user)
