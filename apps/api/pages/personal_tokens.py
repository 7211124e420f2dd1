"""A person's own tokens, on the pages of the account."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import User
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.core.web.forms import Choices
from apps.core.web.gates import signed_in_only
from apps.organizations.models import Organization, PersonalToken
from apps.organizations.tokens.logins import end_login, logins_of
from apps.organizations.tokens.personal import (
    LIMITS,
    create_personal_token,
    limit_of,
    revoke_personal_token,
)
from apps.organizations.tokens.queries import fingerprint_of, personal_tokens_of
from apps.organizations.workspaces.queries import organizations_of

PAGE_SIZE = 50
NOTE = "The secret is shown once, on the next page."


class PersonalTokenForm(forms.Form):
    name = forms.CharField(max_length=80, help_text="Where you use it, for example “my laptop”.")
    days = forms.TypedChoiceField(
        label="Expires",
        initial=30,
        coerce=int,
        widget=Choices(),
        choices=[(1, "In 1 day"), (7, "In 7 days"), (30, "In 30 days"), (90, "In 90 days")],
    )

    limit = forms.ChoiceField(
        label="May do",
        initial="all",
        widget=Choices(),
        choices=[(key, words) for key, (words, _) in LIMITS.items()],
        help_text="Never more than you may do yourself at that moment.",
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        organizations = organizations_of(user=user)
        self.only: Organization | None = None
        if organizations.count() == 1:
            self.only = organizations.first()
            return
        self.fields["organization"] = forms.ModelChoiceField(
            queryset=organizations,
            empty_label="Select an organization",
            help_text="The token works in this organization alone.",
        )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        return {**cleaned, "organization": self.only} if self.only else cleaned


@signed_in_only
@require_safe
def personal_tokens(request: HttpRequest) -> HttpResponse:
    person = request_user(request)
    page = Paginator(personal_tokens_of(user=person), PAGE_SIZE).get_page(request.GET.get("page"))
    rows = [(token, _why_ended(token, person), limit_of(token)) for token in page]
    is_member = organizations_of(user=person).exists()
    programs = logins_of(user=person)
    context = {"page_obj": page, "rows": rows, "is_member": is_member, "programs": programs}
    return render(request, "api/personal_tokens.html", context)


@signed_in_only
@fresh_sign_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new_personal_token(request: HttpRequest) -> HttpResponse:
    person = request_user(request)
    form = PersonalTokenForm(request.POST or None, user=person)
    if is_submitted(request, form):
        with errors_shown_in(form):
            token, secret = create_personal_token(user=person, **form.cleaned_data)
            context = {"token": token, "secret": secret, "try_it": _try_it()}
            return render(request, "api/personal_token_made.html", context)
    return form_page(request, "api/new_personal_token.html", {"form": form, "note": NOTE}, form)


@signed_in_only
@require_POST
def remove_personal_token(request: HttpRequest, token_id: int) -> HttpResponse:
    token = revoke_personal_token(user=request_user(request), token_id=token_id)
    if token is None:
        raise Http404
    messages.success(request, f"Token {token} revoked.")
    return redirect("api:personal_tokens")


@signed_in_only
@require_POST
def end_program(request: HttpRequest, login_id: str) -> HttpResponse:
    if not end_login(user=request_user(request), login_id=login_id):
        raise Http404
    messages.success(request, "The program is signed out.")
    return redirect("api:personal_tokens")


def _why_ended(token: PersonalToken, person: User) -> str:
    if token.expires_at <= timezone.now():
        return "Expired"
    if token.fingerprint != fingerprint_of(person):
        return "Ended when your password changed"
    return ""


def _try_it() -> str:
    url = settings.PORTAL_URL + reverse("api:operations:get_self")
    return f'curl -H "Authorization: Bearer $ASTRO_API_TOKEN" {url}'
