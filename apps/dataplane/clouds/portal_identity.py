"""What the portal itself is at Azure and Google Cloud, where its operator lets an organization use
it: a workload identity or a managed identity at Azure, Application Default Credentials at Google.

The vendors' libraries find it and exchange it; they are extras, loaded where they are used. Unlike
AWS's external id nothing tells for which organization the portal comes, so whoever may use it
reaches all that it reaches. Sources:
https://learn.microsoft.com/azure/aks/workload-identity-overview,
https://cloud.google.com/docs/authentication/application-default-credentials
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from functools import partial
from importlib import import_module
from typing import Any

import requests

from apps.dataplane.errors import Permanent, Temporary, Unreachable

GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# Of one question; a test of a cluster has ten.
SECONDS = 4


def azure_token(
    client_id: str, scope: str, *, session: requests.Session | None = None
) -> tuple[str, float]:
    """Return a token of the portal for a scope, and when it ends: seconds since the epoch. Raises
    Permanent, Temporary or Unreachable.
    """
    identity = _library("azure.identity", extra="azure")
    transport = _library("azure.core.pipeline.transport", extra="azure").RequestsTransport(
        session=session, connection_timeout=SECONDS, read_timeout=SECONDS
    )
    # Neither asks programs or files of a person's own sign-in.
    kind = (
        identity.WorkloadIdentityCredential
        if os.environ.get("AZURE_FEDERATED_TOKEN_FILE")
        else identity.ManagedIdentityCredential
    )
    with _azure_errors():
        found = kind(client_id=client_id, transport=transport, retry_total=0).get_token(scope)
    return str(found.token), float(found.expires_on)


def google_token(*, session: requests.Session | None = None) -> tuple[str, float]:
    """Return a token of the portal for Google's APIs, and when it ends. Raises as `azure_token`."""
    auth = _library("google.auth", extra="google")
    transport = _library("google.auth.transport.requests", extra="google")
    ask = partial(transport.Request(session=session), timeout=SECONDS)
    with _google_errors():
        found, _ = auth.default(scopes=[GOOGLE_SCOPE], request=ask)
        found.refresh(ask)
    return str(found.token), float(found.expiry.replace(tzinfo=UTC).timestamp())


@contextmanager
def _azure_errors() -> Iterator[None]:
    errors = _library("azure.core.exceptions", extra="azure")
    try:
        yield
    except errors.ClientAuthenticationError as error:
        status = getattr(error.response, "status_code", 0)
        if status == 429:
            raise Temporary("Microsoft Entra throttles the portal (429). It is retried.") from None
        if status >= 500:
            raise Unreachable(f"Microsoft Entra failed ({status}).") from None
        raise Permanent(
            "Microsoft Entra does not sign the portal in. Its operator has to give it a workload "
            "identity or a managed identity with the client id of PORTAL_AZURE_PRINCIPAL."
        ) from None
    except (errors.AzureError, OSError):
        raise Unreachable("Microsoft Entra does not answer the portal.") from None
    except ValueError:
        raise Permanent(
            "The workload identity of the portal lacks AZURE_TENANT_ID. Its operator has to set it."
        ) from None


@contextmanager
def _google_errors() -> Iterator[None]:
    errors = _library("google.auth.exceptions", extra="google")
    try:
        yield
    except errors.DefaultCredentialsError:
        raise Permanent(
            "The portal has no identity at Google Cloud. Its operator has to give it one."
        ) from None
    except (errors.TransportError, OSError):
        raise Unreachable("Google does not answer the portal.") from None
    except errors.GoogleAuthError as error:
        if error.retryable:
            raise Unreachable("Google failed to sign the portal in.") from None
        raise Permanent(
            "Google does not sign the portal in. Its operator has to look at its identity there."
        ) from None


def _library(name: str, *, extra: str) -> Any:
    """Load it where it is used, as few portals need it."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise Permanent(
            f"This portal is installed without the library of the vendor. Its operator has to "
            f"install the extra “{extra}”."
        ) from None
