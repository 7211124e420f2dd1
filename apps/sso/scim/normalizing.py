"""Turns what identity providers send into what the standard says, before the library reads it.

Entra and Okta document shapes of their own: schemas of Active Directory, "True" as a text, members
to remove as a value, attribute paths as keys, `id` among the values, and attributes that the portal
does not keep. Whatever is not understood here is passed on, so that the library can refuse it.
Sources: "Develop a SCIM endpoint for user provisioning to apps" (Microsoft Entra), "Understand
SCIM" and the SCIM 2.0 reference (Okta), RFC 7644 section 3.5.2.
"""

import re
from collections.abc import Mapping
from typing import Any

from scim2_models import ResourceType

from apps.sso.scim.attributes import BOOLEANS, COMMON, KEPT, LISTS, NAME, kept_document, kept_name

TRUTHS = {"true": True, "false": False}
TRUTH_IN_FILTER = re.compile(r'\b(primary|active)\s+eq\s+"(true|false)"', re.IGNORECASE)
# A part of the path after a filter or a dot.
SUB = re.compile(r"(?:\]|^[A-Za-z]+)\.([A-Za-z$]+)$")
# Changes nothing: what is left of a PATCH whose operations are about other attributes only.
NOTHING = {"op": "add", "value": {}}


def normalized_resource(payload: Any, resource_type: ResourceType) -> Any:
    """Return the body of a POST or PUT with what is kept, in its standard form."""
    if not isinstance(payload, dict):
        return payload
    schema = str(resource_type.schema_)
    nested: dict[str, Any] = {}
    for key, value in payload.items():
        head, dot, sub = _without_schema(key, schema).partition(".")
        if not dot:
            nested[head] = value
        elif isinstance(nested.setdefault(head, {}), dict):
            nested[head][sub] = value
    kept = kept_document(nested, schema=schema)
    if isinstance(kept.get("schemas"), list) and kept["schemas"]:
        ours = [one for one in kept["schemas"] if one in KEPT]
        kept["schemas"] = ours or [schema]
    return {
        name: value if name in COMMON[:2] or name == "meta" else _value(name, value)
        for name, value in kept.items()
    }


def normalized_patch(payload: Any, resource_type: ResourceType) -> Any:
    """Return the body of a PATCH with an operation for each attribute that is kept."""
    if not isinstance(payload, dict):
        return payload
    fields = {kept_name(key, ("schemas", "Operations")) or key: one for key, one in payload.items()}
    operations = fields.get("Operations")
    if not isinstance(operations, list) or not operations:
        return fields
    schema = str(resource_type.schema_)
    understood = [part for one in operations for part in _operations(one, schema)]
    return {**fields, "Operations": understood or [NOTHING]}


def normalized_bulk(payload: Any, types: Mapping[str, ResourceType]) -> Any:
    """Return the body of a bulk request with each of its bodies in the standard form.

    `types` maps endpoints, like `Users`, to what they serve.
    """
    if not isinstance(payload, dict) or not isinstance(payload.get("Operations"), list):
        return payload
    return {**payload, "Operations": [_bulk_step(one, types) for one in payload["Operations"]]}


def _bulk_step(step: Any, types: Mapping[str, ResourceType]) -> Any:
    if not isinstance(step, dict):
        return step
    resource_type = types.get(str(step.get("path", "")).strip("/").partition("/")[0])
    if resource_type is None or "data" not in step:
        return step
    is_patch = str(step.get("method", "")).upper() == "PATCH"
    normalized = normalized_patch if is_patch else normalized_resource
    return {**step, "data": normalized(step["data"], resource_type)}


def _operations(given: Any, schema: str) -> list[Any]:
    """Split one operation into those for single attributes; none where it is about others."""
    if not isinstance(given, dict):
        return [given]
    one = {kept_name(key, ("op", "path", "value")) or key: value for key, value in given.items()}
    path = one.get("path")
    if path is not None and not isinstance(path, str):
        return [one]
    path = _without_schema((path or "").strip(), schema)
    if path:
        return _at_path(one, path, schema)
    if not isinstance(one.get("value"), dict) or _is_removal(one):
        return [{key: value for key, value in one.items() if key != "path"}]
    parts = []
    for key, value in one["value"].items():
        # What the portal wrote itself is sent back along with changes.
        if key.lower() in ("id", "meta", "schemas"):
            continue
        parts += _operations({"op": one.get("op"), "path": key, "value": value}, schema)
    return parts


def _at_path(one: dict[str, Any], path: str, schema: str) -> list[Any]:
    head = NAME.match(path)
    if head is None:
        return [{**one, "path": path}]
    name = kept_name(head[0], (*KEPT[schema], *COMMON)) if path[head.end() :][:1] != ":" else None
    if name is None:
        return []
    rest = TRUTH_IN_FILTER.sub(lambda m: f"{m[1]} eq {m[2].lower()}", path[head.end() :])
    path = name + rest
    sub = SUB.search(path)
    if sub is not None and kept_name(sub[1], KEPT[schema].get(name, ())) is None:
        return []
    if _is_removal(one):
        return _removals(one, path, name)
    if "value" not in one:
        return [{**one, "path": path}]
    value = _entry_part(sub[1], one["value"]) if sub is not None else _value(name, one["value"])
    if "[" in path and sub is None and isinstance(value, list) and len(value) == 1:
        value = value[0]
    return [{**one, "path": path, "value": value}]


def _is_removal(one: dict[str, Any]) -> bool:
    return str(one.get("op", "")).lower() == "remove"


def _removals(one: dict[str, Any], path: str, name: str) -> list[Any]:
    """Take the value of a removal as the entries to remove, where it can be one."""
    plain = {"op": one.get("op"), "path": path}
    value = one.get("value")
    if name not in LISTS or path != name or value in (None, ""):
        return [plain]
    entries = _value(name, value)
    if not isinstance(entries, list):
        return [{**plain, "value": value}]
    named = [{"value": entry["value"]} for entry in entries if _has_value(entry)]
    if len(named) < len(entries):
        # A removal of other entries than those meant would be worse than none.
        return [{**plain, "value": value}]
    return [{**plain, "value": named}] if named else []


def _has_value(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("value"), str)


def _value(name: str, value: Any) -> Any:
    """Return the value of a whole attribute in its standard form."""
    if name in LISTS:
        entries = value if isinstance(value, list) else [value]
        return value if value is None else [_entry(name, one) for one in entries]
    if name == "name":
        return kept_document({name: value}, schema=next(iter(KEPT)))[name]
    return _entry_part(name, value)


def _entry(name: str, entry: Any) -> Any:
    if isinstance(entry, str):
        return {"value": entry}
    if not isinstance(entry, dict):
        return entry
    subs = next(names[name] for names in KEPT.values() if name in names)
    named = ((kept_name(key, subs), value) for key, value in entry.items())
    return {sub: _entry_part(sub, value) for sub, value in named if sub and value is not None}


def _entry_part(name: str, value: Any) -> Any:
    """Return a single value in its standard form: out of the wrapping that older jobs of Entra use,
    and a truth value that was sent as text.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and isinstance(value.get("value"), (str, bool)):
        value = value["value"]
    if name.lower() in BOOLEANS and isinstance(value, str):
        return TRUTHS.get(value.strip().lower(), value)
    return value


def _without_schema(path: str, schema: str) -> str:
    """Return a path without the schema of the resource itself, which may stand before it."""
    if not path.lower().startswith(schema.lower()):
        return path
    return path[len(schema) :].lstrip(":.")
