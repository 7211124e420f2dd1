"""Messages as runs of a DAG: the message is the configuration of the run."""

from typing import Any

from apps.accounts.models import User
from apps.alerts.channels.models import Channel
from apps.alerts.deliveries.messages import Message
from apps.core.errors import PortalError
from apps.dags.airflow.api import ActRefused, AlreadyThere, NotInAirflow
from apps.dags.services import trigger_dag
from apps.deployments.models import Deployment

RUN = "deployment.airflow.run"
RELATED = ("workspace__organization", "cluster", "applied")
GONE = "The Deployment of this channel was deleted, or is in another place now."
NO_RIGHT = (
    "Who saved this channel last may not run DAGs in its Deployment any more. A person who may has "
    "to save it again."
)


class TriggerFailed(PortalError):
    """No run was made. `is_final` says that trying it again is of no use."""

    def __init__(self, message: str, *, is_final: bool) -> None:
        super().__init__(message)
        self.is_final = is_final


def trigger(*, channel: Channel, message: Message, delivery: str) -> str:
    """Trigger the DAG of a channel and return what came of it, in one line. Raises TriggerFailed.

    The run is named after `delivery`, so that a repeated attempt makes no second one. It is made in
    the name of who saved the channel, if that person may still do it.
    """
    deployment = _deployment_of(channel)
    person = User.objects.filter(pk=channel.config.get("by"), is_active=True).first()
    if person is None or not person.has_perm(RUN, deployment):
        raise TriggerFailed(NO_RIGHT, is_final=True)
    dag_id, run_id = str(channel.config.get("dag", "")), f"alert__{delivery}"
    conf: dict[str, Any] = {"alert": message.as_json()}
    try:
        trigger_dag(
            actor=person,
            deployment=deployment,
            dag_id=dag_id,
            conf=conf,
            note=f"For the alert rule {message.rule}",
            run_id=run_id,
        )
    except AlreadyThere:
        # An earlier attempt made it.
        pass
    except (ActRefused, NotInAirflow) as error:
        raise TriggerFailed(error.message, is_final=True) from None
    except PortalError as error:
        raise TriggerFailed(error.message, is_final=False) from None
    return f"Run {run_id} of {dag_id}."


def _deployment_of(channel: Channel) -> Deployment:
    """Return the Deployment of a channel, if it is still in the channel's place."""
    rows = Deployment.objects.select_related(*RELATED).filter(
        pk=channel.config.get("deployment"), workspace__organization=channel.organization_id
    )
    if channel.workspace_id is not None:
        rows = rows.filter(workspace=channel.workspace_id)
    found = rows.first()
    if found is None:
        raise TriggerFailed(GONE, is_final=True)
    return found
