"""Trying a connection by the hook of its provider, in the Airflow that it reaches: the portal
itself connects to nothing.
"""

from dataclasses import dataclass
from typing import Any

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.clusters.connections.planes import plane_for
from apps.core.errors import Conflict, Invalid
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.untrusted import masked, masks, text_of
from apps.deployments.models import Deployment, Phase
from apps.deployments.reconciling.compiler import compile_spec
from apps.deployments.reconciling.shared_values import is_delivered
from apps.environment.delivery.effective import effective_objects
from apps.environment.objects.models import Kind

PATH = "/auth/portal/connection-test"
LONGEST = 300
NOT_DELIVERED = "The latest change is on its way to Airflow. Test again in a moment."
OLD_AIRFLOW = "This Airflow cannot test connections yet. Restart the Deployment, then test again."
ASLEEP = "This Deployment hibernates. Wake it up, then test again."
_REASONS = {
    "busy": "Other tests are still waiting for their answers. Test again in a minute.",
    "late": "It gave no answer within 8 seconds. Check host, port and firewalls.",
    "failed": "The provider could not try it.",
}


@dataclass(frozen=True, kw_only=True)
class TriedConnection:
    """`is_good` is None where nothing was tried; the message has no secret of the connection."""

    is_good: bool | None
    message: str

    @property
    def in_words(self) -> str:
        return {True: "works", False: "does not work", None: "was not tested"}[self.is_good]


def try_connection(*, actor: User, deployment: Deployment, name: str) -> TriedConnection:
    """Try a connection that reaches a Deployment. Raises Invalid for an unknown one, and Conflict
    where its Airflow cannot try it now.
    """
    found = [one for one in effective_objects(deployment) if one.source.name == name]
    connection = next((one for one in found if one.source.kind == Kind.CONNECTION), None)
    if connection is None:
        raise Invalid(f"No connection “{name}” reaches {deployment.name}.", field="name")
    result = _asked(deployment, name)
    secrets = masks(_texts(connection.value()))
    said = text_of(masked(result.message, secrets), LONGEST)
    record_on(
        action="environment_object.tested",
        actor=actor,
        on=deployment,
        changes={"name": [None, name], "result": [None, result.in_words]},
    )
    return TriedConnection(is_good=result.is_good, message=said)


def _asked(deployment: Deployment, name: str) -> TriedConnection:
    applied = deployment.applied
    if deployment.phase != Phase.ACTIVE or applied is None:
        raise Conflict(f"{deployment.name} has no running Airflow.")
    if deployment.is_hibernating:
        raise Conflict(ASLEEP)
    if not is_delivered(deployment):
        raise Conflict(NOT_DELIVERED)
    spec = compile_spec(deployment=deployment, revision=applied)
    try:
        answer = plane_for(deployment.cluster).airflow(
            spec=spec, method="POST", path=PATH, json={"conn_id": name}
        )
    except DataPlaneError as error:
        raise Conflict(error.message) from None
    if answer.status in (404, 405):
        raise Conflict(OLD_AIRFLOW)
    said = answer.data if answer.status == 200 and isinstance(answer.data, dict) else {}
    return _result(said)


def _result(said: dict[Any, Any]) -> TriedConnection:
    is_good, reason = said.get("is_good"), said.get("reason")
    if "is_good" not in said or is_good not in (True, False, None):
        raise Conflict("Airflow gave an answer that the portal cannot read. Test again.")
    words = _REASONS.get(reason if isinstance(reason, str) else "", "")
    message = " ".join(part for part in (words, text_of(said.get("message"), 1_000)) if part)
    return TriedConnection(is_good=is_good, message=message)


def _texts(value: Any) -> list[str]:
    """Return every text of a connection that may be a secret."""
    if isinstance(value, dict):
        kept = {key: one for key, one in value.items() if key not in ("type", "host", "schema")}
        return [text for one in kept.values() for text in _texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []
