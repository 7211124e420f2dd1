"""The gates of the REST API: a token in the `Authorization` header, and nothing else.

Cookies are ignored, so no page of another origin can call on a person's behalf and no CSRF token is
needed; no session is created. Refusals are `application/problem+json` (RFC 9457).
"""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from apps.access.catalogue import PERMISSIONS
from apps.core.gates import View
from apps.core.middleware import client_address
from apps.organizations.tokens.queries import Caller, TokenRefused, caller_of

# 32 random bytes cannot be guessed: this tells a caller that keeps trying to stop. Good tokens pass
# all the same, as many people may share an address.
BAD_TOKENS, BAD_TOKENS_SECONDS = 30, 60
READING = frozenset({"GET", "HEAD"})


def by_token(view: View) -> View:
    """Require a working token; its Caller becomes the argument `caller` of the view."""
    gate = _gate(view)
    gate.access_stamp = ("token", "", "")  # type: ignore[attr-defined]  # read by the view guard
    return gate


def scoped_by_token(model: Any, permission: str, *, by: str) -> Callable[[View], View]:
    """Load the object that the URL argument `by` names, as `scoped` does for pages: 404 for callers
    who may not see it, 403 for those who lack the permission.
    """
    if permission not in PERMISSIONS:
        raise ValueError(f"No such permission: {permission}")
    above = [path for path in model.access_paths.values() if path]

    def decorate(view: View) -> View:
        def load(request: HttpRequest, caller: Caller, **kwargs: Any) -> HttpResponseBase:
            seen = model.objects.visible_to(caller.user).select_related(*above)
            obj = seen.filter(**{by: kwargs.pop(by)}).first()
            if obj is None:
                return problem(request, HTTPStatus.NOT_FOUND, "Nothing that you may see is there.")
            if not caller.user.has_perm(permission, obj):
                message = f"This needs the permission {permission}, which the token does not have."
                return problem(request, HTTPStatus.FORBIDDEN, message)
            return view(request, caller, obj, **kwargs)

        gate = _gate(load)
        # Read by the view guard.
        gate.access_stamp = (model.access_scope, permission, "")  # type: ignore[attr-defined]
        return gate

    return decorate


def problem(request: HttpRequest, status: HTTPStatus, message: str) -> JsonResponse:
    """Return a problem document, with the id of the request as it is in the log."""
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": message,
        "request_id": getattr(request, "request_id", ""),
    }
    return JsonResponse(body, status=status, content_type="application/problem+json")


def _gate(view: View) -> View:
    @csrf_exempt
    @wraps(view)
    def gate(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        address = client_address(request)
        try:
            caller = caller_of(secret=_secret_of(request), address=address)
        except TokenRefused as error:
            return _refused(request, address, error)
        if request.method not in READING:
            message = "This is read only."
            response: HttpResponse = problem(request, HTTPStatus.METHOD_NOT_ALLOWED, message)
            response["Allow"] = ", ".join(sorted(READING))
            return response
        answer = view(request, caller, **kwargs)
        answer["Cache-Control"] = "no-store"
        return answer

    return gate


def _refused(request: HttpRequest, address: str, error: TokenRefused) -> HttpResponse:
    if _is_noisy(address):
        message = f"Too many bad tokens from this address. Wait {BAD_TOKENS_SECONDS} seconds."
        response: HttpResponse = problem(request, HTTPStatus.TOO_MANY_REQUESTS, message)
        response["Retry-After"] = str(BAD_TOKENS_SECONDS)
        return response
    _note_bad(address)
    response = problem(request, HTTPStatus.UNAUTHORIZED, error.message)
    response["WWW-Authenticate"] = 'Bearer realm="astro-portal"'
    return response


def _secret_of(request: HttpRequest) -> str:
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not secret.strip():
        raise TokenRefused("Send a token: “Authorization: Bearer astro_…”.")
    return secret.strip()


def _is_noisy(address: str) -> bool:
    return int(cache.get(_key(address)) or 0) >= BAD_TOKENS


def _note_bad(address: str) -> None:
    if not cache.add(_key(address), 1, BAD_TOKENS_SECONDS):
        try:
            cache.incr(_key(address))
        except ValueError:  # it ended between the two
            return


def _key(address: str) -> str:
    return f"api:bad-tokens:{address}"
