from datetime import datetime

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from apps.access.models import Role
from apps.access.queries import Denial, denial_for, permissions_held, roles_for
from apps.access.scoped import scoped
from apps.access.services import revoke
from apps.access.ways import ways_in, ways_of
from apps.accounts.queries import person_with_email
from apps.accounts.sessions import fresh_sign_in
from apps.accounts.signed_in import person_of
from apps.core.errors import Invalid, PortalError
from apps.core.forms import blame
from apps.deployments.models import Deployment, DeploymentGrant, Phase
from apps.organizations.forms import PersonForm
from apps.organizations.services import give_role

MANAGE = "deployment.members.manage"
PAGE_SIZE = 50


@scoped(Deployment, "deployment.members.view", by="ref", writing=MANAGE)
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def access(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    denial = denial_for(user=request.user, permission=MANAGE, on=deployment)
    if denial is not None or deployment.phase != Phase.ACTIVE:
        return _page(request, deployment, denial=denial)
    held = permissions_held(user=person_of(request), on=deployment)
    form = PersonForm(
        request.POST if request.method == "POST" else None,
        roles=roles_for(on=deployment, within=held),
    )
    if form.is_valid():
        try:
            return _give(request, deployment, **form.cleaned_data)
        except PortalError as error:
            blame(form, error)
    return _page(request, deployment, form=form)


@scoped(Deployment, MANAGE, by="ref")
@fresh_sign_in
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


def _give(
    request: HttpRequest,
    deployment: Deployment,
    *,
    email: str,
    role: Role,
    expires_at: datetime | None,
) -> HttpResponse:
    person = person_with_email(email=email)
    if person is None or not person.is_active:
        # The same words as for somebody of another organization: who else is here is not told.
        organization = deployment.workspace.organization
        raise Invalid(f"{email} is not in {organization}. Invite them first.", field="email")
    give_role(
        actor=person_of(request), user=person, role=role, on=deployment, expires_at=expires_at
    )
    messages.success(request, f"{person} is now {role.name} of {deployment.name}.")
    return redirect("deployments:access", deployment.ref)


def _page(
    request: HttpRequest,
    deployment: Deployment,
    *,
    form: PersonForm | None = None,
    denial: Denial | None = None,
) -> HttpResponse:
    search = request.GET.get("q", "").strip()[:100]
    ways = ways_in(permission="deployment.view", on=deployment, search=search)
    page = Paginator(ways, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "deployment": deployment,
        "form": form,
        "page": page,
        "people": ways_of(on=deployment, rows=page.object_list),
        "search": search,
        "can_manage": form is not None,
        "denial": denial,
    }
    status = 422 if form is not None and form.errors else 200
    return render(request, "deployments/access.html", context, status=status)
