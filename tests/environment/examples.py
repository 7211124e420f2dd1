"""Objects for tests."""

from typing import Any

from apps.environment.objects.models import EnvironmentObject
from apps.environment.objects.services import ObjectData, create_object

POSTGRES = {"type": "postgres", "host": "db.example.org", "login": "etl", "password": "p4ss"}


def make_object(
    place: Any, actor: Any, kind: str = "connection", name: str = "warehouse", **fields: Any
) -> EnvironmentObject:
    value = POSTGRES if kind == "connection" else {"value": "one"}
    data = {"name": name, "value": value, "links_all": True, **fields}
    return create_object(actor=actor, place=place, kind=kind, data=ObjectData(**data))
