from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from apps.access.queries import denial_for, permissions_held, roles_of_scope
from apps.access.scoped import scoped
from apps.access.services import revoke
from apps.accounts.signed_in import person_of
from apps.core.errors import Invalid, PortalError
from apps.deployments.forms.role import RoleForm
from apps.deployments.models import Deployment, DeploymentGrant, Phase
from apps.deployments.queries import people_of, people_with_access
from apps.organizations.services import give_role

MANAGE = "deployment.members.manage"


@scoped(Deployment, "deployment.members.view", by="ref", writing=MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def access(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    person = person_of(request)
    denial = denial_for(user=person, permission=MANAGE, on=deployment)
    can_manage = denial is None and deployment.phase == Phase.ACTIVE
    form, status = None, 200
    if can_manage:
        posted = request.POST if request.method == "POST" else None
        roles = roles_of_scope(
            scope="deployment", within=permissions_held(user=person, on=deployment)
        )
        form = RoleForm(posted, people=people_of(deployment), roles=roles)
        if request.method == "POST" and form.is_valid() and _give(request, deployment, form):
            return redirect("deployments:access", deployment.ref)
        status = 422 if request.method == "POST" else 200
    context: dict[str, Any] = {
        "deployment": deployment,
        "form": form,
        "can_manage": can_manage,
        "people": people_with_access(deployment),
        "denial": denial,
    }
    return render(request, "deployments/access.html", context, status=status)


@scoped(Deployment, MANAGE, by="ref")
@require_POST
def take(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    posted = request.POST.get("person", "")
    # The database's numbers have 19 digits at most; more of them would be no grant either.
    number = int(posted) if posted.isascii() and posted.isdigit() and len(posted) < 19 else 0
    grant = get_object_or_404(
        DeploymentGrant.objects.select_related("user"), pk=number, content_object=deployment
    )
    try:
        revoke(actor=person_of(request), user=grant.user, on=deployment)
    except PortalError as error:
        messages.error(request, error.sentence)
    else:
        messages.success(request, f"{grant.user} no longer has a role on {deployment.name} itself.")
    return redirect("deployments:access", deployment.ref)


def _give(request: HttpRequest, deployment: Deployment, form: RoleForm) -> bool:
    person, role = form.cleaned_data["person"], form.chosen_role
    try:
        give_role(actor=person_of(request), user=person, role=role, on=deployment)
    except Invalid as error:
        form.add_error("person", error.sentence)
        return False
    except PortalError as error:
        form.add_error("role", error.sentence)
        return False
    messages.success(request, f"{person} is now {role.name} of {deployment.name}.")
    return True
