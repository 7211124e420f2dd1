"""What holds for every operation, written into the OpenAPI document, so that generated clients know
refusals, headers and which fields an answer always has.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from apps.api.wire.shapes import Problem

Schema = dict[str, Any]
REFUSALS = {
    "400": "What was sent is not valid. The message, and fieldErrors where there are, say why.",
    "401": "There is no token, or it works no longer.",
    "403": "The roles of the caller do not allow it. The message names roles that do.",
    "404": "There is nothing of that ID, or the caller may not know of it.",
    "409": "A change came between, or what is there does not allow it now.",
    "429": "The token made too many calls.",
    "default": "Anything else that went wrong, such as a data plane that does not answer.",
}
_OF_SCHEMAS = {"$ref", "type", "anyOf", "allOf"}
_BELOW_SOMETHING, _WRITING = ("403", "404"), ("409",)
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_ETAG = {"ETag": {"description": "The version of this answer.", "schema": {"type": "string"}}}
_IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "description": "The ETag of an answer that you have: 304 while nothing has changed.",
    "schema": {"type": "string"},
    "required": False,
}


def with_conventions(document: Schema) -> Schema:
    """Return an OpenAPI document with what its operations have in common."""
    schemas = document["components"]["schemas"]
    schemas |= _schemas_of_refusals()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _add_responses(operation, path=path, method=method)
    for name in schemas.keys() - set(_below(_sent(document), schemas)):
        schemas[name] = _as_answered(schemas[name])
    return {**document, **{name: _plain(document[name]) for name in ("paths", "components")}}


def _schemas_of_refusals() -> Schema:
    made = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**made.pop("$defs"), Problem.__name__: made}


def _add_responses(operation: Schema, *, path: str, method: str) -> None:
    responses: dict[int | str, Any] = operation["responses"]
    is_below = "{" in path
    for status, description in REFUSALS.items():
        if (status in _BELOW_SOMETHING and not is_below) or (
            status in _WRITING and method == "get"
        ):
            continue
        schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
        responses[status] = {
            "description": description,
            "content": {"application/json": {"schema": schema}},
        }
    responses["429"]["headers"] = _RETRY_AFTER
    if method == "get" and "application/json" in responses[200].get("content", {}):
        responses[200]["headers"] = _ETAG
        responses["304"] = {"description": "Nothing has changed."}
        operation["parameters"].append(_IF_NONE_MATCH)


def _sent(document: Schema) -> Iterator[str]:
    for methods in document["paths"].values():
        for operation in methods.values():
            yield from _references([operation["parameters"], operation.get("requestBody")])


def _below(names: Iterable[str], schemas: Schema) -> set[str]:
    """Return the names of schemas and of all that they are made of."""
    found, left = set[str](), list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left.extend(_references(schemas[name]))
    return found


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from _references(one)


def _as_answered(shape: Schema) -> Schema:
    """Describe a shape that is only answered: a field that may be empty may be left out, and all
    others are always there.
    """
    if "properties" not in shape:
        return shape
    fields = shape["properties"]
    needed = [name for name, field in fields.items() if not _may_be_null(field)]
    told = {
        name: {part: value for part, value in field.items() if part != "default"}
        for name, field in fields.items()
    }
    return {**shape, "properties": told} | ({"required": needed} if needed else {})


def _may_be_null(field: Schema) -> bool:
    return {"type": "null"} in field.get("anyOf", ())


def _plain(node: Any) -> Any:
    """Leave out what generators stumble over and readers learn nothing from: titles that repeat a
    name in other letters, objects as defaults, and a reference wrapped as the only one of several.
    """
    if isinstance(node, list):
        return [_plain(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {name: _plain_part(name, part) for name, part in node.items() if name != "title"}
    if isinstance(found.get("default"), dict) and found.keys() & _OF_SCHEMAS:
        del found["default"]
    return found["allOf"][0] if found.keys() == {"allOf"} else found


def _plain_part(name: str, part: Any) -> Any:
    if name in ("default", "enum", "examples"):
        return part
    if name == "properties":
        return {field: _plain(one) for field, one in part.items()}
    return _plain(part)
