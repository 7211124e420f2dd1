"""The OpenAPI document, and what the reference page shows of it."""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings

from apps.api.pages.conventions import with_conventions
from apps.api.service import api

ROOT = "/v1"


@dataclass(frozen=True, kw_only=True)
class Field:
    name: str
    kind: str
    is_required: bool


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation as people read it. `query` and `body` are what it takes, `answer` what it
    returns.
    """

    id: str
    method: str
    path: str
    summary: str
    description: str
    query: tuple[Field, ...]
    body: tuple[Field, ...]
    answer: tuple[Field, ...]


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document: made once, from the code of the operations."""
    made = with_conventions(dict(api.get_openapi_schema(path_prefix="/")))
    # Clients join an address with the paths, which therefore begin behind it.
    made["servers"] = [{"url": f"{settings.PORTAL_URL}{ROOT}"}]
    made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    made["security"] = [{"token": []}]
    # The endings of our classes say nothing to readers.
    text = re.sub(r'(?<=[/"])([A-Z]\w*)Shape"', r'\1"', json.dumps(made, default=str))
    return dict(json.loads(text))


@cache
def operations_by_subject() -> dict[str, tuple[Operation, ...]]:
    """Return all operations under their subjects, in the order of the document."""
    found: dict[str, list[Operation]] = {}
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            subject = (operation.get("tags") or ["Other"])[0]
            found.setdefault(subject, []).append(_operation(path, method, operation))
    return {subject: tuple(operations) for subject, operations in found.items()}


def _operation(path: str, method: str, operation: dict[str, Any]) -> Operation:
    asked = [one for one in operation.get("parameters", ()) if one["in"] == "query"]
    return Operation(
        id=operation["operationId"],
        method=method.upper(),
        path=ROOT + path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        query=tuple(
            Field(
                name=one["name"], kind=_kind(one["schema"]), is_required=one.get("required", False)
            )
            for one in asked
        ),
        body=_fields(operation.get("requestBody", {})),
        answer=_fields(operation.get("responses", {}).get("200", {})),
    )


def _fields(part: dict[str, Any]) -> tuple[Field, ...]:
    schema = part.get("content", {}).get("application/json", {}).get("schema", {})
    shape = _resolved(schema)
    needed = set(shape.get("required", ()))
    return tuple(
        Field(name=name, kind=_kind(one), is_required=name in needed)
        for name, one in shape.get("properties", {}).items()
    )


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return dict(document()["components"]["schemas"][name]) if name else schema


def _kind(schema: dict[str, Any]) -> str:
    """Name a type: `string`, `list of string`, the name of a shape."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return " or ".join(str(one) for one in schema["enum"])
    several = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if several:
        return " or ".join(_kind(one) for one in several)
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return "time" if schema.get("format") == "date-time" else str(schema.get("type", "anything"))
