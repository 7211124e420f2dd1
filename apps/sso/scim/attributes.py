"""Which attributes of people and groups are kept. What an identity provider sends besides is never
stored: it may be a password, or more about a person than the portal needs.
"""

import re
from collections.abc import Iterable
from typing import Any

from scim2_models import Attribute, ResourceType, Schema
from scim2_server.utils import load_default_resource_types, load_default_schemas

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"

# Attributes of each schema with their sub-attributes; `externalId` and what the portal itself
# writes belong to every resource.
KEPT: dict[str, dict[str, tuple[str, ...]]] = {
    USER: {
        "userName": (),
        "name": ("formatted", "familyName", "givenName"),
        "displayName": (),
        "active": (),
        "emails": ("value", "type", "primary"),
        "title": (),
        "preferredLanguage": (),
        "profileUrl": (),
        "phoneNumbers": ("value", "type", "primary"),
        "addresses": (
            "formatted",
            "streetAddress",
            "locality",
            "region",
            "postalCode",
            "country",
            "type",
            "primary",
        ),
        "photos": ("value", "type", "primary"),
        "groups": ("value", "$ref", "display", "type"),
    },
    GROUP: {"displayName": (), "members": ("value", "$ref", "display", "type")},
}
# Taken and forgotten: clients that read the schemas first would not send a person without it.
NEVER_KEPT = frozenset({"password"})
COMMON = ("schemas", "id", "externalId", "meta")
LISTS = frozenset({"emails", "members", "phoneNumbers", "addresses", "photos", "groups"})
BOOLEANS = frozenset({"active", "primary"})
NAME = re.compile(r"[A-Za-z$][A-Za-z0-9$_-]*")


def kept_schemas() -> list[Schema]:
    """Return the schemas of RFC 7643 with the attributes that are kept."""
    schemas = load_default_schemas()
    return [_reduced(schemas[urn], names) for urn, names in KEPT.items()]


def kept_resource_types() -> list[ResourceType]:
    """Return people and groups, without extensions."""
    types = load_default_resource_types().values()
    return [one.model_copy(update={"schema_extensions": None}) for one in types]


def kept_document(document: dict[str, Any], *, schema: str) -> dict[str, Any]:
    """Return what is kept of a resource as JSON, at the first level and below it."""
    kept = {}
    for key, value in document.items():
        name = kept_name(key, (*KEPT[schema], *COMMON))
        if name is None:
            continue
        subs = KEPT[schema].get(name, ())
        kept[name] = _parts(value, subs) if subs else value
    return kept


def kept_name(name: str, names: Iterable[str]) -> str | None:
    """Return a name as the schema spells it, None if it is not among those; case is ignored."""
    return next((one for one in names if one.lower() == name.lower()), None)


def _parts(value: Any, subs: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_parts(one, subs) for one in value]
    if not isinstance(value, dict):
        return value
    named = ((kept_name(key, subs), one) for key, one in value.items())
    return {name: one for name, one in named if name is not None}


def _reduced(schema: Schema, names: dict[str, tuple[str, ...]]) -> Schema:
    attributes = [
        one.model_copy(update={"sub_attributes": _subs(one, names.get(str(one.name), ()))})
        for one in schema.attributes or []
        if one.name in names or one.name in NEVER_KEPT
    ]
    return schema.model_copy(update={"attributes": attributes})


def _subs(attribute: Attribute, names: tuple[str, ...]) -> list[Attribute] | None:
    subs = [one for one in attribute.sub_attributes or [] if one.name in names]
    return subs or None
