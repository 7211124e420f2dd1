"""What one Deployment gets of environment objects: the workspace's that are linked to it, with what
is overridden there, and its own, which win by kind and name.
"""

import json
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Prefetch, Q, QuerySet

from apps.dataplane.spec import VariableSpec
from apps.deployments.models import Deployment
from apps.deployments.reconciling import shared_values
from apps.deployments.reconciling.shared_values import SharedValues
from apps.environment.objects.backend_types import options_of
from apps.environment.objects.models import EnvironmentLink, EnvironmentObject, Kind
from apps.environment.objects.sealing import whole
from apps.environment.objects.values import merged

AIRFLOW_NAMES = {"type": "conn_type"}


@dataclass(frozen=True, kw_only=True)
class Effective:
    """An object as it reaches a Deployment. `link` is what overrides it there, if anything does."""

    source: EnvironmentObject
    link: EnvironmentLink | None

    @property
    def is_own(self) -> bool:
        return self.source.deployment_id is not None

    def value(self) -> dict[str, Any]:
        """Return the value with secrets. Raises SecretUnreadable."""
        value = whole(self.source)
        return merged(value, whole(self.link)) if self.link else value


def connect() -> None:
    """Let specifications of Deployments hold what is shared."""
    shared_values.SOURCES.append(values_of)


def effective_objects(deployment: Deployment) -> list[Effective]:
    """Return what reaches a Deployment, one per kind and name, in two queries."""
    here = Prefetch(
        "links",
        queryset=EnvironmentLink.objects.filter(deployment=deployment),
        to_attr="links_here",
    )
    rows = reaching(deployment).prefetch_related(here)
    # Its own come last, and win.
    ordered = rows.order_by(F("deployment").asc(nulls_first=True), "kind", "name")
    found = {
        (row.kind, row.name): Effective(source=row, link=next(iter(row.links_here), None))
        for row in ordered
    }
    return [found[key] for key in sorted(found)]


def reaching(deployment: Deployment) -> QuerySet[EnvironmentObject]:
    """Return the objects of a Deployment, and those of its workspace that are linked to it."""
    links = EnvironmentLink.objects.filter(deployment=deployment)
    linked = Q(pk__in=links.filter(is_excluded=False).values("source"))
    by_all = Q(links_all=True) & ~Q(pk__in=links.filter(is_excluded=True).values("source"))
    shared = Q(deployment=None) & (linked | by_all)
    rows = EnvironmentObject.objects.filter(workspace=deployment.workspace_id)
    return rows.filter(shared | Q(deployment=deployment))


def values_of(deployment: Deployment) -> SharedValues:
    """Return what the data plane delivers. Raises SecretUnreadable."""
    connections: dict[str, dict[str, Any]] = {}
    variables: dict[str, str] = {}
    environment: list[VariableSpec] = []
    backends: list[dict[str, Any]] = []
    for one in effective_objects(deployment):
        value, source = one.value(), one.source
        if source.kind == Kind.CONNECTION:
            connections[source.name] = {AIRFLOW_NAMES.get(k, k): v for k, v in value.items()}
        elif source.kind == Kind.BACKEND:
            backends.append({"type": value["type"], "options": options_of(value)})
        elif source.kind == Kind.VARIABLE:
            variables[source.name] = value.get("value", "")
        else:
            environment.append(
                VariableSpec(
                    key=source.name, value=value.get("value", ""), is_secret=source.is_secret
                )
            )
    return SharedValues(
        document=_document(connections, variables, backends), variables=tuple(environment)
    )


def _document(
    connections: dict[str, Any], variables: dict[str, str], backends: list[dict[str, Any]]
) -> str:
    if not connections and not variables and not backends:
        return ""
    found: dict[str, Any] = {"connections": connections, "variables": variables}
    if backends:
        found["backends"] = backends
    return json.dumps(found, sort_keys=True)
