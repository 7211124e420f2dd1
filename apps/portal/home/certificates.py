"""Certificates and credentials that end soon, of what people entered them for: clusters, CA
bundles, buckets, package indexes and single sign-on. Two queries, and one for each kind of which
something ends.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.conf import settings
from django.db.models import Q, QuerySet, TextField, Value
from django.db.models.functions import Cast
from django.urls import reverse

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.clusters.queries import expiries_of
from apps.core.certificates import ca_ends_at
from apps.deployments.models import Deployment
from apps.layers.kinds.certificates import ending
from apps.layers.models import Layer
from apps.object_stores.models import ObjectStore
from apps.organizations.models import Organization, Workspace
from apps.package_indexes.models import PackageIndex
from apps.package_indexes.queries import indexes_to_change
from apps.sso.models import SSOConnection
from apps.sso.protocols.identity_providers import provider_ends_at

SOON = timedelta(days=14)
BUCKET, INDEX, PROVIDER = "bucket", "index", "provider"
OF_THE_PORTAL = ("GIT_CA", "REGISTRY_CA", "SSO_CA")
# What it is, where, its page, and its ID.
Named = tuple[str, str, str, int]


@dataclass(frozen=True, kw_only=True)
class End:
    """Something that ends soon, or did: `at` is None where the sentence says when."""

    what: str
    where: str
    url: str
    at: datetime | None
    tone: Literal["", "warn", "bad"]


def certificates_that_end(
    user: User, organization: Organization | None, clusters: Sequence[Cluster], now: datetime
) -> Iterator[End]:
    """Tell of all that a person may replace, and of clusters that they see: of everything, or of
    one organization. `clusters` are those that were read.
    """
    yield from _of_clusters(clusters, now)
    yield from _of_ca_bundles(user, organization, clusters, now)
    yield from _of_servers(user, organization, now)
    if user.is_operator and organization is None:
        yield from _of_the_portal(now)


def _of_clusters(clusters: Sequence[Cluster], now: datetime) -> Iterator[End]:
    for one in clusters:
        for expiry in expiries_of(one):
            if expiry.at <= now + SOON:
                yield End(
                    what=f"{expiry.subject} of the cluster",
                    where=one.name,
                    url=reverse("clusters:cluster", args=[one.organization.slug, one.pk]),
                    at=expiry.at,
                    tone="bad" if expiry.at <= now else "warn",
                )


def _of_ca_bundles(
    user: User, organization: Organization | None, clusters: Sequence[Cluster], now: datetime
) -> Iterator[End]:
    """Tell of CAs that the portal, organizations, clusters and workspaces give to Deployments."""
    workspaces = Workspace.objects.allowing(user, "workspace.update")
    if organization is not None:
        workspaces = workspaces.filter(organization=organization)
    places = Q(cluster__in=clusters) | Q(workspace__in=workspaces.values("pk"))
    places |= Q(organization__in={one.organization_id for one in clusters})
    if user.is_operator and organization is None:
        places |= Q(organization=None, cluster=None, workspace=None)
    rows = Layer.objects.filter(places, values__has_key="ca_bundle")
    for row in rows.select_related("organization", "cluster__organization", "workspace"):
        for name, at in ending(row.values["ca_bundle"], now=now):
            yield End(
                what=f"CA {name}",
                where=row.said.place or "The portal",
                url=_settings_of(row),
                at=at,
                tone="bad" if at <= now else "warn",
            )


def _settings_of(row: Layer) -> str:
    if row.organization is not None:
        return reverse("deployments:organization_settings", args=[row.organization.slug])
    if row.cluster is not None:
        of = [row.cluster.organization.slug, row.cluster.pk]
        return reverse("deployments:cluster_settings", args=of)
    if row.workspace is not None:
        return reverse("deployments:workspace_settings", args=[row.workspace.slug])
    return reverse("deployments:portal_settings")


def _of_the_portal(now: datetime) -> Iterator[End]:
    """Tell of private authorities that settings of the portal's process name."""
    url = reverse("portal:documentation", args=["operating"]) + "#settings"
    for name in OF_THE_PORTAL:
        at = ca_ends_at(getattr(settings, name))
        if at is not None and at <= now + SOON:
            tone: Literal["warn", "bad"] = "bad" if at <= now else "warn"
            yield End(what=f"PORTAL_{name}", where="The portal", url=url, at=at, tone=tone)


def _of_servers(user: User, organization: Organization | None, now: datetime) -> Iterator[End]:
    due: dict[str, dict[int, datetime]] = {}
    for kind, pk, text in _trusted(user, organization):
        at = provider_ends_at(json.loads(text)) if kind == PROVIDER else ca_ends_at(text)
        if at is not None and at <= now + SOON:
            due.setdefault(kind, {})[pk] = at
    for kind, ends in due.items():
        for what, where, url, pk in _NAMED[kind](ends):
            at = ends[pk]
            yield End(what=what, where=where, url=url, at=at, tone="bad" if at <= now else "warn")


def _trusted(user: User, organization: Organization | None) -> QuerySet[Any, tuple[str, int, str]]:
    """Return what a person may replace: a kind, an ID, and what has the certificates. One query."""
    mine = Organization.objects.allowing(user, "organization.update")
    providers = SSOConnection.objects.allowing(user, "organization.sso.manage")
    if organization is not None:
        mine, providers = (
            mine.filter(pk=organization.pk),
            providers.filter(organization=organization),
        )
    buckets = ObjectStore.objects.filter(organization__in=mine.values("pk"), retired_at=None)
    indexes = indexes_to_change(user=user, organization=organization)
    rows = [
        found.exclude(ca_certificate="").values_list(Value(kind), "pk", "ca_certificate")
        for kind, found in ((BUCKET, buckets), (INDEX, indexes))
    ]
    config = Cast("config", TextField())
    of_providers = providers.filter(is_enabled=True).values_list(Value(PROVIDER), "pk", config)
    return rows[0].union(rows[1], of_providers, all=True)


def _buckets(ends: Collection[int]) -> Iterator[Named]:
    for row in ObjectStore.objects.filter(pk__in=ends).select_related("organization"):
        url = reverse("object_stores:store", args=[row.organization.slug, row.use])
        yield "CA certificate of the bucket", str(row), url, row.pk


def _indexes(ends: Collection[int]) -> Iterator[Named]:
    rows = PackageIndex.objects.filter(pk__in=ends)
    for row in rows.select_related("organization", "workspace", "deployment"):
        scope = row.place.access_scope
        by = row.place.ref if isinstance(row.place, Deployment) else row.place.slug
        page = "index" if scope == "organization" else f"{scope}_index"
        url = reverse(f"package_indexes:{page}", args=[by, row.pk])
        yield "CA certificate of the package index", str(row), url, row.pk


def _providers(ends: Collection[int]) -> Iterator[Named]:
    for row in SSOConnection.objects.filter(pk__in=ends).select_related("organization"):
        url = reverse("sso:connection", args=[row.organization.slug, row.key])
        yield "Certificate of the identity provider", str(row), url, row.pk


_NAMED = {BUCKET: _buckets, INDEX: _indexes, PROVIDER: _providers}
