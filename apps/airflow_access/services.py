from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings

from apps.accounts.models import User
from apps.accounts.sessions.services import session_id_of
from apps.airflow_access.tickets import airflow_role, airflow_url, path_in_airflow, sign_ticket
from apps.audit.services import record
from apps.core.errors import PortalError, Refused
from apps.deployments.editing.hibernating import wake
from apps.deployments.models import Deployment, Health, Phase

STARTING = "Airflow is starting, which takes about half a minute."


class AirflowNotUp(PortalError):
    """The Deployment has no running Airflow to sign in to."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What the browser posts to Airflow: `ticket` and `next` to `callback_url`."""

    callback_url: str
    ticket: str = field(repr=False)
    next: str
    role: str


def open_airflow(
    *,
    actor: User,
    deployment: Deployment,
    session_key: str | None,
    target: str,
    now: datetime,
    may_wake: bool = False,
) -> Admission:
    """Sign the user in to the Deployment's Airflow, with the role that fits the one held here.

    `session_key` is the portal session; Airflow's session ends with it. `target` is the address to
    open inside Airflow; any other address is ignored. One that hibernates is woken, unless
    `may_wake` says that the person may not have meant to. Raises AirflowNotUp and Refused.
    """
    role = airflow_role(user=actor, deployment=deployment)
    if role and may_wake and deployment.is_hibernating:
        wake(actor=actor, deployment=deployment, now=now, reason="a person who opened Airflow")
        # The page says what it does by now, not that it sleeps.
        deployment.refresh_from_db()
        raise AirflowNotUp(STARTING)
    _require_airflow(deployment)
    if not role:
        raise Refused("You have no role in this Airflow.")
    base = airflow_url(deployment)
    record(
        action="airflow.opened",
        actor=actor,
        organization_id=deployment.workspace.organization_id,
        target_kind="deployment",
        target_id=deployment.pk,
        target_label=deployment.name,
        changes={"role in Airflow": [None, role]},
    )
    return Admission(
        callback_url=f"{base}auth/portal/callback",
        ticket=sign_ticket(
            user=actor,
            deployment=deployment,
            role=role,
            session_id=session_id_of(user=actor, session_key=session_key),
            now=now,
        ),
        next=path_in_airflow(target, base=base),
        role=role,
    )


def _require_airflow(deployment: Deployment) -> None:
    if deployment.phase != Phase.ACTIVE:
        raise AirflowNotUp("This Deployment is being deleted, including its Airflow.")
    if not settings.AIRFLOW_SIGN_IN_KEY:
        raise AirflowNotUp(
            "This portal has no signing key for Airflow. Set PORTAL_AIRFLOW_SIGN_IN_KEY."
        )
    if deployment.applied_id is None:
        raise AirflowNotUp("Airflow has not started for the first time yet.")
    if deployment.is_hibernating:
        raise AirflowNotUp("Airflow hibernates. Open it from the page of its Deployment.")
    if deployment.health == Health.STARTING:
        raise AirflowNotUp(STARTING)
    if deployment.health == Health.STOPPED:
        raise AirflowNotUp("Airflow is not running at the moment.")
