"""Values that reach a Deployment from outside of its revisions, and whether they were delivered.

An app above this one stores them. It counts up `environment_version` of the Deployments that a
change concerns; a pass that applied what it had read before notes that version as delivered.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from django.db.models import F
from django.db.models.functions import Now

from apps.dataplane.spec import VariableSpec
from apps.deployments.models import Deployment


@dataclass(frozen=True, kw_only=True)
class SharedValues:
    """`document` is JSON of connections and Airflow variables for the portal's secrets backend,
    empty without any; `variables` are environment variables.
    """

    document: str = field(default="", repr=False)
    variables: tuple[VariableSpec, ...] = ()


SOURCES: list[Callable[[Deployment], SharedValues]] = []


def shared_values(deployment: Deployment) -> SharedValues:
    """Return what reaches a Deployment. Raises SecretUnreadable."""
    return SOURCES[0](deployment) if SOURCES else SharedValues()


def note_change(deployment_ids: Iterable[int]) -> None:
    """Make Deployments due whose shared values changed."""
    Deployment.objects.filter(pk__in=list(deployment_ids)).update(
        environment_version=F("environment_version") + 1,
        next_reconcile_at=Now(),
        is_urgent=True,
    )


def is_delivered(deployment: Deployment) -> bool:
    """Return whether the data plane has the newest values, as far as the row says."""
    return deployment.environment_delivered >= deployment.environment_version
