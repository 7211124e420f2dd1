"""Secrets of a form that comes back for correction stay on the server, of one person and form."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from apps.accounts.request_user import request_user
from apps.clusters.connections.kept import keep_secrets
from apps.clusters.forms.parts import KeptForm
from apps.organizations.models import Organization


def kept_of(request: HttpRequest, organization: Organization, form: str) -> dict[str, Any]:
    """Name what is kept of a form, for this person."""
    return {"actor": request_user(request), "organization": organization, "form": form}


def keep(form: KeptForm, mine: dict[str, Any]) -> None:
    """Keep the secrets of a form that has errors, and say at the fields that they are kept."""
    if not form.errors:
        return
    secrets = form.secrets_to_keep()
    keep_secrets(**mine, secrets=secrets, now=timezone.now())
    form.show_kept(secrets)
