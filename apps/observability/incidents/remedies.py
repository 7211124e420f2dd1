"""What mends an incident: links and buttons of pages that exist, each with the right it needs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from apps.access.queries import Denial, denials
from apps.clusters.queries import ACCESS, EXPIRING
from apps.deployments.models import Deployment
from apps.deploys.deliveries.queries import deploy_to_roll_back_to
from apps.observability.incidents.models import Incident

LOGS, UPDATE = "deployment.logs.view", "deployment.update"
DELIVER, VIEW = "deployment.deploys.create", "deployment.view"
AIRFLOW = "deployment.airflow.view"
SEE_CLUSTERS, RUN_CLUSTERS = "organization.clusters.view", "organization.clusters.manage"


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A link, or with `is_post` a button, for those who hold `permission`. `note` says what it
    does.
    """

    label: str
    url: str
    permission: str
    note: str = ""
    icon: str = ""
    is_post: bool = False


@dataclass(frozen=True, kw_only=True)
class OfferedRemedy:
    """A remedy as the page shows it; with a denial it is locked."""

    remedy: Remedy
    denial: Denial | None


def offered_remedies(
    *, incident: Incident, deployment: Deployment, user: Any
) -> list[OfferedRemedy]:
    """Return the remedies of an incident, locked ones with the role that they need. At most four
    queries.
    """
    found = list(remedies_of(incident, deployment))
    refused = [one for one in found if not user.has_perm(one.permission, deployment)]
    wanted = list(dict.fromkeys(one.permission for one in refused))
    told = dict(zip(wanted, denials(permissions=wanted, on=deployment), strict=True))
    return [OfferedRemedy(remedy=one, denial=told.get(one.permission)) for one in found]


def remedies_of(incident: Incident, deployment: Deployment) -> Iterator[Remedy]:
    """Yield the remedies of a kind of incident, the most likely first."""
    for remedy in REMEDIES.get(incident.kind, (_logs,)):
        found = remedy(incident, deployment)
        if found is not None:
            yield found


def _configure(incident: Incident, deployment: Deployment) -> Remedy:
    label, note = FORM_WORDS.get(incident.kind, ("Change the configuration", ""))
    return Remedy(
        label=label.format(subject=incident.subject),
        note=note,
        url=reverse("deployments:configure", args=[deployment.ref]),
        permission=UPDATE,
        icon="settings",
    )


def _logs(incident: Incident, deployment: Deployment) -> Remedy:
    asked = {"level": "error"}
    is_component = incident.kind in OF_COMPONENTS
    if is_component:
        asked = {"component": incident.subject, **asked}
    of = f"errors of the {incident.subject}" if is_component else "errors in the logs"
    return Remedy(
        label=f"Read the {of}",
        url=f"{reverse('observability:logs', args=[deployment.ref])}?{urlencode(asked)}",
        permission=LOGS,
        icon="terminal",
    )


def _parser_logs(incident: Incident, deployment: Deployment) -> Remedy:
    page = reverse("observability:logs", args=[deployment.ref])
    return Remedy(
        label="Read the log of the DAG processor",
        url=f"{page}?{urlencode({'component': 'dag-processor'})}",
        permission=LOGS,
        icon="terminal",
    )


def _volume_logs(incident: Incident, deployment: Deployment) -> Remedy:
    return Remedy(
        label="Read the logs",
        note="Task logs are kept as long as the operator of the portal says.",
        url=reverse("observability:logs", args=[deployment.ref]),
        permission=LOGS,
        icon="terminal",
    )


def _database_chart(incident: Incident, deployment: Deployment) -> Remedy:
    return Remedy(
        label="Show how it grew",
        url=f"{reverse('observability:analytics', args=[deployment.ref])}?range=30d",
        permission=VIEW,
        icon="search",
    )


def _scaling(incident: Incident, deployment: Deployment) -> Remedy:
    page = reverse("observability:scaling", args=[deployment.ref])
    return Remedy(
        label="Show why the queue scaled",
        note="Its page replays the queue with other settings, too.",
        url=f"{page}?{urlencode({'queue': incident.subject})}",
        permission=VIEW,
        icon="search",
    )


def _why(incident: Incident, deployment: Deployment) -> Remedy:
    return Remedy(
        label="Ask why a task waits",
        note="Explains one task by the figures of its Airflow.",
        url=reverse("observability:why", args=[deployment.ref]),
        permission=AIRFLOW,
        icon="search",
    )


def _roll_back(incident: Incident, deployment: Deployment) -> Remedy | None:
    deploy = deploy_to_roll_back_to(deployment)
    if deploy is None:
        return None
    return Remedy(
        label=f"Roll back to deploy {deploy.number}",
        note="New runs use its code. Configuration and variables stay as they are.",
        url=reverse("deploys:roll_back", args=[deployment.ref, deploy.number]),
        permission=DELIVER,
        icon="back",
        is_post=True,
    )


