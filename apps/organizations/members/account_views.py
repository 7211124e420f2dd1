from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.errors import PortalError
from apps.organizations.members.closing import close_account, reopen_account, why_not_closable
from apps.organizations.members.views import person_in
from apps.organizations.models import Organization


@scoped(Organization, "organization.members.manage", by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def member_account(
    request: HttpRequest, organization: Organization, person_id: int
) -> HttpResponse:
    person, actor = person_in(organization, person_id), request_user(request)
    refusal = why_not_closable(actor=actor, user=person, organization=organization)
    if request.method == "POST":
        change, word = (
            (close_account, "deactivated") if person.is_active else (reopen_account, "reactivated")
        )
        try:
            change(actor=actor, user=person, organization=organization)
        except PortalError as error:
            refusal = error.message
        else:
            messages.success(request, f"Account of {person} {word}.")
            return redirect("organizations:member", organization.slug, person.pk)
    context = {"organization": organization, "person": person, "refusal": refusal}
    status = 422 if refusal and request.method == "POST" else 200
    return render(request, "organizations/members/member_account.html", context, status=status)
