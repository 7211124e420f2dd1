"""List the types of connections that the providers of a runtime bring, as JSON.

Run by the Python of a runtime, so that forms ask for what its providers read:

    …/bin/python runtime/connections/list_types.py > runtime/connections/airflow-3.3.2.json
"""

import json
import sys
from contextlib import redirect_stdout
from typing import Any

from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

STANDARD = ("description", "url_schema", "host", "port", "login", "password")
KEPT = ("title", "type", "format", "enum", "default")


def main() -> None:
    # Airflow logs to the standard output.
    with redirect_stdout(sys.stderr):
        types = [_type(one) for one in HookMetaService.hook_meta_data()]
    types.sort(key=lambda one: one["type"])
    json.dump(types, sys.stdout, indent=1, default=str)
    sys.stdout.write("\n")


def _type(meta: Any) -> dict[str, Any]:
    data = meta.model_dump()
    standard = data.get("standard_fields") or {}
    extra = data.get("extra_fields") or {}
    return {
        "type": data["connection_type"],
        "name": data["hook_name"] or data["connection_type"],
        "fields": {name: _behavior(standard.get(name)) for name in STANDARD},
        "extra": {name: _extra(field) for name, field in extra.items()},
    }


def _behavior(field: dict[str, Any] | None) -> dict[str, Any]:
    field = field or {}
    return {
        "hidden": bool(field.get("hidden")),
        "title": field.get("title") or "",
        "placeholder": field.get("placeholder") or "",
    }


def _extra(field: dict[str, Any]) -> dict[str, Any]:
    schema = field.get("schema") or {}
    kept = {name: schema[name] for name in KEPT if schema.get(name) is not None}
    return kept | {"description": field.get("description") or ""}


if __name__ == "__main__":
    main()
