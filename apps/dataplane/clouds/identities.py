"""As whom the portal comes to a cluster of a cloud. Frozen: each is the key of its token."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class AwsIdentity:
    """A role that the portal assumes, for one EKS cluster of a region.

    `external_id` is the portal's own for the organization: no one chooses it.
    """

    role_arn: str
    external_id: str
    region: str
    cluster: str

    @property
    def account(self) -> str:
        return self.role_arn.split(":")[4]

    @property
    def facts(self) -> dict[str, str]:
        """What pages may show of it."""
        return {
            "cloud": "aws",
            "cluster": self.cluster,
            "key": self.cluster,
            "region": self.region,
            "account": self.account,
            "principal": self.role_arn,
        }


@dataclass(frozen=True, kw_only=True)
class AzureIdentity:
    """An application of Microsoft Entra with a client secret, or the portal's own identity there,
    for one AKS cluster.

    `cluster_id` is the path of the resource, `/subscriptions/…/managedClusters/…`. `own_of` is the
    organization that uses the portal's own; then there is no tenant and no secret.
    """

    tenant: str
    client_id: str
    client_secret: str = field(repr=False)
    cluster_id: str
    own_of: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """What pages may show of it."""
        parts = self.cluster_id.split("/")
        return {
            "cloud": "azure",
            "cluster": parts[-1],
            "key": self.cluster_id,
            "region": parts[4],
            "account": parts[2],
            "principal": self.client_id,
            **({"own": "yes"} if self.own_of else {}),
        }


@dataclass(frozen=True, kw_only=True)
class GoogleIdentity:
    """A service account of Google Cloud with a key (PEM), or the portal's own identity there, for
    one GKE cluster. `own_of` is the organization that uses the portal's own, which has no key here.
    """

    email: str
    key_id: str
    private_key: str = field(repr=False)
    project: str
    location: str
    cluster: str
    own_of: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """What pages may show of it."""
        return {
            "cloud": "google",
            "cluster": self.cluster,
            "key": f"{self.location}/{self.cluster}",
            "region": self.location,
            "account": self.project,
            "principal": self.email,
            **({"own": "yes"} if self.own_of else {}),
        }


CloudIdentity = AwsIdentity | AzureIdentity | GoogleIdentity
KINDS: dict[str, type[CloudIdentity]] = {
    "aws": AwsIdentity,
    "azure": AzureIdentity,
    "google": GoogleIdentity,
}


@dataclass(frozen=True, kw_only=True)
class FoundCluster:
    """A cluster that a vendor listed. An empty `ca_certificate` (PEM) means public authorities."""

    name: str
    region: str
    server: str
    ca_certificate: str
    version: str = ""
    identity: CloudIdentity
