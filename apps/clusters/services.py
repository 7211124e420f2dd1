"""Change, share and remove clusters; `connections.services` registers them. Every write is audited,
without secrets.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.clusters.connections.sealed import keep_database_server, seal
from apps.clusters.connections.services import (
    lock_clusters,
    may_move,
    record_on_cluster,
    refuse_taken_name,
)
from apps.clusters.models import SEALED, Cluster
from apps.clusters.queries import deployments_in_words, deployments_on
from apps.core.certificates import ca_ends_at
from apps.core.errors import Invalid, Refused
from apps.organizations.models import Organization, Workspace

MOST_NAMES = 5
REPLACED = "replaced"
SERVER = ("database_host", "database_port")
# Where databases and logs of Deployments go, and with them their secrets, and what proves that they
# arrive there.
DESTINATIONS = (
    "namespaces",
    *SERVER,
    "database_sslmode",
    "database_ca",
    "logs_url",
    "logs_endpoint",
)
# Where images come from that run beside the secrets of Deployments, and what proves it.
SUPPLIES = (
    "registry_repository",
    "registry_user",
    "registry_ca",
    "runtime_repository",
    "package_index",
    "image_mirror",
)
# After a change of these a Deployment would not find its data any more.
FIXED_WHILE_USED = {
    "storage_class": "the storage class",
    "logs_in": "where logs are kept",
    "logs_storage_class": "the storage class of logs",
    "logs_access": "the access mode of logs",
    "logs_size": "the size of the volume of logs",
}
# A change of these changes the objects of every Deployment there.
APPLIED_AGAIN_FOR = (
    "logs_url",
    "logs_endpoint",
    "logs_access_key",
    "logs_secret_key",
    "image_pull_secret",
    "image_mirror",
    "history_days",
)
# These as well, of Deployments with a database on that server. A new server is for new ones.
OF_THE_SERVER = ("database_user", "database_password", "database_sslmode", "database_ca")
# Certificates, and the column that says when they end.
CERTIFICATES = {
    "database_ca": "database_ca_expires_at",
    "registry_ca": "registry_ca_expires_at",
}
SECRET_SETTINGS = (
    "database_password",
    "logs_secret_key",
    "image_pull_secret",
    "registry_password",
)


@transaction.atomic
def register_this_machine(*, actor: User, organization: Organization) -> Cluster:
    """Let an organization run Deployments on the machine that the portal runs on."""
    cluster = Cluster.objects.create(
        organization=organization, kind=Cluster.Kind.LOCAL, name=Cluster.Kind.LOCAL.label
    )
    record_on_cluster("cluster.registered", actor, cluster)
    return cluster


@transaction.atomic
def update_settings(
    *,
    actor: User,
    cluster: Cluster,
    settings: Mapping[str, Any],
    secrets: Mapping[str, str | None],
    may_apply_again: bool = False,
) -> int:
    """Change name and settings. `secrets` holds only those that were typed (or None: removed).

    Returns how many Deployments are applied again for it. Databases stay where they are: another
    server is for new Deployments. Raises Invalid when the name is taken or Deployments would have
    to be applied again and may not, Refused when it would move the data of Deployments, or send
    that of new ones elsewhere and the person is one whom `may_move` denies it.
    """
    lock_clusters(cluster.organization)
    row = Cluster.objects.select_for_update().get(pk=cluster.pk)
    refuse_taken_name(row.organization, settings["name"], but=row)
    changes = {
        name: [getattr(row, name), value]
        for name, value in settings.items()
        if getattr(row, name) != value
    }
    if changes.keys() & set(DESTINATIONS) and not may_move(actor=actor, cluster=row):
        raise Refused(
            "Only an owner of the organization can change the namespaces and the PostgreSQL server "
            "of a cluster, how it is encrypted, the bucket or its endpoint: data of Deployments "
            "would go to the new one. Ask an owner, or keep them."
        )
    if changes.keys() & set(SUPPLIES) and not may_move(actor=actor, cluster=row):
        raise Refused(
            "Only an owner of the organization can change the registry of a cluster and where "
            "packages come from: what is taken from there runs with the secrets of Deployments. "
            "Ask an owner, or keep them."
        )
    _refuse_moving_data(actor, row, changes)
    _refuse_taken_namespaces(actor, row, settings)
    if changes.keys() & SERVER:
        _keep_former_server(row, settings)
    for name, (_, value) in changes.items():
        setattr(row, name, value)
    for name, value in secrets.items():
        seal(row, name, value or "")
        changes[name] = [None, REPLACED if value else "removed"]
    if not changes:
        return 0
    concerned = _concerned(row, changes)
    if concerned and not may_apply_again:
        message = f"Confirm that {deployments_in_words(concerned)} applied again."
        raise Invalid(message, field="apply_again")
    row.connection_version += 1
    row.settings_version += bool(concerned)
    ends = {column: name for name, column in CERTIFICATES.items() if name in changes}
    for column, name in ends.items():
        setattr(row, column, ca_ends_at(getattr(row, name)))
    row.save(update_fields=[*changes, *ends, "connection_version", "settings_version"])
    record_on_cluster("cluster.updated", actor, row, **changes)
    return concerned


@transaction.atomic
def choose_workspaces(
    *, actor: User, cluster: Cluster, is_for_all: bool, workspaces: list[Workspace]
) -> None:
    """Set which workspaces may create Deployments on a cluster. Existing ones stay."""
    row = Cluster.objects.select_for_update().get(pk=cluster.pk)
    before = _reach(row)
    row.is_for_all_workspaces = is_for_all
    row.save(update_fields=["is_for_all_workspaces"])
    row.workspaces.set([] if is_for_all else workspaces)
    after = _reach(row)
    if before != after:
        record_on_cluster("cluster.workspaces_chosen", actor, row, workspaces=[before, after])


@transaction.atomic
def remove_cluster(*, actor: User, cluster: Cluster, typed_name: str) -> None:
    """Remove a cluster with its credential from the portal. Nothing in the cluster is touched.

    Raises Invalid when the name was typed wrong, Refused while Deployments use it.
    """
    if typed_name != cluster.name:
        raise Invalid(f"Type {cluster.name} to confirm.", field="confirm")
    # A concurrent creation of a Deployment waits here, then finds no cluster.
    row = Cluster.objects.select_for_update().get(pk=cluster.pk)
    _refuse_in_use(actor, row, "Delete them first.")
    row.removed_at = timezone.now()
    for name in SEALED:
        setattr(row, name, None)
    row.unreachable_since = row.blind_until = row.renew_token_at = None
    row.connection_version += 1
    row.save(
        update_fields=[
            "removed_at",
            "credential",
            *SECRET_SETTINGS,
            "unreachable_since",
            "blind_until",
            "renew_token_at",
            "connection_version",
        ]
    )
    row.former_database_servers.all().delete()
    record_on_cluster("cluster.removed", actor, row, name=[row.name, None])


def _refuse_moving_data(actor: User, cluster: Cluster, changes: Mapping[str, Any]) -> None:
    moved = [words for name, words in FIXED_WHILE_USED.items() if name in changes]
    if moved:
        message = f"While Deployments run here, {' and '.join(moved)} cannot be changed."
        _refuse_in_use(actor, cluster, message)


def _refuse_taken_namespaces(actor: User, cluster: Cluster, settings: Mapping[str, Any]) -> None:
    """Refuse to take away a namespace that has a Deployment, and to begin or end naming them while
    Deployments run: they would not be found any more.
    """
    named = set(settings.get("namespaces", cluster.namespaces).split())
    if bool(named) != bool(cluster.namespaces):
        _refuse_in_use(actor, cluster, "While Deployments run here, this stays as it is.")
    taken = set(
        deployments_on(cluster=cluster).exclude(namespace="").values_list("namespace", flat=True)
    )
    if gone := sorted(taken - named):
        raise Refused(f"A Deployment has the namespace {gone[0]} of {cluster}. Delete it first.")


def _keep_former_server(cluster: Cluster, settings: Mapping[str, Any]) -> None:
    """Keep the replaced server as long as databases of Deployments are on it."""
    former, server = cluster.former_database_servers, cluster.database_server
    in_use = set(deployments_on(cluster=cluster).values_list("database_server", flat=True))
    host, port = (settings.get(name, getattr(cluster, name)) for name in SERVER)
    former.filter(host=host, port=port).delete()
    for one in former.all():
        if str(one) not in in_use:
            one.delete()
    if server and server in in_use:
        keep_database_server(cluster)


def _concerned(cluster: Cluster, changes: Mapping[str, Any]) -> int:
    """Count the Deployments that some changes would affect."""
    there = deployments_on(cluster=cluster).filter(phase="active")
    if any(name in changes for name in APPLIED_AGAIN_FOR):
        return int(there.count())
    if any(name in changes for name in OF_THE_SERVER) and not changes.keys() & SERVER:
        return int(there.filter(database_server=cluster.database_server).count())
    return 0


def _refuse_in_use(actor: User, cluster: Cluster, message: str) -> None:
    """Name the Deployments that the actor may see: those of other workspaces are only counted."""
    there = deployments_on(cluster=cluster)
    if count := there.count():
        seen = [one.name for one in there.visible_to(actor)[:MOST_NAMES]]
        rest = count - len(seen)
        others = f"{rest} {'other ' if seen else ''}Deployment{'' if rest == 1 else 's'}"
        names = " and ".join(part for part in (", ".join(seen), others if rest else "") if part)
        raise Refused(f"{cluster} runs {names}. {message}")


def _reach(cluster: Cluster) -> str:
    if cluster.is_for_all_workspaces:
        return "all"
    return ", ".join(cluster.workspaces.order_by("name").values_list("name", flat=True))
