"""What the shape of a Deployment reads. To fetch and parse the other columns of its rows takes
longer than to write the answer.
"""

from collections.abc import Container, Iterable

from django.db.models import F, FilteredRelation, Model, Q, QuerySet

from apps.accounts.models import User
from apps.deployments.models import Deployment, Revision
from apps.deploys.deliveries.queries import with_delivery

_OWN = (
    *("workspace", "cluster", "ref", "name", "created_by", "created_at", "phase", "namespace"),
    *("hibernation", "is_hibernating", "hibernation_turns_at", "is_development"),
    *("health", "health_message", "observation", "next_reconcile_at", "last_error"),
    "quarantined_at",
)
_WANTED = ("number", "config", "code_digest", "state", "failure", "created_at", "created_by")
_APPLIED = ("number", "code_digest")
_PERSON = ("kind", "email", "name")
_BESIDE = {
    "applied": _APPLIED,
    "workspace": ("name", "organization"),
    "workspace__organization": ("name",),
    "cluster": ("kind", "name", "cloud", "unreachable_since"),
    "created_by": _PERSON,
    "wanted__created_by": _PERSON,
}


def _of(path: str, names: Iterable[str]) -> list[str]:
    return [f"{path}__{name}" for name in names]


def _others(model: type[Model], names: Container[str]) -> list[str]:
    fields = [one for one in model._meta.concrete_fields if not one.primary_key]
    return [one.name for one in fields if one.name not in names]


def to_show(rows: QuerySet[Deployment]) -> QuerySet[Deployment]:
    """Read one Deployment with all that stands beside it in its shape: one query."""
    beside = [name for path, names in _BESIDE.items() for name in _of(path, names)]
    return with_delivery(rows).only(*_OWN, "wanted", *_of("wanted", _WANTED), *beside)


def shown(rows: QuerySet[Deployment]) -> QuerySet[Deployment]:
    """Read many, for `complete`. Few clusters and workspaces stand behind many Deployments, and
    mostly the revision that runs is the one that is wanted: none is read by each row.
    """
    other = FilteredRelation("applied", condition=~Q(applied=F("wanted")))
    found = rows.annotate(other_applied=other)
    found = found.select_related("wanted", "other_applied")  # type: ignore[misc]  # annotated
    # A FilteredRelation takes no `only`.
    unread = _others(Deployment, (*_OWN, "wanted", "applied"))
    found = found.defer(*unread, *_of("wanted", _others(Revision, _WANTED)))
    return with_delivery(found).prefetch_related("workspace", "cluster")


def complete(deployments: list[Deployment]) -> None:
    """Add the revisions that run, and who created Deployments and revisions: one query for all."""
    revisions = [one.wanted for one in deployments if one.wanted is not None]
    created: list[Deployment | Revision] = [*deployments, *revisions]
    people = User.objects.in_bulk({one.created_by_id for one in created})
    for one in created:
        one.created_by = people.get(one.created_by_id)
    for deployment in deployments:
        is_same = deployment.applied_id == deployment.wanted_id
        # Django sets no attribute where a FilteredRelation finds nothing.
        other = getattr(deployment, "other_applied", None)
        deployment.applied = deployment.wanted if is_same else other
