from typing import Any

from django.contrib import messages
from django.core.files.storage import default_storage
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.access.queries import denial_for
from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.errors import PortalError
from apps.core.web.form_pages import errors_as_messages
from apps.deployments.models import Deployment, Phase
from apps.deployments.reconciling.compiler import code_name
from apps.deploys.archives.building import ArchiveRefused
from apps.deploys.deliveries import enforcement, queries, queue, services
from apps.deploys.deliveries.recording import NothingChanged
from apps.deploys.git.queries import source_of
from apps.deploys.models import Deploy, Preview
from apps.deploys.previews.queries import open_previews
from apps.deploys.previews.services import submit
from apps.deploys.previews.steps import operation_of, steps_for_page
from apps.deploys.previews.views import DELIVER, SEE, to_operation
from apps.deploys.promotion.queries import chain_of, open_promotions
from apps.deploys.uploading.forms import DeliveryForm, RollBackForm
from apps.deploys.uploading.uploads import DISK_FULL

DEPLOYS_PER_PAGE = 50


@scoped(Deployment, SEE, by="ref", writing=DELIVER)
@require_http_methods(["GET", "HEAD", "POST"])
def deploys(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    kind: dict[str, Any] = {
        "code_bytes": queries.most_code_bytes(deployment),
        "has_previews": queries.takes_projects(deployment),
    }
    if request.method != "POST":
        return _deploys_page(request, deployment, DeliveryForm(**kind))
    files = request.FILES  # reading them is what finds the problem
    problem = getattr(request, "upload_problem", "")
    form = DeliveryForm(request.POST, files, **kind, upload_problem=problem)
    if not form.is_valid():
        status = 507 if problem == DISK_FULL else 422
        return _deploys_page(request, deployment, form, status=status)
    upload = form.upload()
    try:
        accepted = submit(
            actor=request_user(request),
            deployment=deployment,
            file_name=upload.file.name or "",
            chunks=upload.file.chunks(),
            description=upload.description,
            is_previewed=upload.is_previewed,
        )
    except ArchiveRefused as refused:
        for message in refused.error_messages:
            form.add_error("archive", message)
        return _deploys_page(request, deployment, form, status=422)
    except NothingChanged as same:
        messages.info(request, same.message)
        return redirect("deploys:list", deployment.ref)
    except PortalError as error:
        form.add_error(None, error.message)
        status = 507 if isinstance(error, services.StorageFull) else 422
        return _deploys_page(request, deployment, form, status=status)
    if isinstance(accepted, Preview):
        return redirect("deploys:preview", deployment.ref, accepted.number)
    return to_operation(request, deployment, accepted)


@scoped(Deployment, SEE, by="ref")
@require_GET
def detail(request: HttpRequest, deployment: Deployment, number: int) -> HttpResponse:
    deploy = _deploy(deployment, number)
    before = queries.deploy_before(deploy)
    context = {
        "deployment": deployment,
        "deploy": deploy,
        "before": before,
        "replaced_by": queries.replacement_of(deploy),
        "steps": steps_for_page(deploy),
        "operation": operation_of(deploy),
        "changes": queries.file_changes(before=before, after=deploy),
        "current": queries.current_deploy(deployment),
        "took_seconds": queries.seconds_of(deploy),
        "list_url": reverse("deploys:list", args=[deployment.ref]),
        "chain": chain_of(deploy, user=request_user(request)),
        "description": queries.next_description(deploy),
        "may_deliver": _may_deliver(request, deployment),
        "denial": denial_for(user=request.user, permission=DELIVER, on=deployment),
    }
    return render(request, "deploys/detail.html", context)


@scoped(Deployment, SEE, by="ref")
@require_GET
def download(request: HttpRequest, deployment: Deployment, number: int) -> HttpResponseBase:
    deploy = _deploy(deployment, number)
    try:
        stream = default_storage.open(code_name(deploy.digest))
    except FileNotFoundError:
        raise Http404("The code is no longer in storage.") from None
    name = f"{deployment.ref}-deploy-{deploy.number}.zip"
    return FileResponse(stream, as_attachment=True, filename=name, content_type="application/zip")


@scoped(Deployment, DELIVER, by="ref")
@require_POST
def roll_back(request: HttpRequest, deployment: Deployment, number: int) -> HttpResponse:
    deploy = _deploy(deployment, number)
    form = RollBackForm(request.POST)
    typed = form.cleaned_data if form.is_valid() else {}
    try:
        delivery = services.roll_back(
            actor=request_user(request),
            deployment=deployment,
            deploy=deploy,
            description=typed.get("description", ""),
            is_code_alone=typed.get("code_alone", False),
        )
    except PortalError as error:
        messages.warning(request, error.message)
        return redirect("deploys:list", deployment.ref)
    return to_operation(request, deployment, delivery)


@scoped(Deployment, DELIVER, by="ref")
@require_POST
def cancel(request: HttpRequest, deployment: Deployment, number: int) -> HttpResponse:
    with errors_as_messages(request):
        queue.cancel(actor=request_user(request), deploy=_deploy(deployment, number))
        messages.success(request, f"Deploy {number} was cancelled. Nothing has changed.")
    return redirect("deploys:list", deployment.ref)


def _deploy(deployment: Deployment, number: int) -> Deploy:
    return get_object_or_404(
        Deploy.objects.select_related(
            "created_by", "revision", "rollback_of", "promotion__decided_by"
        ),
        deployment=deployment,
        number=number,
    )


def _deploys_page(
    request: HttpRequest, deployment: Deployment, form: DeliveryForm, status: int = 200
) -> HttpResponse:
    pages = Paginator(queries.deploys_of(deployment), DEPLOYS_PER_PAGE)
    may_deliver = _may_deliver(request, deployment)
    context = {
        "deployment": deployment,
        "form": form,
        "source": source_of(deployment),
        # Only those who could deploy are told that they may not.
        "is_enforced": may_deliver and enforcement.is_enforced(deployment),
        "page": pages.get_page(request.GET.get("page")),
        "current": queries.current_deploy(deployment),
        "may_deliver": may_deliver,
        "previews": open_previews(deployment),
        "promotions": open_promotions(deployment, now=timezone.now())[:20],
        "may_configure": request.user.has_perm("deployment.update", deployment),
    }
    return render(request, "deploys/list.html", context, status=status)


def _may_deliver(request: HttpRequest, deployment: Deployment) -> bool:
    return deployment.phase == Phase.ACTIVE and request.user.has_perm(DELIVER, deployment)
