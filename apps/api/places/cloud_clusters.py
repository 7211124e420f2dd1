"""Clusters of AWS, Azure and Google Cloud: find what is there, and register some of it. The forms
of the pages judge what is sent; secrets never come out.
"""

from typing import Any

from django.conf import settings
from ninja import Path
from pydantic.alias_generators import to_camel

from apps.api.places.cluster_changes import router as router
from apps.api.places.clusters import ClusterShape, cluster_shape
from apps.api.wire.errors import NotOffered
from apps.api.wire.forms import check
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.idempotency import once
from apps.api.wire.shapes import InOrganization, Shape
from apps.clusters.connections.instructions import role_policy, trust_policy
from apps.clusters.connections.own_identities import external_id_of, own_identity_for
from apps.clusters.connections.services import register_found
from apps.clusters.connections.sources import Source
from apps.clusters.forms.clouds import FORMS
from apps.core.errors import Refused

MANAGE = "organization.clusters.manage"
CLOUDS = {"AWS": "aws", "AZURE": "azure", "GCP": "google"}
NO_OWN = (
    "The operator of this portal does not let this organization use the portal's own identity "
    "there. Send the sign-in of your own."
)
NAMES = {name: to_camel(name) for form in FORMS.values() for name in form.base_fields}


class CloudAccount(Shape):
    """Where clusters are. AWS takes `roleArn` and `region`; AZURE `tenant`, `clientId`,
    `clientSecret` and `subscription`; GCP `key`, and if it likes `project` and `byDns`. With
    `ownIdentity` the portal comes as itself, where its operator lets the organization: AZURE then
    takes `subscription` alone, GCP `project`.
    """

    provider: str
    role_arn: str = ""
    region: str = ""
    tenant: str = ""
    client_id: str = ""
    client_secret: str = ""
    subscription: str = ""
    key: str = ""
    project: str = ""
    by_dns: bool = False
    own_identity: bool = False


class CloudRegistration(CloudAccount):
    """The `keys` of clusters that were found there."""

    keys: list[str]


class FoundCluster(Shape):
    """`whyNot` says why a cluster cannot be registered, if it cannot."""

    key: str
    name: str
    region: str
    version: str
    why_not: str


class FoundClusters(Shape):
    clusters: list[FoundCluster]


class RegisteredClusters(Shape):
    clusters: list[ClusterShape]


class AwsTrust(Shape):
    """What the owner of a role writes into it: JSON texts."""

    principal: str
    external_id: str
    trust_policy: str
    role_policy: str


@router.get(
    "/organizations/{organizationId}/cloud-clusters/aws-trust",
    auth=in_organization(MANAGE),
    response=AwsTrust,
    operation_id="GetAwsTrust",
    summary="Get the policies of a role that lets the portal find EKS clusters",
)
def get_aws_trust(request: Call, at: Path[InOrganization]) -> Any:
    external_id = external_id_of(request.organization)
    return AwsTrust(
        principal=settings.AWS_PRINCIPAL,
        external_id=external_id,
        trust_policy=trust_policy(principal=settings.AWS_PRINCIPAL, external_id=external_id),
        role_policy=role_policy(),
    )


@router.post(
    "/organizations/{organizationId}/cloud-clusters/find",
    auth=in_organization(MANAGE),
    response=FoundClusters,
    operation_id="FindCloudClusters",
    summary="List the clusters of an account at AWS, Azure or Google Cloud",
)
def find_clusters(request: Call, at: Path[InOrganization], body: CloudAccount) -> Any:
    """Nothing is stored."""
    offers = _source(request, body).find()
    return FoundClusters(
        clusters=[
            FoundCluster(
                key=one.key,
                name=one.name,
                region=one.region,
                version=one.version,
                why_not=one.why_not,
            )
            for one in offers
        ]
    )


@router.post(
    "/organizations/{organizationId}/cloud-clusters",
    auth=in_organization(MANAGE),
    response=RegisteredClusters,
    operation_id="CreateCloudClusters",
    summary="Register clusters that were found at AWS, Azure or Google Cloud",
)
@once
def new_clusters(request: Call, at: Path[InOrganization], body: CloudRegistration) -> Any:
    """All or none. They are tested, and stored whatever the test found."""
    made = register_found(
        actor=request.caller.user,
        organization=request.organization,
        source=_source(request, body),
        keys=body.keys,
    )
    return RegisteredClusters(clusters=[cluster_shape(one) for one in made])


def _source(request: Call, body: CloudAccount) -> Source:
    cloud = CLOUDS.get(body.provider.upper())
    if cloud is None:
        raise NotOffered("Send AWS, AZURE or GCP as provider. Other clusters have CreateCluster.")
    external_id = external_id_of(request.organization) if cloud == "aws" else ""
    own = own_identity_for(request.organization, cloud)
    if body.own_identity and own is None:
        raise Refused(NO_OWN)
    form = FORMS[cloud](body.model_dump(), external_id=external_id, own=own)
    check(form, NAMES)
    source: Source = form.cleaned_data["source"]
    return source
