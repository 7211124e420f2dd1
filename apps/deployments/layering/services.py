"""Change what a layer says. Every write is audited, and reaches the Deployments below it by the
mechanism of cluster settings: an operation of its own for each, some at a time.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.access.queries import permissions_held
from apps.access.roles.catalogue import PERMISSIONS
from apps.accounts.models import User
from apps.audit.services import record
from apps.clusters.models import Cluster
from apps.clusters.queries import deployments_in_words
from apps.core.errors import Conflict, Invalid
from apps.deployments.configuration.requested import hold_quota, over_quota
from apps.deployments.editing.code_rights import DEPLOY, TRUST
from apps.deployments.models import Deployment, Phase
from apps.layers.catalogue import SETTINGS, settings_of, settings_on
from apps.layers.models import Layer
from apps.layers.queries import keys_of, layers_above, layers_over
from apps.layers.resolving import Effective, Said, resolve
from apps.layers.setting import LayerName
from apps.organizations.models import Organization, Workspace

Place = Organization | Cluster | Workspace | None


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A Deployment for which something else would hold: `changes` are setting, before, after."""

    deployment: Deployment
    changes: tuple[tuple[str, str, str], ...]


def layer_name(place: Place) -> LayerName:
    """Return which layer a place is."""
    names: dict[type, LayerName] = {
        Organization: "organization",
        Cluster: "cluster",
        Workspace: "workspace",
    }
    return names[type(place)] if place is not None else "portal"


def reached_by(
    *, place: Place, values: Mapping[str, str], locked: Collection[str]
) -> list[Reached]:
    """List the Deployments for which another value would hold if the layer said this, by name.

    Two queries, whatever their number. Raises Invalid for a value that its kind refuses.
    """
    tidied = _tidied(place, values, locked)
    return _reached(_deployments(place), place, tidied, frozenset(locked))


@transaction.atomic
def update_layer(
    *,
    actor: User,
    place: Place,
    values: Mapping[str, str],
    locked: Collection[str],
    base: str | None = None,
    may_apply_again: bool = False,
) -> int:
    """Replace what a layer says. Returns how many Deployments get it, a few at a time. `base` is
    the version that was edited, None where it does not matter.

    Raises Invalid for a value that its kind refuses or a layer above has locked, and when
    Deployments would have to be applied again and may not; Conflict when another change came first.
    """
    tidied = _tidied(place, values, locked)
    _lock_below(place)
    row, _ = Layer.objects.select_for_update().get_or_create(**keys_of(place))
    changes = _differences(row, tidied, locked)
    if not changes:
        return 0
    if base not in (None, row.version):
        raise Conflict(
            "These settings were changed while you edited them. Nothing of yours is saved or lost."
        )
    _refuse_locked(place, changes)
    _refuse_trust(actor, place, changes)
    _refuse_quota(place, tidied, locked)
    reached = _reached(_deployments(place), place, tidied, frozenset(locked))
    if reached and not may_apply_again:
        message = f"Confirm that {deployments_in_words(len(reached))} applied again."
        raise Invalid(message, field="apply_again")
    row.values, row.locked, row.updated_at = tidied, sorted(locked), timezone.now()
    row.save(update_fields=["values", "locked", "updated_at"])
    there = Deployment.objects.filter(pk__in=[one.deployment.pk for one in reached])
    there.update(layers_version=F("layers_version") + 1)
    _record(actor, place, changes)
    return len(reached)


def changed_by_move(
    *, deployment: Deployment, workspace: Workspace
) -> tuple[tuple[str, str, str], ...]:
    """Return what else would hold for a Deployment in another workspace: setting, before, after."""
    cluster = deployment.cluster
    own = deployment.wanted.configuration.own_settings if deployment.wanted else {}
    mine = Said(layer="deployment", values=own)
    before = layers_above(cluster=cluster, workspace_id=deployment.workspace_id)
    after = layers_above(cluster=cluster, workspace_id=workspace.pk)
    return _between(resolve([*before, mine]), resolve([*after, mine]), deployment)


def _tidied(place: Place, values: Mapping[str, str], locked: Collection[str]) -> dict[str, str]:
    offered = {setting.name: setting for setting in settings_of(layer=layer_name(place))}
    unknown = [name for name in [*values, *locked] if name not in offered]
    if unknown:
        raise Invalid(f"There is no setting {unknown[0]} here.", field=unknown[0])
    tidied = {}
    for name, text in values.items():
        try:
            tidied[name] = offered[name].tidy(text)
        except Invalid as error:
            message = f"{offered[name].label}: {error.message}"
            raise Invalid(message, field=name) from None
    return tidied


def _differences(
    row: Layer, values: Mapping[str, str], locked: Collection[str]
) -> dict[str, list[Any]]:
    changes: dict[str, list[Any]] = {
        name: [row.values.get(name), values.get(name)]
        for name in SETTINGS
        if row.values.get(name) != values.get(name)
    }
    for name in SETTINGS:
        if (name in row.locked) != (name in locked):
            words = ["locked" if name in one else "open" for one in (row.locked, locked)]
            changes[f"{name} lock"] = words
    return changes


def _refuse_locked(place: Place, changes: Iterable[str]) -> None:
    above = resolve(layers_over(place))
    for change in changes:
        name = change.removesuffix(" lock")
        if above[name].is_locked:
            message = f"{SETTINGS[name].label} is locked by {above[name].locker}."
            raise Invalid(message, field=name)


