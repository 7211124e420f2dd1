from collections.abc import Iterable
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.deployments.configuration.changes import changes
from apps.deployments.configuration.yaml_text import yaml_of
from apps.deployments.editing.drafts import save_draft
from apps.deployments.models import Deployment, Revision, RevisionState
from apps.deployments.pages.queries import restore_refusals, revisions_for_page
from apps.deployments.pages.review import sections_of

TONES = {
    RevisionState.PENDING: "move",
    RevisionState.APPLYING: "move",
    RevisionState.APPLIED: "good",
    RevisionState.FAILED: "bad",
    RevisionState.SUPERSEDED: "idle",
}
PAGE_SIZE = 50


@scoped(Deployment, "deployment.view", by="ref")
@require_safe
def revisions(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    page = Paginator(revisions_for_page(deployment), PAGE_SIZE).get_page(request.GET.get("page"))
    refusals = restore_refusals(deployment, page.object_list, now=timezone.now())
    context = {
        "deployment": deployment,
        "page": page,
        "rows": [
            {**row, "refusal": refusals.get(row["revision"].pk, "")}
            for row in revision_rows(page.object_list)
        ],
        "can_update": request.user.has_perm("deployment.update", deployment),
    }
    return render(request, "deployments/revisions/revisions.html", context)


@scoped(Deployment, "deployment.view", by="ref")
@require_safe
def revision(request: HttpRequest, deployment: Deployment, number: int) -> HttpResponse:
    found = revisions_for_page(deployment)
    shown = get_object_or_404(found, number=number)
    before = found.filter(number__lt=number).first()
    configuration = shown.configuration
    earlier = before.configuration if before else None
    context = {
        "deployment": deployment,
        "revision": shown,
        "tone": TONES[RevisionState(shown.state)],
        "before": before,
        "sections": sections_of(changes(earlier, configuration)),
        "is_code_changed": before is not None and before.code_digest != shown.code_digest,
        "yaml": yaml_of(configuration),
        "operation": shown.operations.order_by("-number").first(),
        "is_in_force": shown.pk == deployment.wanted_id,
        "refusal": restore_refusals(deployment, [shown], now=timezone.now()).get(shown.pk),
        "can_update": request.user.has_perm("deployment.update", deployment),
    }
    return render(request, "deployments/revisions/revision.html", context)


@scoped(Deployment, "deployment.update", by="ref")
@require_POST
def restore(request: HttpRequest, deployment: Deployment, number: int) -> HttpResponse:
    """Redirect to the review of the rollback; nothing changes before it is confirmed."""
    earlier = get_object_or_404(Revision, deployment=deployment, number=number)
    draft = save_draft(
        actor=request_user(request),
        workspace=deployment.workspace,
        cluster=deployment.cluster,
        configuration=earlier.configuration,
        deployment=deployment,
        base=deployment.wanted,
        restores=earlier,
    )
    return redirect("deployments:review", deployment.workspace.slug, draft.pk)


def revision_rows(revisions: Iterable[Revision]) -> list[dict[str, Any]]:
    """Return revisions with the tone that lists show."""
    return [{"revision": one, "tone": TONES[RevisionState(one.state)]} for one in revisions]
