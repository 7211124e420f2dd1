"""Reads of rows as plain values."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from apps.dataplane.status import ComponentStatus, Observation, QueueStatus
from apps.deployments.models import Deployment

_TIMES = ("observed_at", "started_at", "heartbeat_at")


def observation_of(deployment: Deployment) -> Observation | None:
    """Return what was seen of a Deployment at the last look, None before the first.

    What another version of the portal wrote is read as far as it is understood.
    """
    data: Mapping[str, Any] = deployment.observation
    if not data:
        return None
    known = _known(Observation, data)
    known["components"] = tuple(
        ComponentStatus(**_known(ComponentStatus, item)) for item in data.get("components", ())
    )
    known["queues"] = tuple(
        QueueStatus(**_known(QueueStatus, item)) for item in data.get("queues", ())
    )
    return Observation(**known)


def _known(kind: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    known = {field.name: data[field.name] for field in fields(kind) if field.name in data}
    for name in _TIMES:
        if known.get(name):
            known[name] = datetime.fromisoformat(known[name])
    return known
