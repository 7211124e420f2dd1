"""Where rules, channels and silences belong: an organization, or one of its workspaces."""

from typing import Any

from django.db import models
from django.db.models import Q

from apps.organizations.models import Organization, Workspace

Place = Organization | Workspace


class Placed(models.Model):
    """A row of an organization, or of a workspace of it."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    workspace = models.ForeignKey(
        Workspace, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )

    class Meta:
        abstract = True

    @property
    def place(self) -> Place:
        return self.workspace or self.organization


def fields_of(place: Place) -> dict[str, Any]:
    """Return the fields that put a new row into a place."""
    if isinstance(place, Workspace):
        return {"organization": place.organization, "workspace": place}
    return {"organization": place, "workspace": None}


def here(place: Place) -> Q:
    """Return the condition on rows that belong to exactly this place."""
    if isinstance(place, Workspace):
        return Q(workspace=place)
    return Q(organization=place, workspace=None)


def deployments_in(place: Place) -> Q:
    """Return the condition on Deployments that lie in a place."""
    if isinstance(place, Workspace):
        return Q(workspace=place)
    return Q(workspace__organization=place)
