"""Writes events of the outbox in the shape that is sent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.deployments.models import Deployment, Operation
from apps.organizations.models import Organization, Workspace
from apps.webhooks.events.models import Event
from apps.webhooks.events.shapes import (
    AuditData,
    Data,
    DeploymentOf,
    Envelope,
    HealthData,
    IncidentData,
    OperationData,
    OrganizationOf,
    RevisionData,
    WorkspaceOf,
)
from apps.webhooks.events.topics import Topic, topic_of_action

DEPLOYS = frozenset({Operation.Kind.DEPLOY, Operation.Kind.ROLL_BACK})
# The timeline of an incident tells the same.
TOLD_OTHERWISE = ("incident.",)


@dataclass(frozen=True, kw_only=True)
class Composed:
    """An event for all webhooks that want its topic; each gives it its own `sequence`."""

    organization_id: int
    workspace_id: int | None
    topic: Topic
    envelope: Envelope


def compose(events: Sequence[Event]) -> Iterator[Composed]:
    """Write events, in their order, where they happened and are now. Four queries at most.

    Those of an organization or a Deployment that is not there any more are left out.
    """
    deployments = _deployments(events)
    workspaces = _workspaces(events)
    organizations = Organization.objects.in_bulk({one.organization_id for one in events})
    for event in events:
        organization = organizations.get(event.organization_id)
        if organization is None or event.what.startswith(TOLD_OTHERWISE):
            continue
        deployment = deployments.get(_deployment_id(event))
        workspace = deployment.workspace if deployment else workspaces.get(_workspace_id(event))
        topic, kind, data = _about(event)
        yield Composed(
            organization_id=organization.pk,
            workspace_id=workspace.pk if workspace else None,
            topic=topic,
            envelope=Envelope(
                id=f"evt_{event.pk}",
                type=kind,
                sequence=0,
                at=event.at,
                object=event.subject,
                organization=OrganizationOf(slug=organization.slug, name=organization.name),
                workspace=_workspace_of(workspace),
                deployment=_deployment_of(deployment),
                data=data,
            ),
        )


def _about(event: Event) -> tuple[Topic, str, Data]:
    data: Mapping[str, Any] = event.data
    match event.source:
        case Event.Source.OPERATION:
            is_deploy = data["kind"] in DEPLOYS
            topic = Topic.DEPLOYS if is_deploy else Topic.OPERATIONS
            noun = "deploy" if is_deploy else "operation"
            return topic, f"{noun}.{event.what}", OperationData(**data)
        case Event.Source.REVISION:
            return Topic.REVISIONS, f"revision.{event.what}", RevisionData(**data)
        case Event.Source.HEALTH:
            return Topic.HEALTH, f"health.{event.what}", HealthData(**data)
        case Event.Source.INCIDENT:
            number = f"INC-{data['id']}"
            return Topic.INCIDENTS, f"incident.{event.what}", IncidentData(number=number, **data)
    return topic_of_action(event.what), event.what, AuditData(**data)


def _deployments(events: Sequence[Event]) -> dict[int, Deployment]:
    rows = Deployment.objects.select_related("workspace")
    return rows.in_bulk({_deployment_id(one) for one in events} - {0})


def _workspaces(events: Sequence[Event]) -> dict[int, Workspace]:
    return Workspace.objects.in_bulk({_workspace_id(one) for one in events} - {0})


def _deployment_id(event: Event) -> int:
    return event.deployment_id or _target(event, "deployment")


def _workspace_id(event: Event) -> int:
    return _target(event, "workspace")


def _target(event: Event, kind: str) -> int:
    """Return the id of what an audit event is about, 0 if it is of another kind."""
    found, _, number = event.subject.partition("/")
    is_it = event.source == Event.Source.AUDIT and found == kind and number.isdigit()
    return int(number) if is_it else 0


def _workspace_of(workspace: Workspace | None) -> WorkspaceOf | None:
    return WorkspaceOf(slug=workspace.slug, name=workspace.name) if workspace else None


def _deployment_of(deployment: Deployment | None) -> DeploymentOf | None:
    return DeploymentOf(id=deployment.ref, name=deployment.name) if deployment else None
