"""EKS: find clusters of an account by a role, and mint the tokens that their APIs take.

A token is a GetCallerIdentity of STS, signed and not sent: the cluster sends it and reads in the
answer who came. It names the cluster in a signed header, so that no other one can use it.
Source: https://github.com/kubernetes-sigs/aws-iam-authenticator, "API Authorization from Outside a
Cluster"; https://docs.aws.amazon.com/eks/latest/userguide/access-entries.html

The portal comes to an account by a role there, never as itself, and always with the external id of
the organization that asks: else one organization could use the portal to act in the account of
another (the "confused deputy" of AWS's manual). botocore is an extra, loaded where it is used.
"""

import base64
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from apps.dataplane.clouds.identities import AwsIdentity, FoundCluster
from apps.dataplane.clouds.renewing import Lasting, Renewing
from apps.dataplane.errors import Permanent, Temporary, Unreachable

ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)
REGION = re.compile(r"[a-z]{2}(-[a-z]+){1,3}-\d{1,2}")
CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
ENDPOINT = re.compile(r"https://[A-Za-z0-9.-]+\.eks\.(amazonaws\.com(\.cn)?|[a-z0-9.-]*\.aws)")
SESSION = "astro-portal"
PREFIX = "k8s-aws-v1."
URL_SECONDS = 60
# The cluster takes a token for 15 minutes after it was signed.
TOKEN_SECONDS, RENEW_SECONDS = 14 * 60, 10 * 60
ROLE_SECONDS, RENEW_BEFORE_SECONDS = 3600, 20 * 60
MOST_CLUSTERS = 100
THROTTLED = (
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
)
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role to assume, by the endpoint of STS of a region."""

    arn: str
    external_id: str
    region: str

    @property
    def account(self) -> str:
        return self.arn.split(":")[4]


@dataclass(frozen=True, kw_only=True)
class RoleKeys:
    """Keys of an assumed role, and when they end: seconds since the epoch."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    ends_at: float


def mint(identity: AwsIdentity, now: float) -> Lasting[str]:
    """Return a token for the API of the cluster. Raises Permanent, Temporary or Unreachable."""
    keys = role_keys.get(role_of(identity))
    value = _presigned(keys, identity)
    ends_at = min(now + TOKEN_SECONDS, keys.ends_at)
    return Lasting(value=value, renew_at=min(now + RENEW_SECONDS, ends_at - 60), ends_at=ends_at)


def role_of(identity: AwsIdentity) -> Role:
    """Return the role by which the portal comes to a cluster."""
    return Role(arn=identity.role_arn, external_id=identity.external_id, region=identity.region)


def find_clusters(role: Role) -> tuple[str, ...]:
    """Return the names of the EKS clusters of the role's account and region, at most 100.

    Raises Permanent, Temporary or Unreachable.
    """
    with _errors(role, "list the EKS clusters", "eks:ListClusters"):
        answer = _eks(role).list_clusters(maxResults=MOST_CLUSTERS)
    return tuple(name for name in answer.get("clusters", ()) if CLUSTER.fullmatch(str(name)))


def describe_cluster(role: Role, name: str) -> FoundCluster:
    """Return where a cluster is and which authority signs for it.

    Raises Permanent for one that is not there or not active, Temporary or Unreachable.
    """
    with _errors(role, f"describe the cluster {name}", "eks:DescribeCluster"):
        found = _eks(role).describe_cluster(name=name).get("cluster") or {}
    server = str(found.get("endpoint") or "")
    if not server:
        state = str(found.get("status", "unknown"))[:40]
        raise Permanent(f"The EKS cluster {name} has no address yet: it is {state}.")
    if not ENDPOINT.fullmatch(server):
        raise Permanent(f"The address of the EKS cluster {name} is not one of AWS.")
    return FoundCluster(
        name=name,
        region=role.region,
        server=server,
        ca_certificate=_decoded((found.get("certificateAuthority") or {}).get("data")),
        version=str(found.get("version", ""))[:20],
        identity=AwsIdentity(
            role_arn=role.arn, external_id=role.external_id, region=role.region, cluster=name
        ),
    )


def refuse_open_role(role: Role) -> None:
    """Raise Permanent for a role that the portal may assume without the external id, too: whoever
    knows its name could use it by this portal.
    """
    try:
        _assume(role, with_external_id=False)
    except Permanent:
        return
    raise Permanent(
        f"The role {role.arn} may be assumed without the external id. Add the condition "
        "sts:ExternalId to its trust policy, as the page shows it, and try again."
    )


def _assume(role: Role, *, with_external_id: bool = True) -> RoleKeys:
    asked: dict[str, Any] = {
        "RoleArn": role.arn,
        "RoleSessionName": SESSION,
        "DurationSeconds": ROLE_SECONDS,
    }
    if with_external_id:
        asked["ExternalId"] = role.external_id
    with _errors(role, "", "sts:AssumeRole"):
        found = _client("sts", role.region, None).assume_role(**asked)["Credentials"]
    return RoleKeys(
        access_key=found["AccessKeyId"],
        secret_key=found["SecretAccessKey"],
        token=found["SessionToken"],
        ends_at=found["Expiration"].timestamp(),
    )


