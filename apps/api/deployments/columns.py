"""What the shape of a Deployment reads. To fetch and parse the other columns of its rows takes
longer than to write the answer, and so do model instances for many of them.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.db.models.functions import JSONObject

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.deployments.configuration.schema import Configuration
from apps.deployments.models import Deployment
from apps.deploys.deliveries.queries import with_delivery
from apps.organizations.models import Workspace

# In the order of the fields of `ShownDeployment`.
_OWN = (
    *("pk", "ref", "name", "phase", "namespace", "created_at"),
    *("hibernation", "is_hibernating", "hibernation_turns_at", "is_development"),
    *("health", "health_message", "next_reconcile_at", "last_error", "quarantined_at"),
)
_DELIVERY = ("is_cicd_enforced", "is_code_checked", "is_code_waiting")
_WANTED = ("number", "config", "code_digest", "state", "failure", "created_at", "created_by")
_APPLIED = ("number", "code_digest", "state", "failure")
# An observation is long, and to parse a thousand takes a while.
_OBSERVED = ("import_errors", "warnings", "ui_url")
_PERSON = ("kind", "email", "name")
_BESIDE = {
    "applied": ("number", "code_digest"),
    "workspace": ("name", "organization"),
    "workspace__organization": ("name",),
    "cluster": ("kind", "name", "cloud", "unreachable_since"),
    "created_by": _PERSON,
    "wanted__created_by": _PERSON,
}


class ShownRevision(NamedTuple):
    """A revision as the shape reads it."""

    number: int
    config: dict[str, Any]
    code_digest: str
    state: str
    failure: str
    created_at: datetime
    created_by: User | None

    @property
    def configuration(self) -> Configuration:
        return Configuration.from_json(self.config)


class AppliedRevision(NamedTuple):
    """The revision that runs, as the shape reads it."""

    number: int
    code_digest: str
    state: str
    failure: str


class ShownDeployment(NamedTuple):
    """A Deployment as the shape reads it, of the names that the model has."""

    pk: int
    ref: str
    name: str
    phase: str
    namespace: str
    created_at: datetime
    hibernation: dict[str, Any]
    is_hibernating: bool
    hibernation_turns_at: datetime | None
    is_development: bool
    health: str
    health_message: str
    next_reconcile_at: datetime | None
    last_error: str
    quarantined_at: datetime | None
    observation: dict[str, Any]
    is_cicd_enforced: bool
    is_code_checked: bool
    is_code_waiting: bool
    wanted: ShownRevision | None
    applied: AppliedRevision | None
    created_by: User | None
    workspace: Workspace
    cluster: Cluster

    @property
    def import_errors(self) -> int:
        return int(self.observation["import_errors"] or 0)

    @property
    def warnings(self) -> list[str]:
        return list(self.observation["warnings"] or ())


def _of(path: str, names: Iterable[str]) -> list[str]:
    return [f"{path}__{name}" for name in names]


def to_show(rows: QuerySet[Deployment]) -> QuerySet[Deployment]:
    """Read one Deployment with all that stands beside it in its shape: one query."""
    beside = [name for path, names in _BESIDE.items() for name in _of(path, names)]
    own = ("workspace", "cluster", "created_by", "observation", "wanted", *_OWN)
    return with_delivery(rows).only(*own, *_of("wanted", _WANTED), *beside)


def shown(rows: QuerySet[Deployment]) -> QuerySet[Any]:
    """Read the columns of many, for `completed`."""
    seen = JSONObject(**{name: f"observation__{name}" for name in _OBSERVED})
    return with_delivery(rows.annotate(observed=seen)).values_list(
        *(*_OWN, "observed", *_DELIVERY),
        *(*_of("wanted", _WANTED), *_of("applied", _APPLIED)),
        *("created_by", "workspace", "cluster"),
    )


def completed(rows: list[tuple[Any, ...]]) -> list[ShownDeployment]:
    """Put many together. Few people, workspaces and clusters stand behind many Deployments: one
    query for each kind.
    """
    users, workspaces, clusters = ({row[column] for row in rows} for column in _LAST)
    people = User.objects.in_bulk(users | {row[_AUTHOR] for row in rows})
    places = Workspace.objects.in_bulk(workspaces)
    planes = Cluster.objects.in_bulk(clusters)
    return [
        ShownDeployment._make(
            (
                *row[:_REVISIONS],
                _wanted(row, people),
                _applied(row),
                people.get(row[-3]),
                places[row[-2]],
                planes[row[-1]],
            )
        )
        for row in rows
    ]


def _wanted(row: tuple[Any, ...], people: dict[int, User]) -> ShownRevision | None:
    values = row[_REVISIONS : _AUTHOR + 1]
    if values[0] is None:
        return None
    return ShownRevision._make((*values[:-1], people.get(values[-1])))


def _applied(row: tuple[Any, ...]) -> AppliedRevision | None:
    values = row[_AUTHOR + 1 : -3]
    return None if values[0] is None else AppliedRevision._make(values)


_REVISIONS = len(_OWN) + 1 + len(_DELIVERY)
_AUTHOR = _REVISIONS + len(_WANTED) - 1
_LAST = (-3, -2, -1)
