"""The edge's routes: from path to Airflow."""

import json
from datetime import UTC, datetime

from apps.dataplane.errors import Permanent
from apps.dataplane.hibernation.turns import is_hibernating
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import Folder, plane_lock, read_plan
from apps.dataplane.local.private_files import write_private


def add_route(home: Home, ref: str, port: int) -> None:
    """Route `/<ref>/` to an api-server."""
    _change(home, ref, port)


def remove_route(home: Home, ref: str) -> None:
    """Remove the route of a Deployment: the edge responds with 404."""
    _change(home, ref, None)


def _change(home: Home, ref: str, port: int | None) -> None:
    with plane_lock(home):
        try:
            routes = json.loads(home.edge_routes.read_text())
        except (FileNotFoundError, ValueError, RecursionError):
            routes = {}
        if routes.get(ref) == port:
            return
        routes.pop(ref, None)
        if port is not None:
            routes[ref] = port
        write_private(home.edge_routes, json.dumps(routes, sort_keys=True))


def hibernates(home: Home, ref: str) -> bool:
    """Return whether an Airflow is down because it hibernates."""
    try:
        return is_hibernating(read_plan(Folder(home, ref)), datetime.now(UTC))
    except Permanent:
        return False
