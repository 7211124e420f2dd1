"""What every page of a Deployment shares: name, status, tabs, and locked actions."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.template.context import Context
from django.urls import NoReverseMatch, reverse

from apps.access.queries import denials
from apps.deployments.badge import display_status
from apps.deployments.models import Deployment, Health, Phase

register = template.Library()

INCIDENTS = "observability:incidents"
# By the number that orders severities; see apps/observability/incidents/kinds.py.
SEVERITY_TONES = {10: "move", 20: "warn", 30: "bad"}
# Tabs of this app and of those above it, which are known here by the names of their pages alone.
TABS = (
    ("overview", "Overview", "deployments:overview"),
    ("dags", "DAGs", "dags:deployment"),
    ("analytics", "Analytics", "observability:analytics"),
    ("incidents", "Incidents", INCIDENTS),
    ("logs", "Logs", "observability:logs"),
    ("environment", "Environment", "environment:deployment"),
    ("deploys", "Deploys", "deploys:list"),
    ("revisions", "Revisions", "deployments:revisions"),
    ("operations", "Operations", "deployments:operations"),
    ("backups", "Backups", "backups:list"),
    ("hibernation", "Hibernation", "hibernation:overview"),
    ("access", "Access", "deployments:access"),
)
ACTIONS = (
    ("airflow", "Open Airflow", "deployment.airflow.view"),
    ("configure", "Configure", "deployment.update"),
    ("deploy", "Deploy code", "deployment.deploys.create"),
    ("delete", "Delete", "deployment.delete"),
)


@dataclass(frozen=True, kw_only=True)
class Lock:
    """Actions that a person may not take, the roles that allow them, and who can assign one."""

    keys: list[str]
    labels: str
    role: str
    grantors: list[str]


@register.simple_tag
def page_link(name: str, *args: Any) -> str:
    """Return the address of a page of another app, empty where there is no such page."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""


@register.filter
def severity_tone(severity: int) -> str:
    """Return the tone of the worst of some incidents."""
    return SEVERITY_TONES.get(severity, "idle")


@register.inclusion_tag("deployments/_head.html", takes_context=True)
def deployment_head(context: Context, deployment: Deployment, current: str) -> dict[str, Any]:
    """Show the head and the tabs of a Deployment; `current` is the key of the tab."""
    user = context["request"].user
    may = {key: user.has_perm(permission, deployment) for key, _, permission in ACTIONS}
    return {
        "deployment": deployment,
        "status": display_status(deployment),
        "is_active": deployment.phase == Phase.ACTIVE,
        "may": may,
        "locks": _locks(deployment, may) if deployment.phase == Phase.ACTIVE else [],
        "tabs": _tabs(deployment, current),
        "csrf_token": context.get("csrf_token"),
        "request": context["request"],
    }


@register.inclusion_tag("deployments/_open_airflow.html", takes_context=True)
def open_airflow_button(context: Context, deployment: Deployment) -> dict[str, Any]:
    """Show the button that opens Airflow signed in, to those who may."""
    user = context["request"].user
    return {
        "reason": _why_no_airflow(deployment),
        "url": page_link("airflow_access:open_airflow", deployment.ref),
        "is_allowed": user.has_perm("deployment.airflow.view", deployment),
        "csrf_token": context.get("csrf_token"),
    }


def _why_no_airflow(deployment: Deployment) -> str:
    """Say why there is no Airflow to open, empty if there is one."""
    if deployment.applied_id is None:
        return "Airflow has not started for the first time yet."
    if deployment.health == Health.STOPPED and deployment.is_hibernating:
        return ""
    if deployment.health == Health.STOPPED:
        return "Airflow is stopped."
    return "Airflow is starting." if deployment.health == Health.STARTING else ""


def _tabs(deployment: Deployment, current: str) -> list[dict[str, Any]]:
    tabs = []
    for key, label, name in TABS:
        url = page_link(name, deployment.ref)
        if url:
            tab = {"label": label, "url": url, "is_current": key == current}
            tabs.append(tab | (_count(deployment) if name == INCIDENTS else {}))
    return tabs


def _count(deployment: Deployment) -> dict[str, Any]:
    tone = SEVERITY_TONES.get(deployment.incident_severity, "")
    return {"count": deployment.open_incidents, "tone": tone}


def _locks(deployment: Deployment, may: dict[str, bool]) -> list[Lock]:
    """Group refused actions by the role that they need, so that each role has one line."""
    locked = [(key, label, permission) for key, label, permission in ACTIONS if not may[key]]
    found = denials(permissions=[permission for _, _, permission in locked], on=deployment)
    refused: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for (key, label, _), denial in zip(locked, found, strict=True):
        refused.setdefault(denial.roles, []).append((key, label))
    return [
        Lock(
            keys=[key for key, _ in actions],
            labels=", ".join(label for _, label in actions),
            role=" or ".join(roles[:2]),
            grantors=[str(person) for person in found[0].grantors],
        )
        for roles, actions in refused.items()
    ]
