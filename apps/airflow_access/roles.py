"""The role that a person has in an Airflow at this moment, for the edge and the gateway.

It is computed as for a ticket, so a session ends only if the portal would sign its person in with
another role. The question itself is in `dataplane.edge.roles`.
"""

from apps.accounts.models import User
from apps.accounts.sessions.services import is_session_open
from apps.airflow_access.tickets import airflow_role
from apps.deployments.models import Deployment, Phase


def role_at_present(*, ref: str, email: str, session_id: str) -> str:
    """Return Airflow's name of a person's current role, "" for none.

    `session_id` is the portal session that the person opened Airflow from; a session that has ended
    leaves no role. "" stands for a session that was not recorded, and is not checked.
    """
    if not f"{ref}{email}{session_id}".isprintable():
        return ""  # PostgreSQL rejects some texts that a client can send
    user = User.objects.filter(email=email, is_active=True).first()
    if user is None or (session_id and not is_session_open(user=user, session_id=session_id)):
        return ""
    deployment = (
        Deployment.objects.exclude(phase=Phase.DELETED)
        .filter(ref=ref)
        .select_related(*filter(None, Deployment.access_paths.values()))
        .first()
    )
    return airflow_role(user=user, deployment=deployment) if deployment else ""
