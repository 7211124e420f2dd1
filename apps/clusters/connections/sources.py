"""Where clusters of a cloud are found: an account by a role, a subscription, a project.

A source lists what is there and says how to reach one of it. Its secrets stay in memory. Whatever a
vendor answers is judged as if a person had typed it.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from apps.clusters.connections.credentials import clean_ca, clean_server
from apps.clusters.connections.kubeconfig import Access, read_server
from apps.core.errors import Invalid
from apps.dataplane.clouds import aws, azure, google
from apps.dataplane.clouds.identities import AzureIdentity, CloudIdentity, FoundCluster
from apps.dataplane.clouds.web import Ask, ask
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.kubernetes.config import Connection

FIELD = "clusters"
PUBLIC_NAMES = (".gke.goog",)


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A cluster that was found. `key` names it within its source; `why_not` says why it cannot be
    registered, "" if it can.
    """

    key: str
    name: str
    region: str
    version: str = ""
    why_not: str = ""


class Source(Protocol):
    """What the views need of a cloud. Both raise Invalid with the vendor's refusal in words."""

    def find(self) -> tuple[Offer, ...]:
        """List the clusters, at most 100."""

    def access_to(self, key: str, *, networks: tuple[str, ...], now: datetime) -> Access:
        """Return how to reach one of them."""


@dataclass(frozen=True, kw_only=True)
class AwsSource:
    """EKS clusters of one account and region."""

    role: aws.Role

    def find(self) -> tuple[Offer, ...]:
        aws.role_keys.try_again(self.role)
        try:
            names = aws.find_clusters(self.role)
            aws.refuse_open_role(self.role)
        except DataPlaneError as error:
            raise Invalid(error.message) from None
        return tuple(Offer(key=name, name=name, region=self.role.region) for name in names)

    def access_to(self, key: str, *, networks: tuple[str, ...], now: datetime) -> Access:
        if not aws.CLUSTER.fullmatch(key):
            raise Invalid("This is not the name of an EKS cluster.", field=FIELD)
        aws.role_keys.try_again(self.role)
        try:
            aws.refuse_open_role(self.role)
            found = aws.describe_cluster(self.role, key)
        except DataPlaneError as error:
            raise Invalid(error.message, field=FIELD) from None
        return _access(found, networks=networks, now=now)


@dataclass(frozen=True, kw_only=True)
class AzureSource:
    """AKS clusters of one subscription."""

    application: azure.Application
    ask: Ask = ask

    def find(self) -> tuple[Offer, ...]:
        try:
            listed = azure.find_clusters(self.application, by=self.ask)
        except DataPlaneError as error:
            raise Invalid(error.message) from None
        return tuple(
            Offer(
                key=one.cluster_id,
                name=one.name,
                region=one.location,
                version=one.version,
                why_not="" if one.has_entra else "It does not use Microsoft Entra authentication.",
            )
            for one in listed
        )

    def access_to(self, key: str, *, networks: tuple[str, ...], now: datetime) -> Access:
        if not azure.CLUSTER_ID.fullmatch(key):
            raise Invalid("This is not the id of an AKS cluster.", field=FIELD)
        try:
            text = azure.kubeconfig_of(self.application, key, by=self.ask)
        except DataPlaneError as error:
            raise Invalid(error.message, field=FIELD) from None
        server, ca = read_server(text, networks=networks, now=now)
        if not azure.SERVER.fullmatch(server):
            raise Invalid("The address of the AKS cluster is not one of Azure.", field=FIELD)
        identity = AzureIdentity(
            tenant=self.application.tenant,
            client_id=self.application.client_id,
            client_secret=self.application.client_secret,
            cluster_id=key,
            own_of=self.application.own_of,
        )
        return _as(identity, server=server, ca=ca, networks=networks)


@dataclass(frozen=True, kw_only=True)
class GoogleSource:
    """GKE clusters of one project. `by_dns` prefers endpoints with a public certificate."""

    account: google.Account
    by_dns: bool = False
    ask: Ask = ask

    def find(self) -> tuple[Offer, ...]:
        return tuple(
            Offer(key=key, name=one.name, region=one.region, version=one.version)
            for key, one in self._found().items()
        )

    def access_to(self, key: str, *, networks: tuple[str, ...], now: datetime) -> Access:
        found = self._found().get(key)
        if found is None:
            raise Invalid("The project has no such GKE cluster any more.", field=FIELD)
        return _access(found, networks=networks, now=now)

    def _found(self) -> dict[str, FoundCluster]:
        try:
            found = google.find_clusters(self.account, time.time(), by_dns=self.by_dns, by=self.ask)
        except DataPlaneError as error:
            raise Invalid(error.message) from None
        return {f"{one.region}/{one.name}": one for one in found}


def _access(found: FoundCluster, *, networks: tuple[str, ...], now: datetime) -> Access:
    server = clean_server(found.server, networks=networks, field=FIELD)
    ca = ""
    if not server.endswith(PUBLIC_NAMES):
        ca = clean_ca(found.ca_certificate, field=FIELD, now=now)
    return _as(found.identity, server=server, ca=ca, networks=networks)


def _as(identity: CloudIdentity, *, server: str, ca: str, networks: tuple[str, ...]) -> Access:
    connection = Connection(server=server, ca_certificate=ca, networks=networks, identity=identity)
    return Access(connection=connection, expires_at=None)
