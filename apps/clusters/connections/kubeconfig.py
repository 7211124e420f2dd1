"""A pasted kubeconfig, of which only inline data is read.

A kubeconfig can name programs to run and files to read, and it comes from any person who may
register a cluster. So it is never given to a client library: it is parsed here, without tags and
references, and every field that means more than an address or a credential is refused by name.
Source: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.clusters.connections.credentials import (
    clean_ca,
    clean_pair,
    clean_proxy,
    clean_server,
    clean_server_name,
    clean_token,
)
from apps.core.errors import Invalid
from apps.core.plain_yaml import read_plain
from apps.dataplane.kubernetes.config import Connection

MOST_BYTES = 256 * 1024
NAME_LENGTH = 253
FIELD = "kubeconfig"

INLINE = "Make one that holds all data with: kubectl config view --raw --minify --flatten"
TOKEN = "Use a token of a service account instead."  # noqa: S105 - a message
CLOUD = (
    "For EKS, AKS and GKE choose the cloud above, and the portal gets tokens itself; else use a "
    "token of a service account."
)
# Fields that are refused, with the reason.
CLUSTER_REFUSALS = {
    "certificate-authority": f"certificate-authority names a file on your machine. {INLINE}",
}
USER_REFUSALS = {
    "exec": f"exec names a program, and the portal does not run programs. {CLOUD}",
    "auth-provider": f"auth-provider names a plugin, and the portal has no plugins. {TOKEN}",
    "tokenFile": f"tokenFile names a file on your machine. {INLINE}",
    "client-certificate": f"client-certificate names a file on your machine. {INLINE}",
    "client-key": f"client-key names a file on your machine. {INLINE}",
    "username": f"username and password no longer work on Kubernetes. {TOKEN}",
    "password": f"username and password no longer work on Kubernetes. {TOKEN}",
    **dict.fromkeys(
        ("as", "as-uid", "as-groups", "as-user-extra"),
        "Impersonation (as, as-groups) is refused: the portal acts as itself. "
        "Give its own account the permissions.",
    ),
}
CLUSTER_FIELDS = frozenset(
    {
        "server",
        "certificate-authority-data",
        "tls-server-name",
        "proxy-url",
        "insecure-skip-tls-verify",
        "disable-compression",
        "extensions",
    }
)
USER_FIELDS = frozenset({"token", "client-certificate-data", "client-key-data", "extensions"})


@dataclass(frozen=True, kw_only=True)
class Access:
    """How to reach a cluster, as a person gave it. `context` is the one it came from."""

    connection: Connection
    expires_at: datetime | None
    context: str = ""


def read_kubeconfig(text: str, *, context: str, networks: tuple[str, ...], now: datetime) -> Access:
    """Read server, authority and credential of one context of a kubeconfig.

    `context` may be empty when there is only one. Raises Invalid with a message that names the
    field; no message repeats a secret.
    """
    document = _document(text)
    chosen = _chosen(document, context.strip())
    named = _entry(document, "contexts", "context", chosen)
    cluster = _entry(document, "clusters", "cluster", _text(named, "cluster", "context"))
    user = _entry(document, "users", "user", _text(named, "user", "context"))
    _refuse(cluster, "cluster", CLUSTER_REFUSALS, CLUSTER_FIELDS)
    _refuse(user, "user", USER_REFUSALS, USER_FIELDS)
    if _text(cluster, "insecure-skip-tls-verify", "cluster").lower() not in ("", "false"):
        raise Invalid(
            "insecure-skip-tls-verify is refused: anyone between portal and cluster could read "
            "the credential. Give certificate-authority-data instead.",
            field=FIELD,
        )
    token, certificate, key, expires_at = _credential(user, now)
    connection = Connection(
        server=clean_server(_text(cluster, "server", "cluster"), networks=networks, field=FIELD),
        ca_certificate=clean_ca(
            _decoded(cluster, "certificate-authority-data", "cluster"), field=FIELD, now=now
        ),
        tls_server_name=clean_server_name(
            _text(cluster, "tls-server-name", "cluster"), field=FIELD
        ),
        proxy=clean_proxy(_text(cluster, "proxy-url", "cluster"), networks=networks, field=FIELD),
        token=token,
        client_certificate=certificate,
        client_key=key,
        networks=networks,
    )
    return Access(connection=connection, expires_at=expires_at, context=chosen)


def read_server(text: str, *, networks: tuple[str, ...], now: datetime) -> tuple[str, str]:
    """Read address and authority of a kubeconfig with one cluster, whatever its users are.

    Raises Invalid as `read_kubeconfig` does.
    """
    document = _document(text)
    names = [str(entry["name"]) for entry in _entries(document, "clusters")]
    if len(names) != 1:
        raise Invalid("The kubeconfig must have one cluster.", field=FIELD)
    cluster = _entry(document, "clusters", "cluster", names[0])
    server = clean_server(_text(cluster, "server", "cluster"), networks=networks, field=FIELD)
    authority = _decoded(cluster, "certificate-authority-data", "cluster")
    return server, clean_ca(authority, field=FIELD, now=now)


def _credential(user: Mapping[str, Any], now: datetime) -> tuple[str, str, str, datetime | None]:
    """Return token, certificate, key and expiry: a token wins, as it does for kubectl."""
    if _text(user, "token", "user"):
        token, expires_at = clean_token(_text(user, "token", "user"), field=FIELD, now=now)
        return token, "", "", expires_at
    certificate = _decoded(user, "client-certificate-data", "user")
    key = _decoded(user, "client-key-data", "user")
    if not certificate and not key:
        raise Invalid(
            "This user has no credential in the kubeconfig: neither token nor "
            f"client-certificate-data with client-key-data. {TOKEN}",
            field=FIELD,
        )
    if not certificate or not key:
        missing = "client-key-data" if certificate else "client-certificate-data"
        raise Invalid(f"{missing} is missing. {INLINE}", field=FIELD)
    return "", *clean_pair(certificate, key, fields=(FIELD, FIELD), now=now)


def _chosen(document: Mapping[str, Any], context: str) -> str:
    names = [str(entry["name"]) for entry in _entries(document, "contexts")]
    if not names:
        raise Invalid(f"The kubeconfig has no context. {INLINE}", field=FIELD)
    if context:
        if context in names:
            return context
        raise Invalid(f"There is no context of this name. {_listed(names)}", field="context")
    if len(names) == 1:
        return names[0]
    raise Invalid(
        f"Say which context to use. {_listed(names)}",
        field="context",
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:10])
    return f"The kubeconfig has {shown}{' and others' if names[10:] else ''}."


def _entries(document: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    entries = document.get(kind) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Invalid(f"{kind} must be a list of entries with a name.", field=FIELD)
    for entry in entries:
        name = entry.get("name")
        if not isinstance(name, str) or not name or len(name) > NAME_LENGTH:
            raise Invalid(f"An entry of {kind} has no usable name.", field=FIELD)
        if not name.isprintable():
            raise Invalid(
                f"A name in {kind} contains a character that cannot be shown.", field=FIELD
            )
    return entries


def _entry(document: Mapping[str, Any], kind: str, inner: str, name: str) -> dict[str, Any]:
    found = [entry for entry in _entries(document, kind) if entry["name"] == name]
    if len(found) > 1:
        raise Invalid(f"{kind} has more than one entry called {name}.", field=FIELD)
    value = found[0].get(inner) if found else None
    if not isinstance(value, dict):
        raise Invalid(f"The context needs an entry of {kind} that is not there.", field=FIELD)
    return value


def _refuse(
    entry: Mapping[str, Any], what: str, refusals: Mapping[str, str], known: frozenset[str]
) -> None:
    for name, message in refusals.items():
        if entry.get(name) not in (None, "", "null", [], {}):
            raise Invalid(message, field=FIELD)
    unknown = [name for name in entry if name not in known and name not in refusals]
    if unknown:
        shown = unknown[0] if len(unknown[0]) < 60 and unknown[0].isprintable() else "a field"
        raise Invalid(f"The portal does not know {shown} of a {what}. Remove it.", field=FIELD)


def _text(entry: Mapping[str, Any], name: str, what: str) -> str:
    value = entry.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Invalid(f"{name} of the {what} must be text.", field=FIELD)
    return value


def _decoded(entry: Mapping[str, Any], name: str, what: str) -> str:
    encoded = "".join(_text(entry, name, what).split())
    try:
        return base64.b64decode(encoded, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise Invalid(f"{name} is not base64 of a PEM text.", field=FIELD) from None


def _document(text: str) -> dict[str, Any]:
    if not text.strip():
        raise Invalid("Paste the kubeconfig.", field=FIELD)
    if len(text.encode(errors="replace")) > MOST_BYTES:
        raise Invalid(f"This is longer than {MOST_BYTES // 1024} KiB. {INLINE}", field=FIELD)
    document = read_plain(
        text,
        field=FIELD,
        too_large=Invalid("This is too deep or too large for a kubeconfig.", field=FIELD),
    )
    if not isinstance(document, dict):
        raise Invalid("This is not a kubeconfig: it has no clusters, users, contexts.", field=FIELD)
    return document
