"""The pages of API tokens, for any object that roles are held on. The views that name the object
and the permission are in `tokens`, and those of a Deployment in its own app.

The address of the list is the root of the others.
"""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from apps.access.models import Role
from apps.access.queries import permissions_held, roles_for
from apps.access.roles.catalogue import SCOPE_WORDS
from apps.access.scopes import Scoped, organization_over
from apps.accounts.models import User
from apps.accounts.request_user import request_user
from apps.core.errors import PortalError
from apps.core.web.form_pages import errors_shown_in, form_page
from apps.organizations.models import ApiToken
from apps.organizations.tokens.forms import RotationForm, TokenForm
from apps.organizations.tokens.queries import can_be_made_by, roles_of_tokens, tokens_on
from apps.organizations.tokens.services import create_token, revoke_token, rotate_token

PAGE_SIZE = 50
NOTE_ON_SECRETS = (
    "The secret is shown once, on the next page. No token has more access than you. Tokens are for "
    "the portal’s own API: Airflow does not accept them yet, whatever the role allows there."
)


def list_page(
    request: HttpRequest, on: Scoped, *, list_url: str, form: TokenForm | None = None
) -> HttpResponse:
    """List the tokens; `form` is one with errors, which opens its dialog again."""
    roles = roles_of_tokens(on=on)
    makers: dict[int, User] = {}
    search = request.GET.get("q", "").strip()[:100]
    page = Paginator(tokens_on(on=on, search=search), PAGE_SIZE).get_page(request.GET.get("page"))
    rows = [_row(token, roles.get(token.user_id), makers, on) for token in page]
    context = {
        **_place(on),
        "rows": rows,
        "page_obj": page,
        "search": search,
        "form": form or _token_form(request, on),
        "list_url": list_url,
        "new_url": f"{list_url}new/",
    }
    status = 200 if form is None else 422
    return render(request, "organizations/tokens/tokens.html", context, status=status)


def new_page(request: HttpRequest, on: Scoped, *, list_url: str) -> HttpResponse:
    form = _token_form(request, on)
    if form.is_valid():
        with errors_shown_in(form):
            token, secret = create_token(actor=request_user(request), on=on, **form.cleaned_data)
            return _made(request, on, token, secret, list_url)
    if form.errors:
        return list_page(request, on, list_url=list_url, form=form)
    context = {**_place(on), "form": form, "list_url": list_url}
    return form_page(request, "organizations/tokens/new_token.html", context, form)


def _token_form(request: HttpRequest, on: Scoped) -> TokenForm:
    held = permissions_held(user=request_user(request), on=on)
    posted = request.POST if request.method == "POST" else None
    return TokenForm(posted, roles=roles_for(on=on, within=held))


def rotate_page(request: HttpRequest, on: Scoped, token_id: int, *, list_url: str) -> HttpResponse:
    token = _token(on, token_id)
    form = RotationForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        with errors_shown_in(form):
            secret = rotate_token(
                actor=request_user(request), token=token, on=on, **form.cleaned_data
            )
            return _made(request, on, token, secret, list_url)
    context = {**_place(on), "token": token, "form": form, "list_url": list_url}
    return form_page(request, "organizations/tokens/rotate_token.html", context, form)


def revoke_page(request: HttpRequest, on: Scoped, token_id: int, *, list_url: str) -> HttpResponse:
    token = _token(on, token_id)
    refusal = ""
    if request.method == "POST":
        try:
            revoke_token(actor=request_user(request), token=token, on=on)
        except PortalError as error:
            refusal = error.message
        else:
            messages.success(request, f"Token {token} revoked.")
            return redirect(list_url)
    context = {**_place(on), "token": token, "refusal": refusal, "list_url": list_url}
    status = 422 if refusal else 200
    return render(request, "organizations/tokens/revoke_token.html", context, status=status)


def _made(
    request: HttpRequest, on: Scoped, token: ApiToken, secret: str, list_url: str
) -> HttpResponse:
    """Show the secret. Only its digest is stored, so it is shown in this response alone."""
    whoami = settings.PORTAL_URL + reverse("api:operations:get_self")
    context = {
        **_place(on),
        "token": token,
        "secret": secret,
        "list_url": list_url,
        "role_name": roles_of_tokens(on=on)[token.user_id].name,
        "try_it": f'curl -H "Authorization: Bearer $ASTRO_API_TOKEN" {whoami}',
    }
    return render(request, "organizations/tokens/token_made.html", context)


def _place(on: Scoped) -> dict[str, Any]:
    scope = type(on).access_scope
    return {
        "on": on,
        "scope_word": SCOPE_WORDS[scope],
        "organization": organization_over(on),
        "token_note": NOTE_ON_SECRETS,
        scope: on,
    }


def _row(token: ApiToken, role: Role | None, makers: dict[int, User], on: Scoped) -> dict[str, Any]:
    """Return a token's row in the list; `is_vouched` is whether its newest secret works.

    `makers` keeps one instance per person, which caches the person's permissions.
    """
    live = token.live_secrets  # type: ignore[attr-defined]  # prefetched by tokens_on
    newest = live[0] if live else None
    maker = newest.made_by if newest else None
    if maker is not None:
        maker = makers.setdefault(maker.pk, maker)
    return {
        "token": token,
        "made": f"created by {token.created_by}" if token.created_by else "",
        "role": role,
        "newest": newest,
        "older": live[1:],
        "is_vouched": role is not None and can_be_made_by(person=maker, role=role, place=on),
    }


def _token(on: Scoped, token_id: int) -> ApiToken:
    return get_object_or_404(tokens_on(on=on), pk=token_id)
