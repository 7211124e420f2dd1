from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from apps.access.scoped import require, scoped
from apps.accounts.models import User
from apps.accounts.request_user import request_user
from apps.clusters.models import Cluster
from apps.clusters.queries import clusters_for
from apps.core.errors import Invalid
from apps.core.web.own_addresses import number_in
from apps.deployments.configuration.options import DeploymentOptions, deployment_options
from apps.deployments.configuration.schema import Configuration
from apps.deployments.configuration.validation import Present, Problem
from apps.deployments.database_version import present_of
from apps.deployments.editing.code_rights import code_refusals
from apps.deployments.editing.drafts import save_draft, store_secret, update_draft
from apps.deployments.editing.forms.data import (
    FormData,
    adapt,
    apply_row_action,
    data_of,
    found_image,
    proposed_queue,
    seal_pull_secret,
    seal_secrets,
    secret_ids_in,
    signed_image,
)
from apps.deployments.editing.forms.editor import Editor
from apps.deployments.editing.images import look_up_image
from apps.deployments.models import Deployment, Draft, Revision, SecretValue
from apps.deployments.pages.cluster_choice import chosen_cluster, cluster_rows, is_for_another
from apps.deployments.pages.queries import is_name_taken, open_drafts, usable_secrets, usual_cluster
from apps.organizations.models import Workspace

