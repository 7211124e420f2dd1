"""What the pages of both kinds of places share."""

from typing import Any

from django.urls import reverse

from apps.access.scoped import scoped
from apps.core.web.gates import View
from apps.deployments.models import Deployment
from apps.environment.objects.services import Place
from apps.organizations.models import Workspace

VIEW_WORKSPACE = "workspace.environment.view"
MANAGE_WORKSPACE = "workspace.environment.manage"
VIEW_DEPLOYMENT = "deployment.view"
MANAGE_DEPLOYMENT = "deployment.update"
DEPLOY = "deployment.deploys.create"


def on_workspace(view: View) -> View:
    """Gate a page that changes a workspace's environment."""
    return scoped(Workspace, MANAGE_WORKSPACE, by="slug")(view)


def on_deployment(view: View) -> View:
    """Gate a page that changes a Deployment's environment."""
    return scoped(Deployment, MANAGE_DEPLOYMENT, by="ref")(view)


def address(place: Place, name: str = "", *arguments: Any) -> str:
    """Return the address of a page of a place; without a name that of its list."""
    if isinstance(place, Workspace):
        page = f"workspace_{name}" if name else "workspace"
        return reverse(f"environment:{page}", args=[place.slug, *arguments])
    return reverse(f"environment:{name or 'deployment'}", args=[place.ref, *arguments])
