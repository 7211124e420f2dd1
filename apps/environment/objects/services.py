"""Creating, changing, linking and deleting environment objects. Secrets are never shown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.errors import Conflict, Invalid
from apps.deployments import tasks
from apps.deployments.models import Deployment, Phase
from apps.deployments.reconciling.shared_values import note_change
from apps.environment.objects.backend_types import BACKEND_TYPES, check_backend, moved
from apps.environment.objects.connection_types import type_called
from apps.environment.objects.models import (
    TYPED,
    EnvironmentLink,
    EnvironmentObject,
    Kind,
    Stored,
)
from apps.environment.objects.sealing import seal, secret_of
from apps.environment.objects.values import (
    CONNECTION_FIELDS,
    Value,
    checked_name,
    checked_value,
    merged,
    parted,
    without,
)
from apps.organizations.models import Workspace

Place = Workspace | Deployment
MOST_OBJECTS = 1_000


@dataclass(frozen=True, kw_only=True)
class ObjectData:
    """What is entered of an object. Secret fields that `value` lacks keep what is stored, except
    those in `forgotten`. `linked` are the Deployments that a workspace's object reaches besides
    `links_all`, by primary key; None leaves its links as they are.
    """

    name: str
    value: Value = field(repr=False)
    description: str = ""
    is_secret: bool = False
    links_all: bool = False
    linked: frozenset[int] | None = None
    forgotten: frozenset[str] = frozenset()


@transaction.atomic
def create_object(*, actor: User, place: Place, kind: str, data: ObjectData) -> EnvironmentObject:
    """Create an object at a workspace or a Deployment. Raises Invalid."""
    workspace = _lock(place)
    if EnvironmentObject.objects.filter(workspace=workspace).count() >= MOST_OBJECTS:
        raise Invalid(f"A workspace has at most {MOST_OBJECTS:,} connections and variables.")
    row = EnvironmentObject(workspace=workspace, kind=kind, created_by=actor)
    row.deployment = place if isinstance(place, Deployment) else None
    row.name = checked_name(kind, data.name)
    _write(row, data, actor)
    _save(row)
    _link(row, data.linked)
    _record(
        "created", actor, row, {"name": [None, row.name], "type": [None, row.plain.get("type")]}
    )
    _deliver(_reached_by(row))
    return row


@transaction.atomic
def update_object(*, actor: User, found: EnvironmentObject, data: ObjectData) -> EnvironmentObject:
    """Change an object; its name and kind stay. Raises Invalid."""
    _lock(found.place)
    row = EnvironmentObject.objects.get(pk=found.pk)
    before, had = set(_reached_by(row)), _audited(row)
    _write(row, data, actor)
    _save(row)
    if row.deployment_id is None:
        _link(row, data.linked)
    after = _audited(row)
    changes: dict[str, list[Any]] = {
        key: [had[key], after[key]] for key in after if had[key] != after[key]
    }
    fresh = _typed_secrets(row, data)
    if fresh:
        changes["replaced"] = [None, ", ".join(fresh)]
    _record("updated", actor, row, {"name": [row.name, row.name], **changes})
    _deliver(before | set(_reached_by(row)))
    return row


@transaction.atomic
def delete_object(*, actor: User, found: EnvironmentObject) -> None:
    """Delete an object. What reads it fails from then on."""
    _lock(found.place)
    reached = _reached_by(found)
    _record("deleted", actor, found, {"name": [found.name, None]})
    found.delete()
    _deliver(reached)


@transaction.atomic
def override_object(
    *,
    actor: User,
    found: EnvironmentObject,
    deployment: Deployment,
    value: Value,
    forgotten: frozenset[str] = frozenset(),
) -> None:
    """Let fields of a workspace's object differ in one Deployment, which it then reaches. An empty
    value, with nothing secret stored, ends that. Raises Invalid.
    """
    _lock(found.place)
    if found.deployment_id or deployment.workspace_id != found.workspace_id:
        raise Invalid("Only an object of the workspace can be overridden in its Deployments.")
    link, _ = EnvironmentLink.objects.get_or_create(source=found, deployment=deployment)
    if found.kind == Kind.BACKEND and value:
        raise Invalid("A secrets backend is the same wherever it is linked to. Add another one.")
    checked = checked_value(found.kind, value)
    link.is_excluded = False
    _write_value(link, found.kind, checked, found.is_secret, _type_of(found, checked), forgotten)
    link.save()
    names = ", ".join(link.set_fields) or None
    _record("updated", actor, found, {f"overridden in {deployment.name}": [None, names]})
    _deliver([deployment.pk])


def note_delivery(deployments: Iterable[int]) -> None:
    """Bring what is stored to Deployments again."""
    _deliver(deployments)


def _lock(place: Place) -> Workspace:
    """Lock the workspace, so that links and objects change one after the other."""
    if isinstance(place, Deployment):
        if place.phase != Phase.ACTIVE:
            raise Conflict(f"{place.name} is being deleted, so it cannot be changed.")
        workspace = Workspace.objects.select_for_update().get(pk=place.workspace_id)
        if not Deployment.objects.filter(pk=place.pk, workspace=workspace).exists():
            raise Conflict(f"{place.name} is in another workspace by now. Load the page again.")
        return workspace
    return Workspace.objects.select_for_update().get(pk=place.pk)


def _write(row: EnvironmentObject, data: ObjectData, actor: User) -> None:
    row.description = data.description.strip()[:500]
    value = checked_value(row.kind, data.value)
    if row.kind in TYPED:
        row.is_secret = False
        if not value.get("type"):
            raise Invalid("Choose a type.", field="type")
        if row.kind == Kind.BACKEND:
            check_backend(value)
    else:
        _refuse_to_show(row, value, data)
        row.is_secret = data.is_secret
    had_type = row.plain.get("type")
    is_moved = row.kind == Kind.BACKEND and moved(row.plain, value, value["type"])
    if had_type and (value.get("type") != had_type or is_moved):
        # What another provider reads is of no use to this one, and no server gets another's.
        forgotten = {name for name in row.secret_fields if name.startswith("extra.")}
        data = _forgetting(data, forgotten)
    _write_value(row, row.kind, value, row.is_secret, value.get("type", ""), data.forgotten)
    row.links_all = data.links_all and row.deployment_id is None
    row.updated_by, row.updated_at = actor, timezone.now()


def _refuse_to_show(row: EnvironmentObject, value: Value, data: ObjectData) -> None:
    """A stored secret does not become a value that is shown."""
    if row.is_secret and not data.is_secret and "value" not in value:
        raise Invalid("Enter the value again: a stored secret is never shown.", field="value")
    if "value" not in value and not (row.is_secret and data.is_secret):
        raise Invalid("Enter a value.", field="value")


def _forgetting(data: ObjectData, names: set[str]) -> ObjectData:
    fields = {name: getattr(data, name) for name in data.__dataclass_fields__}
    return ObjectData(**{**fields, "forgotten": data.forgotten | names})


def _write_value(
    row: Stored, kind: str, value: Value, is_secret: bool, type_key: str, forgotten: Iterable[str]
) -> None:
    shown = _shown_extra(kind, type_key)
    plain, typed = parted(kind, value, is_secret=is_secret, shown_extra=shown)
    keeps = kind in TYPED or is_secret
    stored = without(_known(row), forgotten) if keeps else {}
    row.plain = plain
    seal(row, merged(stored, typed))


def _shown_extra(kind: str, type_key: str) -> Iterable[str]:
    if kind == Kind.BACKEND:
        return BACKEND_TYPES[type_key].shown_extra if type_key in BACKEND_TYPES else ()
    return type_called(type_key).shown_extra if kind == Kind.CONNECTION else ()


def _known(row: Stored) -> dict[str, Any]:
    try:
        return secret_of(row)
    except SecretUnreadable:
        # Its key was lost: whoever edits it enters everything again.
        return {}


def _type_of(found: EnvironmentObject, value: Value) -> str:
    return str(value.get("type") or found.plain.get("type", ""))


def _save(row: EnvironmentObject) -> None:
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        label = Kind(row.kind).label
        raise Invalid(f"{label} “{row.name}” is here already.", field="name") from None


def _link(row: EnvironmentObject, linked: frozenset[int] | None) -> None:
    """Write links so that exactly `linked` are reached. Of an object that links all, those that are
    not among them are excluded.
    """
    if linked is None or row.deployment_id is not None:
        return
    here = Deployment.objects.filter(workspace=row.workspace_id).exclude(phase=Phase.DELETED)
    known = {link.deployment_id: link for link in row.links.all()}
    for pk in here.values_list("pk", flat=True):
        is_reached, link = pk in linked, known.get(pk)
        if is_reached == row.links_all and (link is None or not link.overrides):
            if link is not None:
                link.delete()
        elif is_reached:
            EnvironmentLink.objects.update_or_create(
                source=row, deployment_id=pk, defaults={"is_excluded": False}
            )
        elif row.links_all:
            EnvironmentLink.objects.update_or_create(
                source=row,
                deployment_id=pk,
                defaults={"is_excluded": True, "plain": {}, "sealed": None, "secret_fields": []},
            )
        elif link is not None:
            link.delete()


def _reached_by(row: EnvironmentObject) -> list[int]:
    if row.deployment_id is not None:
        return [row.deployment_id]
    here = Deployment.objects.filter(workspace=row.workspace_id, phase=Phase.ACTIVE)
    links = EnvironmentLink.objects.filter(source=row)
    if row.links_all:
        excluded = links.filter(is_excluded=True).values("deployment")
        return list(here.exclude(pk__in=excluded).values_list("pk", flat=True))
    linked = links.filter(is_excluded=False).values("deployment")
    return list(here.filter(pk__in=linked).values_list("pk", flat=True))


def _audited(row: EnvironmentObject) -> dict[str, str]:
    """Return what the audit log compares: which fields hold a value, never which."""
    names = Deployment.objects.filter(pk__in=_reached_by(row)).order_by("name")
    reached = "all Deployments" if row.links_all and not row.links.exists() else ""
    return {
        "type": str(row.plain.get("type", "")),
        "fields": ", ".join(row.set_fields),
        "description": row.description,
        "is secret": "yes" if row.is_secret else "no",
        "linked to": reached or ", ".join(names.values_list("name", flat=True)[:20]),
    }


def _typed_secrets(row: EnvironmentObject, data: ObjectData) -> list[str]:
    typed = {name for name in data.value if name in CONNECTION_FIELDS or name == "value"}
    typed |= {f"extra.{name}" for name in data.value.get("extra") or {}}
    return sorted(typed & set(row.secret_fields))


def _record(what: str, actor: User, row: EnvironmentObject, changes: Mapping[str, Any]) -> None:
    label = Kind(row.kind).label.lower()
    record_on(
        action=f"environment_object.{what}",
        actor=actor,
        on=row.place,
        changes={"object": [label, label], **changes},
    )


def _deliver(deployment_ids: Iterable[int]) -> None:
    reached = sorted(set(deployment_ids))
    note_change(reached)
    transaction.on_commit(partial(tasks.hint, *reached), robust=True)
