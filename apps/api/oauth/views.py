import json
from typing import Any
from urllib.parse import urlencode, urlsplit

from allauth.core.internal import ratelimit
from allauth.idp.oidc import views as allauth
from allauth.idp.oidc.internal.oauthlib import device_codes
from allauth.idp.oidc.models import Client
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from oauthlib.oauth2.rfc6749.errors import OAuth2Error  # type: ignore[import-untyped]  # has none
from oauthlib.oauth2.rfc8628.errors import AccessDenied  # type: ignore[import-untyped]  # has none

from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in_first
from apps.api.oauth.adapter import is_device_confirmed, note_device
from apps.api.oauth.client import CLIENT_ID, NAME, SCOPE, ensure_client
from apps.api.wire.gates import by_token, program_of
from apps.core.public_ids import public_id
from apps.core.web.gates import open_to_all, signed_in_only
from apps.core.web.middleware import client_address
from apps.organizations.tokens.logins import (
    LoginEnded,
    check_login,
    end_login_of,
    make_tokens,
    note_login,
)
from apps.organizations.tokens.queries import Caller

AUDIENCE = "astro-portal"
# What Go writes for a program that says nothing.
UNNAMED = "Go-http-client"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
# What a client may ask for and is not done: people sign in as always, and allow all or nothing.
IGNORED = ("prompt", "scope", "audience", "claims", "max_age", "id_token_hint", "resource")


@open_to_all
@require_GET
def auth_config(request: HttpRequest) -> HttpResponse:
    """Tell the CLI where to sign in."""
    ensure_client()
    config = {
        "clientId": CLIENT_ID,
        "audience": AUDIENCE,
        "domainUrl": f"{settings.PORTAL_URL}/login/",
    }
    return JsonResponse(config)


@signed_in_only
@fresh_sign_in_first
@never_cache
@require_http_methods(["GET", "POST"])
def authorize(request: HttpRequest) -> HttpResponse:
    """Ask the person whether a program may act for them, and send the answer to the program."""
    ensure_client()
    if request.method == "GET":
        _ask_for_all(request)
    response: HttpResponse = allauth.authorization(request)
    address = response.get("Location", "")
    if urlsplit(address).hostname in LOOPBACK:
        # Not with a redirect: browsers apply `form-action` to redirects.
        return render(request, "idp/oidc/leaving.html", {"program": NAME, "url": address})
    return response


@csrf_exempt
@open_to_all
@never_cache
@require_POST
def token(request: HttpRequest) -> HttpResponse:
    """Give tokens for a code, for a refresh token, or for a device that a person confirmed."""
    try:
        notes = check_login(refresh_token=request.POST.get("refresh_token", ""))
    except LoginEnded as error:
        refused = {"error": "invalid_grant", "error_description": error.message}
        return JsonResponse(refused, status=400)
    with transaction.atomic():
        is_device = request.POST.get("grant_type") == Client.GrantType.DEVICE_CODE
        response: HttpResponse = _for_device(request) if is_device else allauth.token(request)
        if response.status_code == 200:
            made = json.loads(response.content)
            note_login(
                tokens=[made[name] for name in ("access_token", "refresh_token") if name in made],
                notes=notes,
                program=_program(request),
                address=client_address(request),
            )
    return response


@csrf_exempt
@open_to_all
@require_POST
def revoke(request: HttpRequest) -> HttpResponse:
    """Sign a program out, by either of its tokens (RFC 7009)."""
    end_login_of(token=request.POST.get("token", ""))
    return HttpResponse(status=200)


@by_token
def userinfo(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Say who is signed in."""
    user = caller.user
    return JsonResponse(
        {"sub": public_id("user", user.pk), "email": user.email, "name": user.name or user.email}
    )


@csrf_exempt
@open_to_all
@never_cache
@require_POST
def device_code(request: HttpRequest) -> HttpResponse:
    """Begin the sign-in of a program on a machine without a browser."""
    ensure_client()
    if not ratelimit.consume(request, action="device_code", app="allauth.idp.oidc"):
        return JsonResponse({"error": "slow_down"}, status=429)
    _set(request, "POST", scope=SCOPE)
    response: HttpResponse = allauth.device_code(request)
    if response.status_code != 200:
        return response
    # allauth takes its own address from the request.
    begun = json.loads(response.content)
    page = f"{settings.PORTAL_URL}{reverse('idp:oidc:device_authorization')}"
    begun["verification_uri"] = page
    begun["verification_uri_complete"] = f"{page}?{urlencode({'code': begun['user_code']})}"
    return JsonResponse(begun)


@signed_in_only
@fresh_sign_in_first
@never_cache
@require_http_methods(["GET", "POST"])
def device(request: HttpRequest) -> HttpResponse:
    """Ask for the code that such a machine shows, and whether it may be signed in."""
    if request.method == "POST":
        _note_proofs(request)
    response: HttpResponse = allauth.device_authorization(request)
    return response


def _note_proofs(request: HttpRequest) -> None:
    found = cache.get(device_codes.cache_user_code_key(request.GET.get("code", "")))
    state = cache.get(device_codes.cache_device_code_key(found)) if found else None
    if state and state["granted"] is None:
        note_device(device_code=found, user=request_user(request))


def _for_device(request: HttpRequest) -> HttpResponse:
    """Answer a machine without a browser, which asks until its person has confirmed.

    Not by allauth's view: with oauthlib 4 that ends in an error once the person has.
    """
    try:
        user, _ = device_codes.poll_device_code(request)
        if not is_device_confirmed(device_code=request.POST["device_code"], user=user):
            raise AccessDenied
    except OAuth2Error as error:
        return HttpResponse(error.json, content_type="application/json", status=error.status_code)
    return JsonResponse(make_tokens(user=user, client_id=CLIENT_ID))


def _ask_for_all(request: HttpRequest) -> None:
    """Read the request as one for the one thing that there is."""
    _set(request, "GET", scope=SCOPE)
    request.META["QUERY_STRING"] = request.GET.urlencode()


def _set(request: HttpRequest, method: str, **values: str) -> None:
    asked: Any = getattr(request, method).copy()
    for name in IGNORED:
        asked.pop(name, None)
    for name, value in values.items():
        asked[name] = value
    setattr(request, method, asked)


def _program(request: HttpRequest) -> str:
    """Name the program as it names itself; the CLI does not while it signs in."""
    said = program_of(request)
    return NAME if said.startswith(UNNAMED) or not said else said
