from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.access.scoped import scoped
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.errors import Invalid, PortalError
from apps.deployments.configuration.changes import (
    DATABASE_MIGRATES,
    Change,
    brings_secrets,
    changes,
    effects_of,
)
from apps.deployments.configuration.merging import Merge, merge
from apps.deployments.configuration.options import deployment_options
from apps.deployments.configuration.validation import Present, check_settings
from apps.deployments.configuration.yaml_text import yaml_difference, yaml_of
from apps.deployments.editing.drafts import confirm_draft, discard_draft, move_draft, update_draft
from apps.deployments.editing.services import StaleBase
from apps.deployments.models import Draft, Operation, Revision
from apps.deployments.pages.configure import draft_of
from apps.deployments.pages.queries import usual_time
from apps.organizations.models import Workspace

SECTIONS = ("Basics", "Execution", "Worker queues", "Settings", "Environment variables")


@scoped(Workspace, "workspace.view", by="slug")
@require_http_methods(["GET", "HEAD", "POST"])
def review(request: HttpRequest, workspace: Workspace, draft_id: UUID) -> HttpResponseBase:
    draft = draft_of(request, workspace, draft_id)
    if draft.operation is not None:
        return _follow(draft.operation)
    if request.method == "POST":
        base = draft.base.configuration if draft.base else None
        has_secrets = brings_secrets(base, draft.configuration)
        return (_confirm_with_secrets if has_secrets else _confirm)(request, draft)
    return _show(request, draft)


@scoped(Workspace, "workspace.view", by="slug")
@require_POST
def rebase(request: HttpRequest, workspace: Workspace, draft_id: UUID) -> HttpResponse:
    draft = draft_of(request, workspace, draft_id)
    merged = _merge(draft, keep={key: str(value) for key, value in request.POST.items()})
    wanted = draft.deployment.wanted if draft.deployment else None
    if merged is not None and wanted is not None:
        _move(draft, merged, wanted)
    if "edit" in request.POST:
        return redirect("deployments:edit_draft", workspace.slug, draft.pk)
    return redirect("deployments:review", workspace.slug, draft.pk)


@scoped(Workspace, "workspace.view", by="slug")
@require_POST
def discard(request: HttpRequest, workspace: Workspace, draft_id: UUID) -> HttpResponse:
    draft = draft_of(request, workspace, draft_id)
    deployment = draft.deployment
    discard_draft(actor=draft.author, draft=draft)
    messages.success(request, "Draft discarded. Nothing has changed.")
    if deployment is not None:
        return redirect("deployments:overview", deployment.ref)
    return redirect("deployments:list", workspace.slug)


def _move(draft: Draft, merged: Merge, wanted: Revision) -> None:
    """Move a draft onto the revision that was saved first. A rollback is not merged."""
    if draft.restores is not None:
        move_draft(actor=draft.author, draft=draft, base=wanted)
        return
    update_draft(actor=draft.author, draft=draft, configuration=merged.configuration, base=wanted)


def _confirm(request: HttpRequest, draft: Draft) -> HttpResponse:
    reason = request.POST.get("reason", "").replace("\x00", "").strip()
    if len(reason) > 500:
        return _show(
            request, draft, error="The reason can have at most 500 characters.", status=422
        )
    try:
        operation = confirm_draft(actor=draft.author, draft=draft, reason=reason)
    except StaleBase:
        draft.refresh_from_db()
        return _show(request, draft, status=409)
    except Invalid as error:
        return _show(request, draft, error=error.message, status=422)
    except PortalError as error:
        return _show(request, draft, error=error.message, status=409)
    return _follow(operation)


# No secret is posted here: the draft holds the sealed values.
_confirm_with_secrets = fresh_sign_in(_confirm)


def _follow(operation: Operation) -> HttpResponse:
    return redirect("deployments:operation", operation.deployment.ref, operation.number)


def _show(
    request: HttpRequest, draft: Draft, *, error: str = "", status: int = 200
) -> HttpResponse:
    merged = _merge(draft, keep={})
    if merged is not None:
        return _show_stale(request, draft, merged, status)
    mine = draft.configuration
    base = draft.base.configuration if draft.base else None
    found = changes(base, mine)
    context: dict[str, Any] = {
        "draft": draft,
        "deployment": draft.deployment,
        "name": draft.deployment.name if draft.deployment else draft.name,
        "error": error or _locked_since(draft),
        "reason": request.POST.get("reason", ""),
        "configuration": mine,
        "is_unchanged": base is not None and not found and draft.restores is None,
        "count": len(found),
        "sections": sections_of(found),
        "losses": [change for change in found if change.tone == "bad"],
        "effects": effects_of(found),
        "is_migration": any(change.effect == DATABASE_MIGRATES for change in found),
        "yaml": yaml_of(mine),
        "yaml_difference": yaml_difference(base, mine) if base else [],
        "next_number": draft.base.number + 1 if draft.base else 1,
        "usual": usual_time(cluster=draft.cluster, kind=_kind(draft)),
    }
    return render(request, "deployments/editing/review.html", context, status=status)


def _locked_since(draft: Draft) -> str:
    """Say what an owner of a layer above locked while the draft was edited."""
    if draft.restores is not None or not draft.configuration.settings:
        return ""
    options = deployment_options(
        cluster=draft.cluster, workspace=draft.workspace, today=timezone.localdate()
    )
    before = draft.base.configuration.own_settings if draft.base else {}
    ref = draft.deployment.ref if draft.deployment else ""
    present = Present(runtimes=frozenset(), settings=before, ref=ref)
    found = check_settings(draft.configuration, options, present)
    return " ".join(problem.message for problem in found)


def _show_stale(request: HttpRequest, draft: Draft, merged: Merge, status: int) -> HttpResponse:
    context = {
        "draft": draft,
        "deployment": draft.deployment,
        "current": draft.deployment.wanted if draft.deployment else None,
        "clashes": () if draft.restores else merged.clashes,
        "theirs": _lines(changes(merged.base, merged.theirs)),
        "mine": _lines(changes(merged.base, merged.mine)),
    }
    return render(request, "deployments/editing/stale.html", context, status=status)


def _merge(draft: Draft, *, keep: dict[str, str]) -> Merge | None:
    """Merge the draft with revisions saved since it began; None when there are none."""
    deployment = draft.deployment
    if deployment is None or deployment.wanted is None or draft.base is None:
        return None
    if deployment.wanted.pk == draft.base.pk:
        return None
    return merge(
        base=draft.base.configuration,
        theirs=deployment.wanted.configuration,
        mine=draft.configuration,
        keep=keep,
    )


def sections_of(found: tuple[Change, ...]) -> list[dict[str, Any]]:
    sections = []
    for title in SECTIONS:
        lines = _lines(tuple(change for change in found if change.section == title))
        if lines:
            sections.append({"title": title, "anchor": title.split()[-1].lower(), "lines": lines})
    return sections


def _lines(found: tuple[Change, ...]) -> list[dict[str, Any]]:
    """Return changes as the component `diff` shows them: None is "not set", or "removed"."""
    return [
        {
            "label": change.label,
            "old": None if change.before == "not set" else change.before,
            "new": None if change.after == "removed" else change.after,
            "effect": change.effect,
            "tone": change.tone,
        }
        for change in found
    ]


def _kind(draft: Draft) -> str:
    if draft.deployment is None:
        return Operation.Kind.CREATE
    return Operation.Kind.ROLL_BACK if draft.restores else Operation.Kind.UPDATE
