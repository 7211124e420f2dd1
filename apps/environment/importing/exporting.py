"""Writes what may be shown as an airflow_settings.yaml. Secrets are empty there."""

from collections.abc import Iterable
from typing import Any

import yaml

from apps.environment.delivery.effective import effective_objects
from apps.environment.objects.models import EnvironmentObject, Kind
from apps.environment.objects.queries import objects_of
from apps.environment.objects.services import Place
from apps.environment.objects.values import merged
from apps.organizations.models import Workspace

HEAD = "# Connections and Airflow variables of {name}. Fill in the secrets, which are empty.\n"


def settings_file(place: Place) -> str:
    """Return the objects of a workspace, or what reaches a Deployment, without secrets. Environment
    variables have no place in this format.
    """
    rows = list(_shown(place))
    document = {
        "airflow": {
            "connections": [
                _connection(row, plain, names)
                for row, plain, names in rows
                if _is(row, "connection")
            ],
            "pools": [],
            "variables": [
                {"variable_name": row.name, "variable_value": plain.get("value", "")}
                for row, plain, _ in rows
                if _is(row, "variable")
            ],
        }
    }
    body = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1_000)
    return HEAD.format(name=" ".join(str(place).split())) + body


def _shown(place: Place) -> Iterable[tuple[EnvironmentObject, dict[str, Any], set[str]]]:
    if isinstance(place, Workspace):
        for row in objects_of(place).order_by("kind", "name"):
            yield row, row.plain, set(row.secret_fields)
        return
    for one in effective_objects(place):
        over = one.link.plain if one.link else {}
        secret = set(one.source.secret_fields) | set(one.link.secret_fields if one.link else ())
        yield one.source, merged(one.source.plain, over), secret


def _is(row: EnvironmentObject, kind: str) -> bool:
    return row.kind == Kind(kind)


def _connection(row: EnvironmentObject, plain: dict[str, Any], secret: set[str]) -> dict[str, Any]:
    extra = dict(plain.get("extra", {}))
    extra |= {one.removeprefix("extra."): "" for one in sorted(secret) if one.startswith("extra.")}
    return {
        "conn_id": row.name,
        "conn_type": plain.get("type", ""),
        "conn_host": plain.get("host", ""),
        "conn_schema": plain.get("schema", ""),
        "conn_login": plain.get("login", ""),
        "conn_password": "",
        "conn_port": plain.get("port", ""),
        "conn_extra": extra,
    }