def _make_keys(role: Role, now: float) -> Lasting[RoleKeys]:
    keys = _assume(role)
    renew_at = max(now + 60, keys.ends_at - RENEW_BEFORE_SECONDS)
    return Lasting(value=keys, renew_at=renew_at, ends_at=keys.ends_at)


role_keys: Renewing[Role, RoleKeys] = Renewing(_make_keys)
os.register_at_fork(after_in_child=role_keys.restart)


def _presigned(keys: RoleKeys, identity: AwsIdentity) -> str:
    auth = _library("botocore.auth")
    request = _library("botocore.awsrequest").AWSRequest(
        method="GET",
        url=f"https://{sts_host(identity.region)}/?Action=GetCallerIdentity&Version=2011-06-15",
        headers={"x-k8s-aws-id": identity.cluster},
    )
    credentials = _credentials(keys)
    auth.SigV4QueryAuth(credentials, "sts", identity.region, expires=URL_SECONDS).add_auth(request)
    encoded = base64.urlsafe_b64encode(request.url.encode()).decode()
    return PREFIX + encoded.rstrip("=")


def sts_host(region: str) -> str:
    """Return the host of STS in a region."""
    return f"sts.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def _eks(role: Role) -> Any:
    return _client("eks", role.region, role_keys.get(role))


def _client(service: str, region: str, keys: RoleKeys | None) -> Any:
    """Return a client with the portal's own credentials, or those of a role. It never waits long:
    a test of a cluster has ten seconds.
    """
    config = _library("botocore.config").Config(
        connect_timeout=2,
        read_timeout=4,
        retries={"mode": "standard", "total_max_attempts": 2},
        user_agent_extra="astro-portal",
    )
    session = _library("botocore.session").Session()
    session.register_component("data_loader", _loader())
    if keys is not None:
        session._credentials = _credentials(keys)
    return session.create_client(service, region_name=region, config=config)


@cache
def _loader() -> Any:
    """The descriptions of the services, read from disk once."""
    return _library("botocore.loaders").create_loader()


def _credentials(keys: RoleKeys) -> Any:
    made = _library("botocore.credentials").Credentials
    return made(keys.access_key, keys.secret_key, keys.token)


def _library(name: str) -> Any:
    """Load it where it is used: half a second and 20 MB that few processes need."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise Permanent(
            "This portal is installed without botocore, the library for AWS. Its operator has to "
            "install the extra “aws”."
        ) from None


@contextmanager
def _errors(role: Role, act: str, permission: str) -> Iterator[None]:
    """Turn the library's errors into those of a data plane. `act` is empty for AssumeRole."""
    exceptions = _library("botocore.exceptions")
    try:
        yield
    except exceptions.ClientError as error:
        raise _refusal(role, error.response, act, permission) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise Permanent(
            "The portal has no AWS credentials of its own. Its operator has to give it some."
        ) from None
    except exceptions.CredentialRetrievalError:
        raise Unreachable("The portal cannot get AWS credentials of its own.") from None
    except (exceptions.HTTPClientError, exceptions.BotoCoreError):
        raise Unreachable(f"AWS does not answer in {role.region}.") from None


def _refusal(
    role: Role, response: dict[str, Any], act: str, permission: str
) -> Permanent | Temporary:
    code = str((response.get("Error") or {}).get("Code", ""))[:60]
    status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode", 0)
    if code in THROTTLED or status == 429:
        return Temporary(f"AWS throttles account {role.account} in {role.region}. It is retried.")
    if status >= 500:
        return Unreachable(f"AWS failed in {role.region} ({status}).")
    if code in ("ExpiredToken", "ExpiredTokenException"):
        role_keys.forget(role)
        return Temporary("The credentials of the role ended. They are renewed.")
    if code in ("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"):
        return Permanent(
            f"AWS does not accept the portal's own credentials in {role.region} ({code})."
        )
    if code == "RegionDisabledException":
        return Permanent(f"The region {role.region} is not enabled in account {role.account}.")
    if code == "ResourceNotFoundException":
        return Permanent(
            f"Account {role.account} has no such EKS cluster in {role.region}: it was deleted, or "
            "role and region are those of another account."
        )
    if code in DENIED and act:
        return Permanent(f"The role {role.arn} may not {act}: it lacks {permission}.")
    if code in DENIED:
        return Permanent(
            f"AWS does not let the portal assume {role.arn}. Either there is no such role, or its "
            "trust policy lacks the portal or the external id that this portal shows, or the "
            "portal's operator does not allow it."
        )
    return Permanent(f"AWS refused the request ({code or status}).")


def _decoded(text: Any) -> str:
    try:
        return base64.b64decode(str(text or ""), validate=True).decode("ascii")
    except ValueError:
        return ""