SHOWN_DRAFTS = 3
REPLACED = "{cluster} does not offer everything you chose: its defaults were used instead."


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a form edits: a new Deployment or an existing one, from the start or from a draft.

    `clusters` are those that a new one may run on; for an existing one the cluster is fixed.
    """

    user: User
    workspace: Workspace
    cluster: Cluster
    options: DeploymentOptions
    deployment: Deployment | None = None
    draft: Draft | None = None
    clusters: Sequence[Cluster] = ()

    @property
    def current(self) -> Configuration | None:
        if self.deployment is None or self.deployment.wanted is None:
            return None
        return self.deployment.wanted.configuration

    @property
    def present(self) -> Present | None:
        return present_of(self.deployment, self.options) if self.deployment else None

    def revision(self, number: str) -> Revision | None:
        """Return the revision that the edit began from, as the form remembers it."""
        if self.deployment is None:
            return None
        found = self.deployment.revisions.filter(number=number_in(number) or 0)
        return found.first() or self.deployment.wanted


@scoped(Workspace, "workspace.deployments.create", by="slug")
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    clusters = list(clusters_for(workspace=workspace))
    if not clusters:
        return render(request, "deployments/editing/no_cluster.html", {"workspace": workspace})
    subject = _subject(
        request,
        workspace=workspace,
        cluster=chosen_cluster(request, clusters)
        or usual_cluster(workspace=workspace, clusters=clusters),
        clusters=clusters,
    )
    configuration = subject.options.new_configuration()
    return _edit(
        request,
        subject,
        lambda: data_of(configuration=configuration, name="", base=None, options=subject.options),
    )


@scoped(Deployment, "deployment.update", by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
def configure(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    subject = _subject(
        request,
        workspace=deployment.workspace,
        cluster=deployment.cluster,
        deployment=deployment,
    )
    current, wanted = subject.current, deployment.wanted
    if current is None or wanted is None or deployment.phase != "active":
        return redirect("deployments:overview", deployment.ref)
    return _edit(
        request,
        subject,
        lambda: (
            data_of(
                configuration=current,
                name=deployment.name,
                base=wanted.number,
                options=subject.options,
            )
            | proposed_queue(current, request.GET)
        ),
    )


@scoped(Workspace, "workspace.view", by="slug")
@require_http_methods(["GET", "HEAD", "POST"])
def edit_draft(request: HttpRequest, workspace: Workspace, draft_id: UUID) -> HttpResponse:
    draft = draft_of(request, workspace, draft_id)
    clusters = [] if draft.deployment else list(clusters_for(workspace=workspace))
    subject = _subject(
        request,
        workspace=workspace,
        cluster=chosen_cluster(request, clusters) or draft.cluster,
        deployment=draft.deployment,
        draft=draft,
        clusters=clusters,
    )
    return _edit(
        request,
        subject,
        lambda: data_of(
            configuration=draft.configuration,
            name=draft.deployment.name if draft.deployment else draft.name,
            base=draft.base.number if draft.base else None,
            options=subject.options,
        ),
    )


def draft_of(request: HttpRequest, workspace: Workspace, draft_id: UUID) -> Draft:
    """Load a draft of the current user, who must still be allowed to apply it."""
    related = ("deployment__wanted", "deployment__workspace", "base", "restores", "operation")
    drafts = Draft.objects.select_related("cluster", *related)
    draft: Draft = get_object_or_404(
        drafts, pk=draft_id, workspace=workspace, author_id=request.user.pk
    )
    if draft.deployment is None:
        require(user=request.user, permission="workspace.deployments.create", on=workspace)
    else:
        require(user=request.user, permission="deployment.update", on=draft.deployment)
        request.scope_object = draft.deployment  # type: ignore[attr-defined]  # for navigation
    return draft


def _subject(
    request: HttpRequest, *, workspace: Workspace, cluster: Cluster, **fields: Any
) -> Subject:
    options = deployment_options(cluster=cluster, workspace=workspace, today=timezone.localdate())
    return Subject(
        user=request_user(request), workspace=workspace, cluster=cluster, options=options, **fields
    )


def _edit(request: HttpRequest, subject: Subject, initial: Callable[[], FormData]) -> HttpResponse:
    """Show the form. A row button or another cluster rearranges it; Review keeps a draft."""
    data, is_validated, is_adapted = initial() | {"cluster": str(subject.cluster.pk)}, False, False
    was_replaced = False
    if request.method == "POST":
        data = _posted(request, subject)
        is_adapted = is_for_another(data, subject.cluster) and bool(subject.clusters)
        fitted = adapt(data, subject.options) if is_adapted else data
        is_validated, was_replaced = not data.get("row"), fitted != data
        data = fitted
    secrets = usable_secrets(
        user=subject.user,
        workspace=subject.workspace,
        deployment=subject.deployment,
        ids=secret_ids_in(data),
    )
    found: list[Problem] = []
    if is_validated and subject.options.has_images:
        data, found = _with_image(data, subject, secrets)
    editor = Editor(
        data,
        options=subject.options,
        base=subject.current,
        secrets=secrets,
        is_validated=is_validated,
        clusters=subject.clusters,
        present=subject.present,
        found=found,
        refusals=code_refusals(actor=subject.user, on=subject.deployment or subject.workspace),
    )
    if is_validated and _is_valid(editor, subject):
        draft = _keep(subject, editor, base=subject.revision(data.get("base", "")))
        if was_replaced:
            messages.info(request, REPLACED.format(cluster=subject.cluster.name))
        return redirect("deployments:review", subject.workspace.slug, draft.pk)
    context = {
        "editor": editor,
        "form": editor.settings,
        "formset": editor,
        "subject": subject,
        "base_number": data.get("base", ""),
        "drafts": _other_drafts(subject) if request.method != "POST" else [],
        "clusters": cluster_rows(subject.clusters),
        "is_adapted": is_adapted,
        "is_cluster_pressed": data.get("row") == "cluster",
    }
    return render(
        request, "deployments/editing/configure.html", context, status=422 if is_validated else 200
    )


def _posted(request: HttpRequest, subject: Subject) -> FormData:
    def seal(value: str) -> str:
        stored = store_secret(workspace=subject.workspace, value=value, actor=subject.user)
        return str(stored.pk)

    posted = {key: str(value) for key, value in request.POST.items()}
    data = seal_secrets(posted, seal=seal, most_bytes=subject.options.value_bytes)
    if subject.options.has_images:
        data = seal_pull_secret(data, seal=seal)
    return apply_row_action(data, data.get("row", ""), subject.options)


def _with_image(
    data: FormData, subject: Subject, secrets: Mapping[str, SecretValue]
) -> tuple[FormData, list[Problem]]:
    """Ask the registry for an image that it was not asked for yet."""
    image = found_image(data)
    if image is None or image.digest:
        return data, []
    if image.secret_id not in secrets:
        data = data | {"image_secret": ""}
    try:
        looked_up = look_up_image(
            name=image.name,
            secret=secrets.get(image.secret_id),
            deployment=subject.deployment,
        )
    except Invalid as error:
        return data, [Problem("image", error.message)]
    return data | {"image_found": signed_image(looked_up), "image_again": ""}, []


def _is_valid(editor: Editor, subject: Subject) -> bool:
    is_valid = editor.is_valid()
    name = editor.settings.typed("name").strip()
    if subject.deployment is not None or "name" in editor.settings.errors:
        return is_valid
    if is_name_taken(workspace=subject.workspace, name=name):
        message = (
            f"{subject.workspace.name} already has a Deployment called {name}. Choose another name."
        )
        editor.add_error([Problem("name", message)])
        return False
    return is_valid


def _keep(subject: Subject, editor: Editor, *, base: Revision | None) -> Draft:
    configuration = editor.configuration()
    name = "" if subject.deployment else editor.settings.cleaned_data["name"]
    if subject.draft is not None:
        return update_draft(
            actor=subject.user,
            draft=subject.draft,
            configuration=configuration,
            name=name,
            base=base,
            cluster=subject.cluster if subject.clusters else None,
        )
    return save_draft(
        actor=subject.user,
        workspace=subject.workspace,
        cluster=subject.cluster,
        configuration=configuration,
        name=name,
        deployment=subject.deployment,
        base=base,
    )


def _other_drafts(subject: Subject) -> list[Draft]:
    drafts = open_drafts(
        author=subject.user, workspace=subject.workspace, deployment=subject.deployment
    )
    if subject.draft is not None:
        drafts = drafts.exclude(pk=subject.draft.pk)
    return list(drafts[:SHOWN_DRAFTS])
