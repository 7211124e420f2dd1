"""What people run to give the portal its account in a cluster, and its role at a cloud."""

import json
from collections.abc import Mapping, Sequence

from apps.dataplane.kubernetes.registration import permissions

ROLE_FILE = "astro-portal-role.yaml"
KUBECONFIG_COMMAND = "kubectl config view --raw --minify --flatten"
APPLY = f"kubectl apply -f {ROLE_FILE}"
COMMANDS = (
    ("Create the account, its permissions and a token", APPLY),
    (
        "Token",
        f"kubectl -n {permissions.NAMESPACE} get secret {permissions.TOKEN_SECRET} "
        "-o jsonpath='{.data.token}' | base64 -d",
    ),
    (
        "Or a token that ends, which the portal renews",
        f"kubectl -n {permissions.NAMESPACE} create token {permissions.ACCOUNT} --duration=24h",
    ),
    (
        "CA certificate",
        f"kubectl -n {permissions.NAMESPACE} get secret {permissions.TOKEN_SECRET} "
        "-o jsonpath='{.data.ca\\.crt}' | base64 -d",
    ),
    (
        "Address",
        "kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}'",
    ),
)
Command = tuple[str, str]


def commands_for(cloud: Mapping[str, str]) -> tuple[Command, ...]:
    """Return the commands that let the portal into a cluster of a cloud; `cloud` are the facts of
    its identity, of this machine's own an empty mapping.
    """
    made = {"aws": _for_aws, "azure": _for_azure, "google": _for_google}.get(cloud.get("cloud", ""))
    return made(cloud) if made else COMMANDS


def manifest_for(cloud: Mapping[str, str], namespaces: Sequence[str] = ()) -> str:
    """Return the manifest to apply in a cluster: the cloud says as whom the portal comes. With
    named namespaces the permissions hold there alone.
    """
    kind = cloud.get("cloud", "")
    if namespaces and not kind:
        return permissions.manifest_for_namespaces(namespaces)
    if kind == "aws":
        return permissions.manifest_for_group()
    if kind == "google":
        return permissions.manifest_for_user(cloud["principal"])
    if kind == "azure":
        return permissions.manifest_for_user("OBJECT_ID_OF_THE_SERVICE_PRINCIPAL")
    return permissions.manifest()


def trust_policy(*, principal: str, external_id: str) -> str:
    """Return the trust policy of the role, which names the portal and the external id."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)


def role_policy() -> str:
    """Return the least that the role may do. What it may do in a cluster is said there."""
    statements = [
        {"Effect": "Allow", "Action": "eks:ListClusters", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": "eks:DescribeCluster",
            "Resource": "arn:aws:eks:*:*:cluster/*",
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


def _for_aws(cloud: Mapping[str, str]) -> tuple[Command, ...]:
    where = f"--region {cloud['region']}"
    return (
        (
            "Let the role in, as a member of a group",
            f"aws eks create-access-entry {where} --cluster-name {cloud['cluster']} "
            f"--principal-arn {cloud['principal']} --kubernetes-groups {permissions.ACCOUNT}",
        ),
        ("Choose the cluster", f"aws eks update-kubeconfig {where} --name {cloud['cluster']}"),
        ("Give the group its permissions", APPLY),
    )


def _for_azure(cloud: Mapping[str, str]) -> tuple[Command, ...]:
    return (
        (
            "Find the object id of the application, and write it into the manifest",
            f"az ad sp show --id {cloud['principal']} --query id --output tsv",
        ),
        ("Give it its permissions", APPLY),
    )


def _for_google(cloud: Mapping[str, str]) -> tuple[Command, ...]:
    return (
        (
            "Choose the cluster",
            f"gcloud container clusters get-credentials {cloud['cluster']} "
            f"--location {cloud['region']} --project {cloud['account']}",
        ),
        ("Give the service account its permissions", APPLY),
    )
