"""Which objects a text holds: an airflow_settings.yaml, what Airflow exports, or a .env file. Pure.

A part that makes no sense is refused by itself, with the reason.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from apps.core.errors import Invalid
from apps.environment.importing.parsing import (
    FIELD,
    parsed_json,
    parsed_lines,
    parsed_yaml,
    typed,
)
from apps.environment.importing.uris import connection_of
from apps.environment.objects.models import Kind

Means = Literal["", "connection", "variable", "environment"]
MOST_ENTRIES = 300
# Of Airflow's exports, and of airflow_settings.yaml.
_FIELDS = {
    "conn_type": "type",
    "conn_host": "host",
    "conn_schema": "schema",
    "conn_login": "login",
    "conn_password": "password",
    "conn_port": "port",
    "conn_extra": "extra",
    "host": "host",
    "schema": "schema",
    "login": "login",
    "password": "password",
    "port": "port",
    "extra": "extra",
}
_MARKS = frozenset({"conn_type", "uri", "conn_uri"})
CONN, VAR = "AIRFLOW_CONN_", "AIRFLOW_VAR_"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One object of a text; `problem` says why it is none."""

    kind: str
    name: str
    value: Mapping[str, Any] = field(default_factory=dict, repr=False)
    description: str = ""
    problem: str = ""


def entries_of(text: str, *, means: Means = "") -> list[Entry]:
    """Return the objects of a text, in its order. `means` says what names with plain texts are:
    connections as addresses, Airflow variables, or environment variables; empty for what the format
    suggests. Raises Invalid, with field "text", for a text that cannot be read.
    """
    if "\0" in text:
        raise Invalid("The text holds the character NUL. Is it a text file?", field=FIELD)
    if not text.strip():
        raise Invalid("Paste a text, or choose a file.", field=FIELD)
    found = list(_entries(text, means))
    if not found:
        raise Invalid("There is no connection and no variable in this.", field=FIELD)
    if len(found) > MOST_ENTRIES:
        message = f"Import at most {MOST_ENTRIES} at a time. Split the file."
        raise Invalid(message, field=FIELD)
    names = [(one.kind, one.name) for one in found]
    if len(set(names)) != len(names):
        raise Invalid("One name is there twice.", field=FIELD)
    return found


def _entries(text: str, means: Means) -> Iterator[Entry]:
    begin = text.lstrip()[:1]
    if begin == "{" or begin == "[":
        yield from _of_mapping(parsed_json(text), means)
        return
    if _looks_like_lines(text):
        for name, value in parsed_lines(text).items():
            yield _of_line(name, value, means)
        return
    document = parsed_yaml(text)
    if isinstance(document, dict) and isinstance(document.get("airflow"), dict):
        yield from _of_settings(document["airflow"])
        return
    yield from _of_mapping(document, means)


def _looks_like_lines(text: str) -> bool:
    """The first line that says something has `=` before any `:`."""
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    before, equals, _ = first.partition("=")
    return bool(equals) and ":" not in before and not first.startswith("- ")


def _of_line(name: str, value: str, means: Means) -> Entry:
    if name.startswith(CONN):
        return _connection(name.removeprefix(CONN).lower(), value)
    if name.startswith(VAR):
        key = name.removeprefix(VAR).lower()
        return Entry(kind=Kind.VARIABLE, name=key, value={"value": value})
    return _plain(name, value, means or "environment")


def _of_mapping(document: Any, means: Means) -> Iterator[Entry]:
    if not isinstance(document, dict):
        raise Invalid("Expected names with values: an export of Airflow.", field=FIELD)
    for name, value in document.items():
        if isinstance(value, dict) and (_MARKS & value.keys() or means == "connection"):
            yield _connection(name, value)
        else:
            yield _plain(name, value, means or "variable")


def _plain(name: str, value: Any, means: str) -> Entry:
    if means == "connection":
        return _connection(name, value)
    description = ""
    # Airflow exports a variable that has a description as a mapping.
    if isinstance(value, dict) and value.keys() == {"value", "description"}:
        description, value = str(value["description"] or ""), value["value"]
    return Entry(
        kind=Kind(means), name=name, value={"value": _text(value)}, description=description
    )


def _text(value: Any) -> str:
    """Write a value as Airflow imports it: what is no text as JSON."""
    if isinstance(value, str):
        return str(value)
    return "" if value is None else json.dumps(typed(value), ensure_ascii=False)


def _connection(name: str, value: Any) -> Entry:
    try:
        fields = _address(value) if isinstance(value, str) else _mapping(value)
    except Invalid as error:
        return Entry(kind=Kind.CONNECTION, name=name, problem=error.message)
    description = value.get("description") if isinstance(value, dict) else ""
    return Entry(kind=Kind.CONNECTION, name=name, value=fields, description=str(description or ""))


def _address(text: str) -> dict[str, Any]:
    if not text.lstrip().startswith("{"):
        return connection_of(text)
    return _mapping(parsed_json(text))


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid("It is neither an address nor the fields of a connection.")
    uri = value.get("uri") or value.get("conn_uri")
    if uri:
        return connection_of(str(uri))
    found = {_FIELDS[key]: one for key, one in value.items() if key in _FIELDS and _is_set(one)}
    texts = {name: str(one) for name, one in found.items() if name != "extra"}
    extra = _extra(found.get("extra"))
    return {**texts, "extra": extra} if extra else texts


def _is_set(value: Any) -> bool:
    return value not in (None, "", {})


def _extra(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = parsed_json(value) if value.strip() else {}
    found = typed(value or {})
    if not isinstance(found, dict):
        raise Invalid("Its extra is no JSON object.")
    return found


def _of_settings(airflow: dict[str, Any]) -> Iterator[Entry]:
    for row in _rows(airflow.get("connections")):
        if name := row.get("conn_id"):
            yield _connection(str(name), row)
    for row in _rows(airflow.get("variables")):
        if name := row.get("variable_name"):
            value = {"value": _text(row.get("variable_value"))}
            yield Entry(kind=Kind.VARIABLE, name=str(name), value=value)


def _rows(value: Any) -> Iterator[dict[str, Any]]:
    for row in value if isinstance(value, list) else ():
        if isinstance(row, dict):
            yield row