def _restore(incident: Incident, deployment: Deployment) -> Remedy | None:
    applied = deployment.applied
    if applied is None or applied.pk == deployment.wanted_id:
        return None
    return Remedy(
        label=f"Compare with revision {applied.number}",
        note="It is the one that runs; its page offers to restore it.",
        url=reverse("deployments:revision", args=[deployment.ref, applied.number]),
        permission=VIEW,
        icon="back",
    )


def _retry(incident: Incident, deployment: Deployment) -> Remedy:
    return Remedy(
        label="Retry",
        note="The same revision is applied once more.",
        url=reverse("deployments:try_again", args=[deployment.ref]),
        permission=UPDATE,
        icon="refresh",
        is_post=True,
    )


def _revert(incident: Incident, deployment: Deployment) -> Remedy:
    return Remedy(
        label="Revert the changes",
        note="What was applied last is applied again.",
        url=reverse("deployments:put_back", args=[deployment.ref]),
        permission=UPDATE,
        icon="back",
        is_post=True,
    )


def _operations(incident: Incident, deployment: Deployment) -> Remedy:
    return Remedy(
        label="Read the operations",
        url=reverse("deployments:operations", args=[deployment.ref]),
        permission=VIEW,
        icon="operations",
    )


def _overview(incident: Incident, deployment: Deployment) -> Remedy:
    anchor = {"import-errors": "#import-errors", "drift": "#drift"}.get(incident.kind, "")
    return Remedy(
        label="Read tracebacks" if incident.kind == "import-errors" else "Compare the fields",
        url=reverse("deployments:overview", args=[deployment.ref]) + anchor,
        permission=VIEW,
        icon="search",
    )


def _cluster(incident: Incident, deployment: Deployment) -> Remedy | None:
    return _of_cluster("cluster", "Test the cluster", SEE_CLUSTERS, deployment)


def _cluster_settings(incident: Incident, deployment: Deployment) -> Remedy | None:
    return _of_cluster("settings", "Check the pull secret", RUN_CLUSTERS, deployment)


def _credential(incident: Incident, deployment: Deployment) -> Remedy | None:
    if incident.subject in OF_SETTINGS:
        return _of_cluster("settings", "Enter the new certificate", RUN_CLUSTERS, deployment)
    return _of_cluster("credential", "Update the credential", RUN_CLUSTERS, deployment)


def _of_cluster(page: str, label: str, permission: str, deployment: Deployment) -> Remedy | None:
    cluster = deployment.cluster
    if not cluster.is_kubernetes:
        return None
    slug = deployment.workspace.organization.slug
    return Remedy(
        label=label,
        url=reverse(f"clusters:{page}", args=[slug, cluster.pk]),
        permission=permission,
        icon="clusters",
    )


OF_SETTINGS = frozenset(what for column, what in EXPIRING.items() if column not in ACCESS)
OF_COMPONENTS = frozenset(
    {"heartbeat-late", "crash-loop", "out-of-memory", "image-pull", "not-ready"}
)
FORM_WORDS = {
    "out-of-memory": ("Choose a larger size", "Memory is part of the size."),
    "tasks-lost": ("Choose a larger size", "Memory is part of the size."),
    "parsing-late": ("Choose a larger size", "CPU is part of the size."),
    "queue-missing": ("Create the queue {subject}", "Or name an existing queue in the DAG."),
    "queue-at-capacity": (
        "Raise the maximum of workers",
        "More tasks per worker shorten the wait, too, where memory allows it.",
    ),
    "scheduling-off": (
        "Remove AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE",
        "It is a variable of the Deployment, or of settings for everyone.",
    ),
    "runtime-unsupported": ("Choose another runtime", ""),
    "unschedulable": ("Ask for less", "Smaller or fewer workers need less room on the nodes."),
    "quota": ("Ask for less", "Smaller or fewer workers fit a quota."),
}
Maker = Callable[[Incident, Deployment], Remedy | None]
REMEDIES: dict[str, tuple[Maker, ...]] = {
    "unreachable": (_cluster,),
    "missing": (_retry, _operations),
    "unhealthy": (_logs, _roll_back, _operations),
    "heartbeat-late": (_logs, _roll_back),
    "crash-loop": (_logs, _roll_back, _configure),
    "out-of-memory": (_configure, _logs, _roll_back),
    "image-pull": (_cluster_settings, _logs),
    "not-ready": (_logs, _cluster),
    "unschedulable": (_configure, _cluster),
    "quota": (_configure, _cluster),
    "volume": (_cluster,),
    "queue-missing": (_configure, _why, _roll_back),
    "tasks-cannot-start": (_why, _logs),
    "queue-at-capacity": (_configure, _scaling, _why),
    "queue-not-scaling": (_cluster,),
    "tasks-lost": (_configure, _logs),
    "triggerer-full": (_why, _logs),
    "parsing-late": (_parser_logs, _configure),
    "scheduling-off": (_configure,),
    "volume-full": (_volume_logs,),
    "database-large": (_database_chart,),
    "import-errors": (_overview, _roll_back),
    "drift": (_revert, _overview),
    "revision-failed": (_operations, _restore, _retry),
    "stopped-retrying": (_retry, _operations),
    "delayed": (_operations,),
    "credential-ends": (_credential,),
    "runtime-unsupported": (_configure,),
}
