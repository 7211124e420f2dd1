"""Deletes expired grants and records it in the audit log.

The permission itself ends by the database's clock, whenever this runs.
"""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.access.grants.audit_labels import holder_in_words, record_on, role_in_words
from apps.access.models import Grant
from apps.access.scopes import (
    grant_model,
    models_with_roles,
    organization_model,
    team_grant_model,
)

# Changes of roles in the organization wait while one batch is written.
BATCH = 200


def organizations_with_expired_grants() -> list[int]:
    """List the ids of organizations that have expired grants."""
    found: set[int] = set()
    for model, grants in _tables():
        path = _path_to_organization(model)
        found.update(_expired(grants).values_list(path, flat=True).distinct())
    return sorted(found)


@transaction.atomic
def expire_grants(*, organization_id: int) -> list[Any]:
    """Delete a batch of expired grants in an organization and return them.

    Each is recorded once, because the organization's lock is held from reading to deleting. While
    another transaction holds the lock (a change of roles, or another run of this), none are
    deleted.
    """
    free = organization_model().objects.select_for_update(no_key=True, skip_locked=True)
    if free.filter(pk=organization_id).first() is None:
        return []
    taken: list[Any] = []
    for model, grants in _tables():
        here = _expired(grants).filter(**{_path_to_organization(model): organization_id})
        taken += _delete(here[: BATCH - len(taken)], _above(model))
    return taken


def delete_expired(grants: QuerySet[Any]) -> None:
    """Delete those of the grants that have expired, before a new one takes their place."""
    _delete(_expired(grants), ())


def _delete(ended: QuerySet[Any], above: Iterable[str]) -> list[Any]:
    shown = ("user",) if issubclass(ended.model, Grant) else ("group__team",)
    rows = list(ended.select_related(*shown, "permission__role", "content_object", *above))
    for one in rows:
        changes = {holder_in_words(one): [role_in_words(one.role, one.expires_at), None]}
        record_on(action="role.ended", actor=None, on=one.content_object, changes=changes)
    if rows:
        ended.model._default_manager.filter(pk__in=[one.pk for one in rows]).delete()
    return rows


def _expired(grants: QuerySet[Any]) -> QuerySet[Any]:
    return grants.filter(expires_at__lte=Now()).order_by("expires_at", "pk")


def _tables() -> Iterable[tuple[Any, QuerySet[Any]]]:
    for model in models_with_roles():
        for grants in (grant_model(model), team_grant_model(model)):
            yield model, grants.objects.all()


def _path_to_organization(model: Any) -> str:
    return "__".join(filter(None, ("content_object", model.access_paths["organization"])))


def _above(model: Any) -> list[str]:
    return [f"content_object__{path}" for path in model.access_paths.values() if path]
