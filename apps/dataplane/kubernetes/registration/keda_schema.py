"""Whether the KEDA of a cluster knows the fields of the objects that the portal makes for it.

Its versions differ in fields, and the API server refuses an object with one that the installed
version does not describe. The description is asked for, and no version is looked up in a table.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from apps.dataplane.errors import Temporary
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.errors import Refused
from apps.dataplane.kubernetes.api.kinds import SCALED_OBJECT, TRIGGER_AUTHENTICATION
from apps.dataplane.kubernetes.render.components.autoscaling import SIGN_IN, scaling
from apps.dataplane.spec import WorkerQueue

PATH = f"/openapi/v3/apis/{SCALED_OBJECT.api_version}"
_QUEUE = WorkerQueue(name="default", concurrency=1, min_workers=1, max_workers=2)
_OBJECTS: Mapping[str, Mapping[str, Any]] = {
    SCALED_OBJECT.name: scaling(_QUEUE, workload="worker-default", scale_down_seconds=300),
    TRIGGER_AUTHENTICATION.name: SIGN_IN,
}


def unknown_fields(api: Api) -> tuple[str, ...]:
    """Return the fields that the cluster's KEDA does not know, as `ScaledObject spec.fallback`.

    A cluster that does not describe its objects counts as one that knows all.
    """
    try:
        schemas = api.json(PATH).get("components", {}).get("schemas", {})
    except (Refused, Temporary):
        return ()
    found: set[str] = set()
    for schema in schemas.values():
        named = (schema.get("x-kubernetes-group-version-kind") or [{}])[0]
        spec = _OBJECTS.get(named.get("kind", ""))
        described = (schema.get("properties") or {}).get("spec")
        if spec and described:
            found.update(f"{named['kind']} {path}" for path in _unknown(spec, described, "spec"))
    return tuple(sorted(found))


def _unknown(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the paths in `value` that a structural schema does not describe."""
    if isinstance(value, list):
        for item in value:
            yield from _unknown(item, schema.get("items") or {}, path)
        return
    properties = schema.get("properties")
    if not isinstance(value, Mapping) or not properties:
        return
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    for key, one in value.items():
        if key in properties:
            yield from _unknown(one, properties[key], f"{path}.{key}")
        else:
            yield f"{path}.{key}"
