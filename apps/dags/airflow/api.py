"""The REST API of one Airflow, by the data plane, with failures that a page can show."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from apps.clusters.connections.planes import plane_for
from apps.core.errors import PortalError
from apps.dataplane.base import DataPlane
from apps.dataplane.errors import DataPlaneError, Temporary
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.untrusted import masks, text_of
from apps.deployments.models import Deployment, Health, Phase
from apps.deployments.reconciling.compiler import compile_spec

DAGS = "/api/v2/dags"
# As Airflow checks ids of DAGs and tasks; those of runs may have more, but nothing that ends or
# climbs a path.
ID = re.compile(r"[\w.-]{1,250}")
RUN_ID = re.compile(r"[^\s/\\%?#]{1,250}")
LONGEST_REASON = 300
OLD_AIRFLOW = (
    "This Airflow was started by an older version of the portal and does not report this. It does "
    "once its API server is started again: change an environment variable, for example."
)
UNREADABLE = "Airflow answered with something that cannot be read."
UNKNOWN = (
    "Airflow does not know this DAG, run or task. A deploy may have removed it, "
    "or the history cleanup."
)


class AirflowSilent(PortalError):
    """Airflow gave no answer that can be used. The message says what to do."""


class OldAirflow(AirflowSilent):
    """The plugin of the portal in that Airflow is older than what it is asked for."""


class NotInAirflow(PortalError):
    """Airflow does not know the DAG, run or task."""


class ActRefused(PortalError):
    """Airflow refused an action, with its own reason."""


class AlreadyThere(ActRefused):
    """What should be made is there. Airflow has several words for it, and one status."""


@dataclass(frozen=True, kw_only=True)
class AirflowApi:
    """`secrets` are the values of secret variables, to be masked in what Airflow prints."""

    plane: DataPlane
    spec: DeploymentSpec
    secrets: tuple[str, ...]

    def get(self, *parts: str, **query: Any) -> dict[str, Any]:
        """Return an object. Parts of the path that come from addresses or answers are quoted here.
        Raises AirflowSilent and NotInAirflow.
        """
        given = {name: value for name, value in query.items() if value not in (None, "")}
        found = self._call("GET", _path(parts) + (f"?{urlencode(given, True)}" if given else ""))
        if found.status in (200, 201):
            return _object(found.data)
        raise _failure(found.status, found.data)

    def report(self, path: str, **query: Any) -> dict[str, Any]:
        """Return what the portal's own plugin in that Airflow reports (`runtime/plugins`). Raises
        AirflowSilent, as OldAirflow where the plugin does not know the path.
        """
        asked = f"{path}?{urlencode(query)}" if query else path
        try:
            answer = self.plane.airflow(spec=self.spec, method="GET", path=asked)
        except DataPlaneError as error:
            raise AirflowSilent(error.message) from error
        if answer.status == 404:
            raise OldAirflow(OLD_AIRFLOW)
        if answer.status != 200 or not isinstance(answer.data, dict):
            raise AirflowSilent(UNREADABLE)
        return answer.data

    def send(self, method: str, *parts: str, json: Mapping[str, object]) -> dict[str, Any]:
        """Send an action and return Airflow's answer. Raises AirflowSilent, which leaves open
        whether it was done, NotInAirflow, ActRefused and AlreadyThere.
        """
        found = self._call(method, _path(parts), json)
        if found.status < 300:
            return found.data if isinstance(found.data, dict) else {}
        if found.status == 409:
            raise AlreadyThere(f"Airflow refused: {_reason(found.data)}")
        if found.status in (400, 422):
            raise ActRefused(f"Airflow refused: {_reason(found.data)}")
        raise _failure(found.status, found.data)

    def _call(self, method: str, path: str, json: Mapping[str, object] | None = None) -> Any:
        try:
            return self.plane.airflow(spec=self.spec, method=method, path=path, json=json)
        except Temporary as error:
            raise AirflowSilent(f"{error.message} Try again in a moment.") from error
        except DataPlaneError as error:
            raise AirflowSilent(error.message) from error


def airflow_of(deployment: Deployment) -> AirflowApi:
    """Return the API of a Deployment that is up. Raises AirflowSilent with the reason it is not."""
    if deployment.phase != Phase.ACTIVE:
        raise AirflowSilent("This Deployment is being deleted, including its Airflow.")
    if deployment.applied is None:
        raise AirflowSilent("Airflow has not started for the first time yet.")
    if deployment.health == Health.STOPPED and deployment.is_hibernating:
        raise AirflowSilent("Airflow hibernates. Wake it up first.")
    if deployment.health == Health.STOPPED:
        raise AirflowSilent("Airflow is stopped.")
    if deployment.cluster.blind_until is not None:
        raise AirflowSilent("The cluster does not answer. Its DAGs go on without the portal.")
    try:
        plane = plane_for(deployment.cluster)
        spec = compile_spec(deployment=deployment, revision=deployment.applied)
    except DataPlaneError as error:
        raise AirflowSilent(error.message) from error
    secrets = masks(variable.value for variable in spec.variables if variable.is_secret)
    return AirflowApi(plane=plane, spec=spec, secrets=secrets)


def is_id(value: str) -> bool:
    """Return whether a text can be the id of a DAG or task, and stand in a path."""
    return bool(ID.fullmatch(value)) and bool(value.strip("."))


def is_run_id(value: str) -> bool:
    """Return whether a text can be the id of a run, and stand in a path."""
    return bool(RUN_ID.fullmatch(value)) and value.isprintable() and bool(value.strip("."))


def check_id(value: str) -> str:
    """Return the id of a DAG or task. Raises NotInAirflow for what can be none."""
    if not is_id(value):
        raise NotInAirflow(UNKNOWN)
    return value


def check_run_id(value: str) -> str:
    """Return the id of a run. Raises NotInAirflow for what can be none."""
    if not is_run_id(value):
        raise NotInAirflow(UNKNOWN)
    return value


def _path(parts: tuple[str, ...]) -> str:
    return "/".join([parts[0], *(quote(part, safe="") for part in parts[1:])])


def _object(data: object) -> dict[str, Any]:
    if isinstance(data, dict):
        return data
    raise AirflowSilent("Airflow answered with something that cannot be read. Try again.")


def _failure(status: int, data: object) -> PortalError:
    if status == 404:
        return NotInAirflow(UNKNOWN)
    if status in (401, 403):
        return AirflowSilent(
            "Airflow does not accept the portal's account. Change an environment variable of the "
            "Deployment: that writes its keys again."
        )
    return AirflowSilent(
        f"Airflow answered with an error (HTTP {int(status)}). The log of its API server says why."
    )


def _reason(data: object) -> str:
    """Return Airflow's own reason: a sentence, or the first of a list of problems."""
    detail = data.get("detail") if isinstance(data, dict) else None
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        detail = detail[0].get("msg")
    return text_of(detail, LONGEST_REASON) or "it gave no reason."
