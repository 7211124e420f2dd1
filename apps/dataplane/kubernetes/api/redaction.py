"""Redact responses of a Kubernetes API: no value of a Secret, and no quote of one."""

import hmac
import os

from apps.dataplane.kubernetes.api.kinds import Manifest

_key = os.urandom(32)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def redact(item: Manifest, *, is_secret: bool, keeps_managers: bool = False) -> Manifest:
    """Drop metadata that may quote secrets; replace a Secret's values by keyed digests, which can
    only be compared, within this process. `managedFields`, of the size of the object itself, are
    kept for those who ask who set its fields.
    """
    is_secret = is_secret or item.get("kind") in ("Secret", "SecretList")
    for one in item.get("items") or ():
        redact(one, is_secret=is_secret)
    metadata = item.get("metadata")
    if not isinstance(metadata, dict):
        return item
    if not keeps_managers:
        metadata.pop("managedFields", None)
    annotations = metadata.get("annotations")
    if annotations:
        annotations.pop(_LAST_APPLIED, None)
    if is_secret:
        for part in ("data", "stringData"):
            values = item.get(part)
            if values:
                item[part] = {key: _digest(str(value)) for key, value in values.items()}
    return item


def _digest(value: str) -> str:
    return hmac.digest(_key, value.encode(), "sha256").hex()
