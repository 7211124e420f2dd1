"""GKE: find clusters of a project by a service account with a key, and get its tokens.

Sources: https://developers.google.com/identity/protocols/oauth2/service-account,
https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters

The account signs in with a key of its own, unless the operator lets an organization use the
portal's own identity: Google has nothing like AWS's external id to tell for whom the portal comes.
"""

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any

import jwt

from apps.dataplane.clouds import portal_identity
from apps.dataplane.clouds.identities import FoundCluster, GoogleIdentity
from apps.dataplane.clouds.renewing import Lasting
from apps.dataplane.clouds.web import Ask, Question, ask, failure
from apps.dataplane.errors import Permanent

TOKENS = "https://oauth2.googleapis.com/token"
CONTAINERS = "https://container.googleapis.com/v1"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
PROJECT = re.compile(r"[a-z][-a-z0-9:.]{4,61}[a-z0-9]")
EMAIL = re.compile(r"[-a-z0-9.]{1,100}@[-a-z0-9.]{1,150}\.gserviceaccount\.com")
NAME = re.compile(r"[a-z][-a-z0-9]{0,62}")
ADDRESS = re.compile(r"[0-9a-f.:]{3,45}")
DNS_ENDPOINT = re.compile(r"[a-z0-9.-]{1,200}\.gke\.goog")
LONGEST_KEY = 10_000
RENEW_BEFORE_SECONDS = 600
MOST_CLUSTERS = 100


@dataclass(frozen=True, kw_only=True)
class Account:
    """A service account with its key (PEM), and the project whose clusters are meant. With
    `own_of`, an organization, it is the portal itself, without a key.
    """

    email: str
    key_id: str
    private_key: str = field(repr=False)
    project: str
    own_of: str = ""


def read_key(text: str) -> Account:
    """Read the JSON file of a key. Raises Permanent; no message repeats any of it.

    Where the key says that tokens come from is not believed: they come from Google.
    """
    try:
        found = json.loads(text[:LONGEST_KEY])
        account = Account(
            email=found["client_email"],
            key_id=found["private_key_id"],
            private_key=found["private_key"],
            project=found["project_id"],
        )
        is_good = EMAIL.fullmatch(account.email) and PROJECT.fullmatch(account.project)
        is_good = is_good and found["type"] == "service_account"
        _assertion(account, 0.0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, jwt.PyJWTError):
        is_good = None
    if not is_good:
        raise Permanent("This is not the JSON key of a Google service account.")
    return account


def mint(identity: GoogleIdentity, now: float, *, by: Ask = ask) -> Lasting[str]:
    """Return a token for the API of the cluster. Raises Permanent, Temporary or Unreachable."""
    account = Account(
        email=identity.email,
        key_id=identity.key_id,
        private_key=identity.private_key,
        project=identity.project,
        own_of=identity.own_of,
    )
    token, seconds = _token(account, now, by)
    before = min(RENEW_BEFORE_SECONDS, seconds / 3)
    return Lasting(value=token, renew_at=now + seconds - before, ends_at=now + seconds - 60)


def find_clusters(
    account: Account, now: float, *, by_dns: bool = False, by: Ask = ask
) -> tuple[FoundCluster, ...]:
    """Return the GKE clusters of the project, at most 100. `by_dns` takes the endpoint that has a
    name and a public certificate where a cluster lets traffic from outside in there.
    """
    token, _ = _token(account, now, by)
    url = f"{CONTAINERS}/projects/{account.project}/locations/-/clusters"
    reply = by(Question(url=url, token=token))
    if reply.status >= 400:
        raise failure(
            reply,
            who="Google Cloud",
            refused=f"The service account may not list the GKE clusters of {account.project}: it "
            "lacks the role Kubernetes Engine Cluster Viewer, or the API is not enabled.",
        )
    items = reply.body.get("clusters")
    items = items if isinstance(items, list) else []
    found = [_found(item, account, by_dns=by_dns) for item in items[:MOST_CLUSTERS]]
    return tuple(one for one in found if one is not None)


def _token(account: Account, now: float, by: Ask) -> tuple[str, float]:
    """Return a token, and for how many seconds."""
    if account.own_of:
        own_token, ends_at = portal_identity.google_token()
        return own_token, _seconds(ends_at - now)
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": _assertion(account, now),
    }
    reply = by(Question(url=TOKENS, form=form))
    if reply.status >= 400:
        raise failure(
            reply,
            who="Google",
            refused="Google does not sign the service account in: its key was deleted, or it is "
            "disabled.",
        )
    token = reply.body.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise Permanent("Google sent no token.")
    # Google pads tokens with dots, which are part of them.
    return token, _seconds(reply.body.get("expires_in"))


def _seconds(value: Any) -> float:
    return min(86_400.0, max(120.0, float(value))) if isinstance(value, (int, float)) else 600.0


def _assertion(account: Account, now: float) -> str:
    claims = {
        "iss": account.email,
        "scope": SCOPE,
        "aud": TOKENS,
        "iat": int(now),
        "exp": int(now) + 3600,
    }
    headers = {"kid": account.key_id}
    return jwt.encode(claims, account.private_key, algorithm="RS256", headers=headers)


def _found(item: Any, account: Account, *, by_dns: bool) -> FoundCluster | None:
    if not isinstance(item, dict):
        return None
    name, location = str(item.get("name", "")), str(item.get("location", ""))
    server, ca = _endpoint(item, by_dns=by_dns)
    if not NAME.fullmatch(name) or not NAME.fullmatch(location) or not server:
        return None
    return FoundCluster(
        name=name,
        region=location,
        server=server,
        ca_certificate=ca,
        version=str(item.get("currentMasterVersion", ""))[:20],
        identity=GoogleIdentity(
            email=account.email,
            key_id=account.key_id,
            private_key=account.private_key,
            project=account.project,
            location=location,
            cluster=name,
            own_of=account.own_of,
        ),
    )


def _endpoint(item: dict[str, Any], *, by_dns: bool) -> tuple[str, str]:
    config = _part(_part(item, "controlPlaneEndpointsConfig"), "dnsEndpointConfig")
    name = str(config.get("endpoint", ""))
    if by_dns and config.get("allowExternalTraffic") and DNS_ENDPOINT.fullmatch(name):
        return f"https://{name}", ""
    address = str(item.get("endpoint", ""))
    if not ADDRESS.fullmatch(address):
        return "", ""
    host = f"[{address}]" if ":" in address else address
    return f"https://{host}", _decoded(_part(item, "masterAuth").get("clusterCaCertificate"))


def _part(item: dict[str, Any], name: str) -> dict[str, Any]:
    found = item.get(name)
    return found if isinstance(found, dict) else {}


def _decoded(text: Any) -> str:
    try:
        return base64.b64decode(str(text or ""), validate=True).decode("ascii")
    except ValueError:
        return ""
