"""Make what a Kubernetes API answers safe to hold: no value of a Secret, nothing that quotes one."""

import hmac
import os

from apps.dataplane.kubernetes.kinds import Manifest

_key = os.urandom(32)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def made_safe(item: Manifest) -> Manifest:
    """Drop bookkeeping that may quote secrets, and replace a Secret's values by digests."""
    for one in item.get("items") or ():
        made_safe(one)
    metadata = item.get("metadata")
    if not isinstance(metadata, dict):
        return item
    metadata.pop("managedFields", None)
    annotations = metadata.get("annotations")
    if annotations:
        annotations.pop(_LAST_APPLIED, None)
    if _is_secret(item):
        for part in ("data", "stringData"):
            values = item.get(part)
            if values:
                item[part] = {key: _digest(str(value)) for key, value in values.items()}
    return item


def _is_secret(item: Manifest) -> bool:
    # Items of a SecretList carry no kind of their own; a type and data give them away.
    if item.get("kind") == "Secret":
        return True
    return "kind" not in item and "type" in item and "data" in item


def _digest(value: str) -> str:
    return hmac.digest(_key, value.encode(), "sha256").hex()
