"""What an environment object may hold, as plain values. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from apps.core.errors import Invalid
from apps.dataplane.variables import refusal_of
from apps.environment.objects.models import TYPED, Kind

Value = Mapping[str, Any]
# What Airflow accepts as the id of a connection, and as the key of a variable.
CONNECTION_ID = re.compile(r"[\w#!()\-.:/\\]{1,200}")
LONGEST_KEY = 200
CONNECTION_TEXTS = ("type", "host", "schema", "login", "password")
CONNECTION_FIELDS = (*CONNECTION_TEXTS, "port", "extra")
# As Airflow masks them in its logs: a field of `extra` whose name has one of these is a secret.
SECRET_WORDS = (
    "access_token",
    "api_key",
    "apikey",
    "authorization",
    "credential",
    "keyfile",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "secret",
    "service_account",
    "token",
)
LONGEST_VALUE = 100_000
# Logs of tasks are written with them.
PORTAL_CONNECTION = "portal_"
NUL = "\0"


def is_secret_name(name: str) -> bool:
    """Return whether a field of `extra` is a secret by its name."""
    return any(word in name.lower() for word in SECRET_WORDS)


def checked_name(kind: str, name: str) -> str:
    """Return a good name. Raises Invalid with what would be right."""
    name = name.strip()
    if kind == Kind.ENVIRONMENT:
        refusal = refusal_of(name)
        if refusal:
            raise Invalid(refusal.message, field="name")
        return name
    if kind in (Kind.VARIABLE, Kind.BACKEND):
        if not name or len(name) > LONGEST_KEY or not name.isprintable():
            raise Invalid("Enter a key of 1 to 200 characters, without line breaks.", field="name")
        return name
    if not CONNECTION_ID.fullmatch(name):
        raise Invalid(
            "Enter an id of 1 to 200 letters, digits and the characters # ! ( ) - _ . : / \\.",
            field="name",
        )
    if name.lower().startswith(PORTAL_CONNECTION):
        raise Invalid("Connections that begin with portal_ are the portal's own.", field="name")
    return name


def checked_value(kind: str, value: Value) -> dict[str, Any]:
    """Return a value with the fields of its kind, those that are empty left out. Raises Invalid."""
    found = _connection(value) if kind in TYPED else _variable(value)
    text = json.dumps(found, ensure_ascii=False)
    if NUL in text or "\\u0000" in text:
        raise Invalid("A value must not hold the character NUL: no program could receive it.")
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST_VALUE:
        raise Invalid(f"A value has at most {LONGEST_VALUE:,} bytes.")
    _refuse_halves(text)
    return found


def _refuse_halves(text: str) -> None:
    """Half a character of UTF-16 cannot be written to any file."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid("A value holds half a character, which cannot be stored.") from None


def _variable(value: Value) -> dict[str, Any]:
    unknown = set(value) - {"value"}
    if unknown:
        raise Invalid(f"A variable has no field {sorted(unknown)[0]!r}.")
    return {"value": str(value["value"])} if "value" in value else {}


def _connection(value: Value) -> dict[str, Any]:
    unknown = set(value) - set(CONNECTION_FIELDS)
    if unknown:
        raise Invalid(f"A connection has no field {sorted(unknown)[0]!r}.")
    found: dict[str, Any] = {
        name: str(value[name]) for name in CONNECTION_TEXTS if value.get(name) not in (None, "")
    }
    if value.get("port") not in (None, ""):
        found["port"] = _port(value["port"])
    extra = value.get("extra")
    if extra:
        if not isinstance(extra, Mapping):
            raise Invalid("Extra is a JSON object, such as {“timeout”: 10}.", field="more")
        found["extra"] = dict(extra)
    return found


def _port(value: Any) -> int:
    try:
        port = int(value)
    except (TypeError, ValueError):
        port = 0
    if not 1 <= port <= 65_535:
        raise Invalid("A port is a number from 1 to 65535.", field="port")
    return port


def parted(
    kind: str, value: Value, *, is_secret: bool, shown_extra: Iterable[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part a value into what may be shown and what is sealed. Of `extra` only `shown_extra` is
    shown, and of that nothing whose name is that of a secret.
    """
    if kind not in TYPED:
        return ({}, dict(value)) if is_secret else (dict(value), {})
    shown = {name for name in shown_extra if not is_secret_name(name)}
    extra = value.get("extra", {})
    plain = {name: part for name, part in value.items() if name not in ("password", "extra")}
    secret = {"password": value["password"]} if "password" in value else {}
    return (
        _with_extra(plain, {name: part for name, part in extra.items() if name in shown}),
        _with_extra(secret, {name: part for name, part in extra.items() if name not in shown}),
    )


def without(secret: Value, forgotten: Iterable[str]) -> dict[str, Any]:
    """Return a sealed value without the fields that `names_in` calls so."""
    gone = set(forgotten)
    extra = {
        name: part for name, part in secret.get("extra", {}).items() if f"extra.{name}" not in gone
    }
    return _with_extra({name: part for name, part in secret.items() if name not in gone}, extra)


def merged(below: Value, above: Value) -> dict[str, Any]:
    """Return a value in which the fields of `above` win, those of `extra` one by one."""
    extra = {**below.get("extra", {}), **above.get("extra", {})}
    return _with_extra({**below, **above}, extra)


def names_in(secret: Value) -> list[str]:
    """Name the fields of a sealed value."""
    extra = [f"extra.{name}" for name in secret.get("extra", {})]
    return sorted([*(name for name in secret if name != "extra"), *extra])


def _with_extra(value: Value, extra: Value) -> dict[str, Any]:
    rest = {name: part for name, part in value.items() if name != "extra"}
    return {**rest, "extra": dict(extra)} if extra else rest
