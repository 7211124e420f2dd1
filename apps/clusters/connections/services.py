"""Register a cluster, test it, replace its credential: all that talks to it.

A test takes seconds, so it never happens inside a transaction. Every write is audited, without
secrets.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.access.queries import permissions_held
from apps.access.roles.catalogue import PERMISSIONS
from apps.accounts.models import User
from apps.audit.services import record
from apps.clusters.connections.kubeconfig import Access
from apps.clusters.connections.planes import allowed_networks
from apps.clusters.connections.probe import (
    probe,
    probe_connection,
    probe_connections,
    stored_form,
)
from apps.clusters.connections.renewal import renewal_of
from apps.clusters.connections.sealed import seal_credential
from apps.clusters.connections.sources import Source
from apps.clusters.models import Cluster
from apps.core.certificates import ca_ends_at
from apps.core.errors import Conflict, Invalid, PortalError, Refused
from apps.dataplane.kubernetes.api.addresses import AddressRefused
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.status import PlaneCheck
from apps.organizations.models import Organization

END = "-----END CERTIFICATE-----"
MOST_AT_ONCE = 10


class CredentialUnusable(PortalError):
    """A new credential failed its test. `check` is what the test found."""

    def __init__(self, message: str, *, check: PlaneCheck) -> None:
        super().__init__(message)
        self.check = check


def register_cluster(
    *, actor: User, organization: Organization, name: str, access: Access, namespaces: str = ""
) -> Cluster:
    """Test a Kubernetes cluster and store it, whatever the test found: what is missing can be added
    later, and tested again. `namespaces` are those that the portal may write in, one a line.

    Raises Invalid when the name is taken or the address must not be connected to.
    """
    refuse_taken_name(organization, name)
    cluster = Cluster(
        organization=organization,
        kind=Cluster.Kind.KUBERNETES,
        name=name,
        namespaces=namespaces,
    )
    _take(cluster, access)
    check = _probed(cluster, access.connection)
    _note(cluster, check)
    with transaction.atomic():
        lock_clusters(organization)
        refuse_taken_name(organization, name)
        cluster.save(force_insert=True)
        record_on_cluster("cluster.registered", actor, cluster, server=[None, cluster.server])
    return cluster


def register_clusters(
    *, actor: User, organization: Organization, accesses: Mapping[str, Access]
) -> list[Cluster]:
    """Test several clusters side by side and store them under their names, as `register_cluster`
    does with one: all or none. At most `MOST_AT_ONCE`.

    Raises Invalid when a name is taken or an address must not be connected to.
    """
    if len(accesses) > MOST_AT_ONCE:
        raise Invalid(f"Register at most {MOST_AT_ONCE} clusters at once.", field="clusters")
    rows = []
    for name, access in accesses.items():
        refuse_taken_name(organization, name)
        row = Cluster(organization=organization, kind=Cluster.Kind.KUBERNETES, name=name)
        _take(row, access)
        rows.append((row, access.connection))
    for row, check in zip((one for one, _ in rows), _probed_together(rows), strict=True):
        _note(row, check)
    with transaction.atomic():
        lock_clusters(organization)
        for row, _ in rows:
            refuse_taken_name(organization, row.name)
            row.save(force_insert=True)
            record_on_cluster("cluster.registered", actor, row, server=[None, row.server])
    return [row for row, _ in rows]


def register_found(
    *, actor: User, organization: Organization, source: Source, keys: Sequence[str]
) -> list[Cluster]:
    """Register clusters that a source of a cloud offers, by their keys there. Each is called as in
    the cloud, with its region where that name is taken.

    Raises Invalid with what the cloud refuses, and as `register_clusters` does.
    """
    if not keys:
        raise Invalid("Choose at least one cluster.", field="keys")
    taken = {name.lower() for name in organization.clusters.there().values_list("name", flat=True)}
    accesses: dict[str, Access] = {}
    for key in dict.fromkeys(keys[: MOST_AT_ONCE + 1]):
        access = source.access_to(key, networks=allowed_networks(), now=timezone.now())
        identity = access.connection.identity
        facts = identity.facts if identity else {}
        name = facts["cluster"][:60]
        if name.lower() in taken:
            name = f"{facts['cluster'][:38]} {facts['region'][:20]}"
        taken.add(name.lower())
        accesses[name] = access
    return register_clusters(actor=actor, organization=organization, accesses=accesses)


def check_cluster(*, actor: User, cluster: Cluster) -> PlaneCheck:
    """Test a cluster again and store the result."""
    check = probe(cluster)
    before = _kind(cluster)
    columns = _note(cluster, check)
    with transaction.atomic():
        # A result from an old credential does not apply to a new one.
        same = Cluster.objects.filter(
            pk=cluster.pk, connection_version=cluster.connection_version, removed_at=None
        )
        same.update(**{name: getattr(cluster, name) for name in columns})
        if _kind(cluster) != before:
            same.update(
                connection_version=F("connection_version") + 1,
                settings_version=F("settings_version") + 1,
            )
        record_on_cluster("cluster.tested", actor, cluster, usable=[None, check.is_usable])
    return check


def replace_credential(*, actor: User, cluster: Cluster, access: Access) -> PlaneCheck:
    """Test another credential or address of the same cluster, then use it from now on.

    The old one stays in use until the new one has passed. Raises CredentialUnusable when it did
    not, Invalid for an address that must not be connected to, Refused for another address of a
    person who `may_move` denies it, Conflict after a concurrent change.
    """
    version = cluster.connection_version
    _refuse_moving(actor, cluster, access.connection)
    check = _probed(cluster, access.connection)
    _refuse_unusable(cluster, check)
    _refuse_another_cluster(cluster, check)
    before, was = (cluster.server, _principal(cluster)), _kind(cluster)
    columns = [*_take(cluster, access), *_note(cluster, check)]
    values = {name: getattr(cluster, name) for name in columns}
    news = int(_kind(cluster) != was)
    values |= {"connection_version": version + 1, "settings_version": F("settings_version") + news}
    with transaction.atomic():
        same = Cluster.objects.filter(pk=cluster.pk, connection_version=version, removed_at=None)
        if not same.update(**values):
            raise Conflict(
                "This cluster was changed by another person in the meantime. Check it again."
            )
        after = (cluster.server, _principal(cluster))
        changes = {
            name: [old, new]
            for name, old, new in zip(("server", "identity"), before, after, strict=True)
            if old != new
        }
        record_on_cluster("cluster.credential_replaced", actor, cluster, **changes)
    return check


def may_move(*, actor: User, cluster: Cluster) -> bool:
    """Return whether a person may give a cluster another address or authority.

    Deployments go there with all their secrets, and nothing that answers there can prove to be the
    same cluster: it states its identity itself, and whoever may read the old one could pass on any
    challenge. So it takes a person who may do everything in the organization, an owner.
    """
    held = permissions_held(user=actor, on=cluster.organization)
    return held >= frozenset(PERMISSIONS)


def lock_clusters(organization: Organization) -> None:
    """Serialize requests that could take the same name."""
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)


def refuse_taken_name(organization: Organization, name: str, *, but: Cluster | None = None) -> None:
    """Raise Invalid when another cluster of the organization has the name."""
    others = Cluster.objects.there().filter(organization=organization, name__iexact=name)
    if but is not None:
        others = others.exclude(pk=but.pk)
    if others.exists():
        raise Invalid(f"{organization} has a cluster called {name} already.", field="name")


def record_on_cluster(action: str, actor: User, cluster: Cluster, **changes: list[Any]) -> None:
    """Write an audit event about a cluster."""
    record(
        action=action,
        actor=actor,
        organization_id=cluster.organization_id,
        target_kind="cluster",
        target_id=cluster.pk,
        target_label=cluster.name,
        changes=changes,
    )


def _probed(cluster: Cluster, connection: Connection) -> PlaneCheck:
    try:
        return probe_connection(cluster, connection)
    except AddressRefused as error:
        raise Invalid(error.message, field="server") from error


def _probed_together(rows: Sequence[tuple[Cluster, Connection]]) -> list[PlaneCheck]:
    try:
        return probe_connections(rows)
    except AddressRefused as error:
        raise Invalid(error.message, field="clusters") from error


def _refuse_unusable(cluster: Cluster, check: PlaneCheck) -> None:
    """Refuse a connection that works worse than the stored one. Missing permissions are accepted
    where the stored one lacks some, too.
    """
    if check.is_usable or (check.version and not cluster.is_usable):
        return
    faults = [one.detail or one.title for one in check.findings if not one.is_ok]
    reason = faults[0] if faults else "It lacks permissions that the current one has."
    raise CredentialUnusable(f"The current credential stays in use. {reason}", check=check)


def _refuse_moving(actor: User, cluster: Cluster, connection: Connection) -> None:
    is_same = (
        connection.server == cluster.server
        and connection.tls_server_name == cluster.tls_server_name
        and _authorities(connection.ca_certificate) <= _authorities(cluster.ca_certificate)
    )
    if not is_same and not may_move(actor=actor, cluster=cluster):
        raise Refused(
            "Only an owner of the organization can change the address, the CA certificate or the "
            "TLS server name of a cluster: everything that runs there would go to the new one. Ask "
            "an owner, or keep them and replace the credential alone."
        )


def _authorities(pem: str) -> frozenset[str]:
    return frozenset("".join(one.split()) for one in pem.split(END) if one.strip())


def _refuse_another_cluster(cluster: Cluster, check: PlaneCheck) -> None:
    known, found = cluster.identity_seen, check.identity
    if known and not found:
        raise CredentialUnusable(
            "The current credential stays in use: with this one, the cluster does not tell which "
            "one it is. Let it read the namespace kube-system.",
            check=check,
        )
    if known and known != found:
        raise CredentialUnusable(
            "The current credential stays in use: this one is for another cluster. "
            "Register that one beside it.",
            check=check,
        )


def _take(cluster: Cluster, access: Access) -> list[str]:
    """Set the columns of a row from a connection, and return their names."""
    connection = access.connection
    cluster.server = connection.server
    cluster.ca_certificate = connection.ca_certificate
    cluster.tls_server_name = connection.tls_server_name
    cluster.proxy_url = connection.proxy
    cluster.credential_kind = _kind_of(connection)
    cluster.cloud = connection.identity.facts if connection.identity else {}
    cluster.credential_set_at = timezone.now()
    cluster.credential_expires_at = access.expires_at
    renewal = renewal_of(connection.token, now=cluster.credential_set_at)
    for name, value in renewal.items():
        setattr(cluster, name, value)
    seal_credential(cluster, connection)
    return [
        "server",
        "ca_certificate",
        "tls_server_name",
        "proxy_url",
        "credential",
        "credential_kind",
        "cloud",
        "credential_set_at",
        "credential_expires_at",
        *renewal,
    ]


def _principal(cluster: Cluster) -> str:
    """As whom the portal comes to a cluster of a cloud, "" for others."""
    return str(cluster.cloud.get("principal", ""))


def _kind_of(connection: Connection) -> str:
    if connection.identity is not None:
        return connection.identity.facts["cloud"]
    if connection.token:
        return Cluster.CredentialKind.TOKEN
    return Cluster.CredentialKind.CERTIFICATE


def _kind(cluster: Cluster) -> tuple[bool, bool, bool]:
    """Return what tests find out and Deployments are rendered by."""
    return cluster.has_keda, cluster.gives_user_ids, cluster.may_scale


def _note(cluster: Cluster, check: PlaneCheck) -> list[str]:
    """Set the columns of a row from a test's result, and return their names."""
    now = timezone.now()
    result = stored_form(check)
    cluster.checked_at, cluster.check_result = now, result
    cluster.ca_expires_at = ca_ends_at(cluster.ca_certificate)
    columns = ["checked_at", "check_result", "ca_expires_at"]
    if not check.version:
        return columns
    cluster.version, cluster.seen_at = result["version"][:60], now
    cluster.identity_seen = cluster.identity_seen or result["identity"][:60]
    if check.has_keda is not None:
        cluster.has_keda = check.has_keda
    if check.gives_user_ids is not None:
        cluster.gives_user_ids = check.gives_user_ids
    if check.may_scale is not None:
        cluster.may_scale = check.may_scale
    # It answers, so the circuit breaker closes.
    cluster.failures, cluster.last_error = 0, ""
    cluster.unreachable_since = cluster.blind_until = None
    return [
        *columns,
        "version",
        "seen_at",
        "identity_seen",
        "has_keda",
        "gives_user_ids",
        "may_scale",
        "failures",
        "last_error",
        "unreachable_since",
        "blind_until",
    ]
