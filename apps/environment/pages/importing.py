from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.access.scoped import scoped
from apps.accounts.models import User
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import STALE, fresh_sign_in_first, is_sign_in_fresh
from apps.clusters.connections.kept import forget_secrets, keep_secrets, kept_secrets
from apps.core.errors import Invalid
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.core.web.forms import Choices
from apps.deployments.models import Deployment
from apps.environment.importing.exporting import settings_file
from apps.environment.importing.formats import Entry, entries_of
from apps.environment.importing.parsing import MOST_BYTES, decoded
from apps.environment.importing.services import Candidate, import_objects, preview
from apps.environment.objects.models import Kind
from apps.environment.objects.services import Place
from apps.environment.pages.parts import (
    VIEW_DEPLOYMENT,
    VIEW_WORKSPACE,
    address,
    on_deployment,
    on_workspace,
)
from apps.organizations.models import Organization, Workspace

GONE = "What you sent is kept for an hour, and is gone. Send it again."
TONES = {"new": "good", "changed": "move", "same": "idle", "refused": "warn"}


class TextForm(forms.Form):
    """A text or a file, and what plain names in it are."""

    file = forms.FileField(
        required=False, widget=forms.FileInput(attrs={"accept": ".yaml,.yml,.json,.env,.txt"})
    )
    text = forms.CharField(
        label="Or paste the text",
        required=False,
        strip=False,
        widget=forms.Textarea(
            attrs={"class": "mono", "rows": 8, "spellcheck": "false", "autocomplete": "off"}
        ),
    )
    means = forms.ChoiceField(
        label="Names with a plain value are",
        required=False,
        choices=[("", "What the format suggests"), *((k.value, f"{k.label}s") for k in Kind)],
        widget=Choices(
            hints={
                "": "Environment variables in a .env file, Airflow variables elsewhere; "
                "AIRFLOW_CONN_ and AIRFLOW_VAR_ are understood",
                "connection": "Each value is an address, such as postgres://user:password@host/name",
            }
        ),
    )

    def clean(self) -> dict[str, Any]:
        data = dict(super().clean() or {})
        file = data.get("file")
        try:
            if file is not None and file.size > MOST_BYTES:
                raise Invalid(f"The file is larger than {MOST_BYTES // 1_000_000} MB.")
            pasted = data.get("text", "")
            data["content"] = decoded(file.read() if file else pasted.encode(errors="replace"))
            data["entries"] = entries_of(data["content"], means=data.get("means", ""))
        except Invalid as error:
            self.add_error("file" if file else "text", error.message)
        return data


class ChosenForm(forms.Form):
    """Which of the entries are imported, and how."""

    chosen = forms.MultipleChoiceField(required=False)
    is_secret = forms.BooleanField(
        label="Keep new variables as secrets",
        required=False,
        initial=True,
        help_text="Encrypted, and never shown again. Passwords of connections always are.",
    )
    links_all = forms.BooleanField(
        label="Link new ones to all Deployments",
        required=False,
        help_text="Otherwise they are stored, and reach none until you link them.",
    )

    def __init__(self, data: Any, *, place: Place, candidates: list[Candidate]) -> None:
        super().__init__(data)
        field: Any = self.fields["chosen"]
        field.choices = [(one.key, one.entry.name) for one in candidates if one.is_offered]
        if isinstance(place, Deployment):
            del self.fields["links_all"]


def _import_text(request: HttpRequest, place: Place) -> HttpResponse:
    """Take a text, and keep it sealed until the next page decides about it."""
    form = TextForm(request.POST or None, request.FILES or None)
    if is_submitted(request, form):
        if is_sign_in_fresh(request):
            _keep(request_user(request), place, form.cleaned_data)
            return redirect(address(place, "import_preview"))
        form.add_error(None, STALE)
    context = {**_common(place), "form": form}
    return form_page(request, "environment/import.html", context, form)


def _import_preview(request: HttpRequest, place: Place) -> HttpResponse:
    """Say what is new, changed, the same or refused, by name; import what is ticked."""
    user = request_user(request)
    entries = _kept(user, place)
    if entries is None:
        messages.warning(request, GONE)
        return redirect(address(place, "import"))
    candidates = preview(place=place, entries=entries)
    data = request.POST if request.method == "POST" else None
    form = ChosenForm(data, place=place, candidates=candidates)
    if is_submitted(request, form):
        if not is_sign_in_fresh(request):
            form.add_error(None, STALE)
        else:
            with errors_shown_in(form):
                count = import_objects(
                    actor=user, place=place, entries=entries, **form.cleaned_data
                )
                _forget(user, place)
                messages.success(request, f"{count} imported.")
                return redirect(address(place))
    ticked = data.getlist("chosen") if data is not None else None
    context = {
        **_common(place),
        "form": form,
        "rows": [
            {
                "one": one,
                "kind": Kind(one.entry.kind).label,
                "tone": TONES[one.what],
                "is_ticked": one.is_offered and (ticked is None or one.key in ticked),
            }
            for one in candidates
        ],
        "count": sum(one.is_offered for one in candidates),
        "restarts": any(one.entry.kind == Kind.ENVIRONMENT for one in candidates),
    }
    return form_page(request, "environment/import_preview.html", context, form)


def _export(request: HttpRequest, place: Place) -> HttpResponse:
    """Send what may be shown as a file."""
    response = HttpResponse(settings_file(place), content_type="application/yaml; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="airflow_settings.yaml"'
    return response


def _common(place: Place) -> dict[str, Any]:
    return {
        "place": place,
        "list_url": address(place),
        "import_url": address(place, "import"),
        "is_deployment": isinstance(place, Deployment),
    }


def _organization(place: Place) -> Organization:
    workspace = place.workspace if isinstance(place, Deployment) else place
    return workspace.organization


def _form_name(place: Place) -> str:
    return f"environment-import-{place.access_scope}-{place.pk}"


def _keep(user: User, place: Place, data: dict[str, Any]) -> None:
    keep_secrets(
        actor=user,
        organization=_organization(place),
        form=_form_name(place),
        secrets={"text": (data["content"], data["means"])},
        now=timezone.now(),
    )


def _kept(user: User, place: Place) -> list[Entry] | None:
    kept = kept_secrets(
        actor=user,
        organization=_organization(place),
        form=_form_name(place),
        now=timezone.now(),
    )
    if "text" not in kept:
        return None
    text, means = kept["text"]
    return entries_of(text, means=means)  # type: ignore[arg-type]  # a choice of the form


def _forget(user: User, place: Place) -> None:
    forget_secrets(actor=user, organization=_organization(place), form=_form_name(place))


import_text = require_http_methods(["GET", "HEAD", "POST"])(
    never_cache(fresh_sign_in_first(_import_text))
)
import_preview = require_http_methods(["GET", "HEAD", "POST"])(never_cache(_import_preview))

workspace_import, deployment_import = on_workspace(import_text), on_deployment(import_text)
workspace_import_preview = on_workspace(import_preview)
deployment_import_preview = on_deployment(import_preview)
workspace_export = scoped(Workspace, VIEW_WORKSPACE, by="slug")(require_safe(_export))
deployment_export = scoped(Deployment, VIEW_DEPLOYMENT, by="ref")(require_safe(_export))
