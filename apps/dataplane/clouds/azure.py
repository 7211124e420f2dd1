"""AKS: find clusters of a subscription by an application of Microsoft Entra, and get its tokens.

Sources: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow,
https://learn.microsoft.com/rest/api/aks/managed-clusters

The application signs in with a secret of its own, unless the operator lets an organization use the
portal's own identity: Entra has nothing like AWS's external id to tell for whom the portal comes.
"""

import base64
import re
from dataclasses import dataclass, field
from typing import Any

from apps.dataplane.clouds import portal_identity
from apps.dataplane.clouds.identities import AzureIdentity
from apps.dataplane.clouds.renewing import Lasting
from apps.dataplane.clouds.web import Ask, Question, Reply, ask, failure
from apps.dataplane.errors import Permanent

LOGIN = "https://login.microsoftonline.com"
MANAGEMENT = "https://management.azure.com"
# The application id of every AKS cluster's API server.
AKS_SCOPE = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"
API_VERSION = "2024-05-01"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CLUSTER_ID = re.compile(
    r"/subscriptions/[0-9a-f-]{36}/resource[gG]roups/[-\w.()]{1,90}/providers/"
    r"Microsoft\.ContainerService/managedClusters/[A-Za-z0-9][-\w]{0,62}"
)
SERVER = re.compile(r"https://[a-z0-9.-]+\.azmk8s\.io(:443)?")
RENEW_BEFORE_SECONDS = 600
MOST_CLUSTERS = 100


@dataclass(frozen=True, kw_only=True)
class Application:
    """Who signs in, and the subscription whose clusters are meant. With `own_of`, an organization,
    it is the portal itself, without tenant and secret.
    """

    tenant: str
    client_id: str
    client_secret: str = field(repr=False)
    subscription: str
    own_of: str = ""


@dataclass(frozen=True, kw_only=True)
class ListedCluster:
    """An AKS cluster of a list; `has_entra` says whether its API takes tokens of Entra."""

    cluster_id: str
    name: str
    location: str
    version: str
    has_entra: bool


def mint(identity: AzureIdentity, now: float, *, by: Ask = ask) -> Lasting[str]:
    """Return a token for the API of the cluster. Raises Permanent, Temporary or Unreachable."""
    if identity.own_of:
        token, ends_at = portal_identity.azure_token(identity.client_id, AKS_SCOPE)
        seconds = _seconds(ends_at - now)
    else:
        reply = _sign_in(identity.tenant, identity.client_id, identity.client_secret, AKS_SCOPE, by)
        token, seconds = _token(reply), _seconds(reply.body.get("expires_in"))
    before = min(RENEW_BEFORE_SECONDS, seconds / 3)
    return Lasting(value=token, renew_at=now + seconds - before, ends_at=now + seconds - 60)


def find_clusters(application: Application, *, by: Ask = ask) -> tuple[ListedCluster, ...]:
    """Return the AKS clusters of the subscription, at most 100."""
    url = (
        f"{MANAGEMENT}/subscriptions/{application.subscription}/providers/"
        f"Microsoft.ContainerService/managedClusters?api-version={API_VERSION}"
    )
    reply = by(Question(url=url, token=_management_token(application, by)))
    if reply.status >= 400:
        raise _refusal(reply, "read its AKS clusters")
    items = reply.body.get("value")
    listed = [_listed(item) for item in (items if isinstance(items, list) else ())[:MOST_CLUSTERS]]
    return tuple(one for one in listed if one is not None)


def kubeconfig_of(application: Application, cluster_id: str, *, by: Ask = ask) -> str:
    """Return the kubeconfig of a cluster, of which only address and authority are of use."""
    if not CLUSTER_ID.fullmatch(cluster_id):
        raise Permanent("This is not the id of an AKS cluster.")
    url = f"{MANAGEMENT}{cluster_id}/listClusterUserCredential?api-version={API_VERSION}"
    reply = by(Question(url=url, token=_management_token(application, by), posts=True))
    if reply.status == 404:
        raise Permanent("The subscription has no such AKS cluster any more.")
    if reply.status >= 400:
        raise _refusal(reply, "read the address of this cluster")
    try:
        return base64.b64decode(reply.body["kubeconfigs"][0]["value"], validate=True).decode()
    except (KeyError, IndexError, TypeError, ValueError):
        raise Permanent("Azure sent no kubeconfig for this cluster.") from None


def _management_token(application: Application, by: Ask) -> str:
    scope = f"{MANAGEMENT}/.default"
    if application.own_of:
        return portal_identity.azure_token(application.client_id, scope)[0]
    reply = _sign_in(
        application.tenant, application.client_id, application.client_secret, scope, by
    )
    return _token(reply)


def _sign_in(tenant: str, client_id: str, secret: str, scope: str, by: Ask) -> Reply:
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": secret,
        "scope": scope,
    }
    reply = by(Question(url=f"{LOGIN}/{tenant}/oauth2/v2.0/token", form=form))
    if reply.status >= 400:
        raise failure(
            reply,
            who="Microsoft Entra",
            refused="Microsoft Entra does not sign the application in: its secret ended or is "
            "another one, or tenant or application are not there.",
        )
    return reply


def _refusal(reply: Reply, act: str) -> Exception:
    role = "Azure Kubernetes Service Cluster User Role"
    refused = f"The application may not {act}: assign it the role {role}."
    return failure(reply, who="Azure", refused=refused)


def _token(reply: Reply) -> str:
    token = reply.body.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise Permanent("Microsoft Entra sent no token.")
    return token


def _seconds(value: Any) -> float:
    return min(86_400.0, max(120.0, float(value))) if isinstance(value, (int, float)) else 600.0


def _listed(item: Any) -> ListedCluster | None:
    if not isinstance(item, dict) or not CLUSTER_ID.fullmatch(str(item.get("id", ""))):
        return None
    properties = item.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    return ListedCluster(
        cluster_id=item["id"],
        name=item["id"].rpartition("/")[2],
        location=str(item.get("location", ""))[:60],
        version=str(properties.get("kubernetesVersion", ""))[:20],
        has_entra=bool(properties.get("aadProfile")),
    )
