from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from apps.access.effective_grants import roles_within
from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.errors import PortalError
from apps.organizations.members.services import remove_person
from apps.organizations.models import Organization


@scoped(Organization, "organization.view", by="slug")
@require_http_methods(["GET", "HEAD", "POST"])
def leave(request: HttpRequest, organization: Organization) -> HttpResponse:
    person = request_user(request)
    refusal = ""
    if request.method == "POST":
        try:
            remove_person(actor=person, user=person, on=organization)
        except PortalError as error:
            refusal = error.message
        else:
            messages.success(request, f"You have left {organization}.")
            return redirect("portal:home")
    context = {
        "organization": organization,
        "roles": roles_within(user=person, on=organization),
        "refusal": refusal,
    }
    status = 422 if refusal else 200
    return render(request, "organizations/members/leave.html", context, status=status)
