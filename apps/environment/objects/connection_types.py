"""Types of connections as the providers of the runtimes describe them: `runtime/connections`."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from apps.environment.objects.values import is_secret_name

FOLDER = Path(__file__).resolve().parents[3] / "runtime" / "connections"
STANDARD = ("host", "schema", "login", "password", "port")
# Providers call the field after its place in an address.
_CALLED = {"schema": "url_schema"}
_LABELS = {
    "host": "Host",
    "schema": "Schema",
    "login": "Login",
    "password": "Password",
    "port": "Port",
}


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a form. `kind` is `text`, `number`, `check` or `choice` of `choices`."""

    name: str
    label: str
    placeholder: str = ""
    hint: str = ""
    kind: str = "text"
    choices: tuple[str, ...] = ()
    is_secret: bool = False


@dataclass(frozen=True, kw_only=True)
class ConnectionType:
    """A type with the fields that its provider reads, those of `extra` apart."""

    key: str
    name: str
    standard: tuple[Field, ...]
    extra: tuple[Field, ...] = field(default=())

    @property
    def shown_extra(self) -> frozenset[str]:
        """The fields of `extra` that are no secrets."""
        return frozenset(one.name for one in self.extra if not one.is_secret)


def connection_types() -> tuple[ConnectionType, ...]:
    """Return the known types, by the names that people read."""
    return tuple(sorted(_known().values(), key=lambda one: one.name.lower()))


def type_called(key: str) -> ConnectionType:
    """Return a type. One that no runtime knows has the fields that every connection has."""
    return _known().get(key) or ConnectionType(key=key, name=key, standard=_EVERY)


_EVERY = tuple(
    Field(name=name, label=_LABELS[name], is_secret=name == "password") for name in STANDARD
)


@cache
def _known() -> dict[str, ConnectionType]:
    """Read the lists of all runtimes; the newest Airflow wins."""
    found: dict[str, ConnectionType] = {}
    for path in sorted(FOLDER.glob("airflow-*.json")):
        found |= {one["type"]: _type(one) for one in json.loads(path.read_text())}
    return found


def _type(data: dict[str, Any]) -> ConnectionType:
    fields = data["fields"]
    standard = [
        Field(
            name=name,
            label=told["title"] or _LABELS[name],
            placeholder=told["placeholder"],
            is_secret=name == "password",
        )
        for name in STANDARD
        if not (told := fields[_CALLED.get(name, name)])["hidden"]
    ]
    extra = [_extra(name, one) for name, one in data["extra"].items()]
    return ConnectionType(
        key=data["type"], name=data["name"], standard=tuple(standard), extra=tuple(extra)
    )


def _extra(name: str, data: dict[str, Any]) -> Field:
    types = data.get("type", [])
    types = [types] if isinstance(types, str) else types
    kind = "check" if "boolean" in types else "number" if "integer" in types else "text"
    default = data.get("default")
    usual = f"Usually {default}." if default not in (None, "", False) else ""
    return Field(
        name=name,
        label=data.get("title") or name,
        hint=" ".join(part for part in (data.get("description", ""), usual) if part),
        kind="choice" if data.get("enum") else kind,
        choices=tuple(map(str, data.get("enum", ()))),
        is_secret=data.get("format") == "password" or is_secret_name(name),
    )
