"""What the pages of both kinds of places share."""

from typing import Any

from django.urls import reverse

from apps.access.scoped import scoped
from apps.bulk_actions.services import Place
from apps.core.web.gates import View
from apps.organizations.models import Organization, Workspace


def on_workspace(view: View) -> View:
    """Gate a page of a workspace. What may be done is asked of each Deployment."""
    return scoped(Workspace, "workspace.view", by="slug")(view)


def on_organization(view: View) -> View:
    """Gate a page of an organization. What may be done is asked of each Deployment."""
    return scoped(Organization, "organization.view", by="slug")(view)


def address(place: Place, name: str, *arguments: Any) -> str:
    """Return the address of a page of a place."""
    prefix = "workspace_" if isinstance(place, Workspace) else ""
    return reverse(f"bulk_actions:{prefix}{name}", args=[place.slug, *arguments])
