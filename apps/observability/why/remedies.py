"""What mends the reason for which a task waits: links to pages that exist."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from apps.deployments.models import Deployment

UPDATE, LOGS, VIEW = "deployment.update", "deployment.logs.view", "deployment.view"


@dataclass(frozen=True, kw_only=True)
class Link:
    """A link for those who hold `permission`."""

    label: str
    url: str
    permission: str


# Mended in the form of the Deployment; what to do there.
IN_THE_FORM = {
    "queue-missing": "Create the queue",
    "workers-at-max": "Raise the maximum of workers",
    "workers-crash": "Change the queue",
    "scaling-stuck": "Change the queue",
    "pod-pending": "Choose a smaller size",
    "quota": "Change workers or the quota",
    "parallelism": "Set AIRFLOW__CORE__PARALLELISM",
    "executor-slots": "Set AIRFLOW__CORE__PARALLELISM",
}
# Explained in a log; whose.
IN_A_LOG = {
    "workers-crash": "worker {queue}",
    "taken-by-none": "worker {queue}",
    "execution-api-away": "worker {queue}",
    "broker-away": "scheduler",
    "scheduler-away": "scheduler",
    "triggerer-away": "triggerer",
    "unknown": "scheduler",
}
IN_THE_CODE = frozenset(
    {
        "queue-missing",
        "max-active-runs",
        "max-active-tasks",
        "task-limit",
        "pool-too-small",
        "before-start-date",
    }
)


def links_for(*, key: str, queue: str, deployment: Deployment, user: Any) -> list[Link]:
    """Return the links that help with a reason, those that the person may follow."""
    links = []
    if key in IN_THE_FORM:
        url = reverse("deployments:configure", args=[deployment.ref])
        links.append(Link(label=IN_THE_FORM[key], url=url, permission=UPDATE))
    if key in IN_A_LOG:
        component = IN_A_LOG[key].format(queue=queue)
        if not deployment_has_workers(deployment) and component.startswith("worker "):
            component = "scheduler"
        asked = urlencode({"component": component})
        url = f"{reverse('observability:logs', args=[deployment.ref])}?{asked}"
        links.append(Link(label=f"Read the log of the {component}", url=url, permission=LOGS))
    if key in IN_THE_CODE:
        url = reverse("deploys:list", args=[deployment.ref])
        links.append(Link(label="Deploy other code", url=url, permission="deployment.deploys.view"))
    return [one for one in links if user.has_perm(one.permission, deployment)]


def deployment_has_workers(deployment: Deployment) -> bool:
    """Return whether tasks run in workers of queues."""
    applied = deployment.applied
    return applied is not None and applied.configuration.executor == "celery"
