"""The shape of what is sent. Fields are only ever added; `docs/webhook-events.md` is made of it."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field


class Shape(BaseModel):
    """A part of an event."""


class OrganizationOf(Shape):
    """The organization in which it happened."""

    slug: str
    name: str


class WorkspaceOf(Shape):
    """The workspace in which it happened."""

    slug: str
    name: str


class DeploymentOf(Shape):
    """The Deployment to which it happened."""

    id: Annotated[str, Field(description="As in the addresses of its pages.")]
    name: str


class OperationData(Shape):
    """Of `deploy.…` and `operation.…`."""

    number: int
    kind: Annotated[str, Field(description="create, update, deploy, roll-back, retry, delete, …")]
    title: str
    revision: Annotated[int | None, Field(description="The revision that it applies.")]
    failure: Annotated[str, Field(description="Why it failed; empty where it did not.")]


class RevisionData(Shape):
    """Of `revision.…`."""

    number: int
    summary: str
    reason: str
    failure: str


class HealthData(Shape):
    """Of `health.changed`."""

    before: Annotated[str, Field(description="unknown, starting, healthy, unhealthy, stopped")]
    after: str
    message: str


class IncidentData(Shape):
    """Of `incident.…`."""

    number: Annotated[str, Field(description="Such as INC-12.")]
    kind: str
    subject: Annotated[str, Field(description="A queue or component; empty for the whole.")]
    title: str
    summary: str
    severity: Annotated[int, Field(description="10 info, 20 warning, 30 critical.")]
    note: str


class AuditData(Shape):
    """Of every other event: an entry of the audit log."""

    sequence: Annotated[int, Field(description="Its number in the organization's audit log.")]
    actor: Annotated[str, Field(description="An email address, an API token, or the portal.")]
    target_kind: str
    target_label: str
    changes: Annotated[
        dict[str, Any],
        Field(description="A field and its values before and after. Secrets are never among them."),
    ]


class TestData(Shape):
    """Of `webhook.test`, which a person sends from the page of the webhook."""

    message: str


Data = OperationData | RevisionData | HealthData | IncidentData | AuditData | TestData


class Envelope(Shape):
    """An event as it is sent."""

    id: Annotated[str, Field(description="The same each time that it is sent.")]
    type: Annotated[str, Field(description="What happened, such as deploy.failed.")]
    sequence: Annotated[
        int,
        Field(description="1, 2, 3, … for each webhook: a gap is an event that was given up."),
    ]
    at: Annotated[datetime, Field(description="When it happened, in UTC.")]
    object: Annotated[
        str, Field(description="What it is about. Events of one object arrive in order.")
    ]
    organization: OrganizationOf
    workspace: WorkspaceOf | None
    deployment: DeploymentOf | None
    data: Data