def trust_refusal(*, actor: User, place: Place) -> str:
    """Return why this person may not change which CAs are trusted below a place, empty if they may.

    Those of an organization or a cluster are left to owners, and those of a workspace to people who
    may deploy code to its Deployments. Whoever chooses them and a proxy reads and changes all that
    tasks below send and receive.
    """
    if place is None:
        return ""
    if isinstance(place, Workspace):
        if DEPLOY in permissions_held(user=actor, on=place):
            return ""
        return (
            "Which CAs the Deployments of a workspace trust is changed by those who may deploy "
            "code to them. Ask an owner of the workspace, or leave the CAs as they are."
        )
    organization = place.organization if isinstance(place, Cluster) else place
    if permissions_held(user=actor, on=organization) >= frozenset(PERMISSIONS):
        return ""
    return (
        "Only an owner of the organization can change which CAs its Deployments trust. Ask an "
        "owner, or leave them as they are."
    )


def _refuse_trust(actor: User, place: Place, changes: Iterable[str]) -> None:
    is_about_trust = any(one.removesuffix(" lock") == TRUST for one in changes)
    refusal = trust_refusal(actor=actor, place=place) if is_about_trust else ""
    if refusal:
        raise Invalid(refusal, field=TRUST)


def _refuse_quota(place: Place, values: Mapping[str, str], locked: Collection[str]) -> None:
    """Raise Invalid where a workspace would pass the quota that those above set for it. They
    themselves may let it.
    """
    if not isinstance(place, Workspace):
        return
    hold_quota(place)
    said = Said(layer="workspace", place=place.name, values=values, locked=frozenset(locked))
    if passed := over_quota(place, saying=said):
        raise Invalid(passed[1], field=passed[0])


def _lock_below(place: Place) -> None:
    """Let creations and edits of Deployments below a place come before or after, not meanwhile: an
    edit could else take back what it sets itself, and keep the old value of the layer.
    """
    clusters = {
        "portal": Q(),
        "organization": Q(organization=place),
        "cluster": Q(pk=getattr(place, "pk", None)),
        "workspace": Q(organization=getattr(place, "organization_id", None)),
    }[layer_name(place)]
    list(Cluster.objects.select_for_update(no_key=True).filter(clusters).order_by("pk"))
    there = _below(place).select_for_update(no_key=True, of=("self",))
    list(there.order_by("pk").values_list("pk"))


def _below(place: Place) -> Any:
    found = Deployment.objects.filter(phase=Phase.ACTIVE, wanted__isnull=False)
    if isinstance(place, Organization):
        return found.filter(workspace__organization=place)
    if isinstance(place, Cluster):
        return found.filter(cluster=place)
    return found if place is None else found.filter(workspace=place)


def _deployments(place: Place) -> list[Deployment]:
    related = ("wanted", "cluster", "workspace")
    return list(_below(place).select_related(*related).order_by("name", "pk"))


def _reached(
    deployments: Sequence[Deployment],
    place: Place,
    values: Mapping[str, str],
    locked: frozenset[str],
) -> list[Reached]:
    layers = {_key(row): row.said for row in _layers(place)}
    mine = ("portal", 0) if place is None else (layer_name(place), place.pk)
    now = layers.get(mine, Said(layer=layer_name(place), place=str(place or "")))
    new = Said(layer=now.layer, place=now.place, values=values, locked=locked)
    found = []
    for deployment in deployments:
        above = [layers[key] for key in _keys(deployment) if key in layers and key != mine]
        own = deployment.wanted.configuration.own_settings if deployment.wanted else {}
        above.append(Said(layer="deployment", values=own))
        changes = _between(resolve([*above, now]), resolve([*above, new]), deployment)
        if changes:
            found.append(Reached(deployment=deployment, changes=changes))
    return found


def _between(
    before: Mapping[str, Effective], after: Mapping[str, Effective], deployment: Deployment
) -> tuple[tuple[str, str, str], ...]:
    has = settings_on(is_kubernetes=deployment.cluster.is_kubernetes)
    return tuple(
        (setting.label, before[setting.name].value, after[setting.name].value)
        for setting in has
        if not setting.is_rule and before[setting.name].value != after[setting.name].value
    )


def _layers(place: Place) -> Iterable[Layer]:
    rows = Layer.objects.select_related("organization", "cluster", "workspace")
    if place is None:
        return rows
    pk = place.pk if isinstance(place, Organization) else place.organization_id
    of_all = Q(organization=None, cluster=None, workspace=None)
    inside = Q(organization=pk) | Q(cluster__organization=pk) | Q(workspace__organization=pk)
    return rows.filter(of_all | inside)


def _key(row: Layer) -> tuple[str, int]:
    for name in ("organization", "cluster", "workspace"):
        if pk := getattr(row, f"{name}_id"):
            return name, pk
    return "portal", 0


def _keys(deployment: Deployment) -> list[tuple[str, int]]:
    return [
        ("portal", 0),
        ("organization", deployment.workspace.organization_id),
        ("cluster", deployment.cluster_id),
        ("workspace", deployment.workspace_id),
    ]


def _record(actor: User, place: Place, changes: Mapping[str, list[Any]]) -> None:
    if isinstance(place, Organization):
        organization_id: int | None = place.pk
    else:
        organization_id = place.organization_id if place is not None else None
    kind = layer_name(place)
    record(
        action=f"{kind}.deployment_settings_updated",
        actor=actor,
        organization_id=organization_id,
        target_kind=kind,
        target_id=place.pk if place is not None else "portal",
        target_label=str(place) if place is not None else "The portal",
        changes=changes,
    )
