from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.core.web.htmx import is_fragment, skip_unchanged
from apps.dataplane.status import ComponentStatus, Drift, LiveMetrics, Observation
from apps.deployments.badge import DisplayStatus, display_status, import_errors_in_words
from apps.deployments.configuration.schema import LOCAL_SIZE, Configuration
from apps.deployments.models import Deployment, Health, OperationState, Phase
from apps.deployments.pages.operations import operation_rows, way_back
from apps.deployments.pages.queries import (
    know_revisions,
    observation_of,
    operations_of,
    revisions_for_page,
    with_running_step,
)
from apps.deployments.pages.revisions import revision_rows
from apps.deployments.reconciling import live_metrics
from apps.deployments.reconciling.cluster_settings import changed_place, is_behind
from apps.deployments.secrets.pulling import push_target
from apps.deployments.tasks import request_live_metrics
from apps.runtimes.catalogue import runtimes
from apps.runtimes.notes import runtime_note

COMPONENT_WORDS = {
    "starting": ("Starting", "move", ""),
    "running": ("Running", "good", ""),
    "stopping": ("Stopping", "move", ""),
    "stopped": ("Stopped", "idle", "stop"),
    "crashing": ("Crashing", "bad", ""),
    "failed": ("Failed", "bad", ""),
    "unknown": ("Unknown", "idle", ""),
}
SETTLED_SECONDS, UNSETTLED_SECONDS = 5, 2
SHOWN = 4
SETTINGS_CHANGED = (
    "This Deployment does not use them yet. The portal applies them to a few Deployments at a time."
)
NOTICED = timedelta(hours=1)
# It explains one task; those of other apps are known here by the names of their pages alone.
WHY = "observability:why"
# A heartbeat that is younger says nothing that the state does not.
LATE_HEARTBEAT = timedelta(minutes=1)


@scoped(Deployment, "deployment.view", by="ref")
@require_safe
def overview(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    if deployment.phase == Phase.DELETED:
        deletion = operations_of(deployment).first()
        context: dict[str, Any] = {"deployment": deployment, "operation": deletion}
        return render(request, "deployments/deleted.html", context)
    context = _context(request, deployment)
    template = "_overview" if is_fragment(request) else "overview"
    response = render(request, f"deployments/overview/{template}.html", context)
    patch_vary_headers(response, ["HX-Request"])
    seen = context["seen"]
    return skip_unchanged(request, response, checked_at=seen.observed_at if seen else None)


def _context(request: HttpRequest, deployment: Deployment) -> dict[str, Any]:
    now = timezone.now()
    revisions = revisions_for_page(deployment)[:SHOWN]
    know_revisions(deployment, revisions)
    status = display_status(deployment)
    seen, told = _seen(deployment)
    configuration = _configuration(deployment)
    recent: list[Any] = list(with_running_step(operations_of(deployment))[:SHOWN])
    failed = _failed(deployment, recent)
    running = next((one for one in recent if one.state == OperationState.RUNNING), None)
    return {
        "deployment": deployment,
        "status": status,
        "seen": seen,
        "now": now,
        "configuration": configuration,
        "runtime": _runtime(configuration),
        "push_target": push_target(deployment.ref) if deployment.cluster.is_kubernetes else "",
        "conditions": _conditions(deployment, seen, configuration, now),
        "running": running,
        "step": running.running_step if running else None,
        "failed": failed,
        "way_back": way_back(deployment, failed) if failed else None,
        "components": _components(deployment, seen, now),
        "health_since": _health_since(deployment, status),
        "import_errors_title": import_errors_in_words(seen.import_errors or 0) if seen else "",
        "can_see_airflow": request.user.has_perm("deployment.airflow.view", deployment),
        "can_see_logs": request.user.has_perm("deployment.logs.view", deployment),
        "queues": _queues(configuration, seen),
        "unknown": _unknown(deployment, told),
        "drift": [_drift(one) for one in seen.drift] if seen else [],
        "is_drift_corrected": configuration is None or configuration.corrects_drift,
        "notices": _notices(deployment, seen, now),
        "revisions": revision_rows(revisions),
        "operations": operation_rows(recent),
        "can_update": request.user.has_perm("deployment.update", deployment),
        "is_live": request.GET.get("live") != "off",
        "is_oob": is_fragment(request),
        "poll_seconds": SETTLED_SECONDS if status.is_settled else UNSETTLED_SECONDS,
    }


def _seen(deployment: Deployment) -> tuple[Observation | None, LiveMetrics | None]:
    """Return the last observation completed by the last live metrics, and request newer ones."""
    seen, told = observation_of(deployment), live_metrics.read_live_metrics(deployment)
    request_live_metrics(deployment)
    return (live_metrics.completed(seen, told) if seen and told else seen), told


def _unknown(deployment: Deployment, told: LiveMetrics | None) -> dict[str, str]:
    """Return why waiting tasks and memory are not shown, where they are not reported."""
    if told is not None:
        return {"tasks": told.tasks_unknown, "usage": told.usage_unknown}
    if deployment.cluster.blind_until is not None:
        return dict.fromkeys(("tasks", "usage"), "The cluster does not answer.")
    if live_metrics.supports_metrics(deployment):
        return dict.fromkeys(("tasks", "usage"), "Waiting for the first report.")
    return {"tasks": "", "usage": ""}


def _configuration(deployment: Deployment) -> Configuration | None:
    return deployment.wanted.configuration if deployment.wanted else None


def _runtime(configuration: Configuration | None) -> str:
    """Name the runtime and, as long as the catalogue knows it, its Airflow."""
    if configuration is None:
        return ""
    version = configuration.runtime
    known = {runtime.version: runtime.airflow_version for runtime in runtimes()}
    return f"{version}, Airflow {known[version]}" if version in known else version


def _failed(deployment: Deployment, recent: list[Any]) -> Any:
    """Return the operation that left the wanted revision, or the deletion, undone."""
    newest = recent[0] if recent else None
    return newest if newest is not None and newest.state == OperationState.FAILED else None


def _conditions(
    deployment: Deployment,
    seen: Observation | None,
    configuration: Configuration | None,
    now: datetime,
) -> list[dict[str, str]]:
    """Return what needs attention, besides a failed or running operation."""
    found = []
    if deployment.quarantined_at:
        found.append(_condition("bad", "The portal has stopped retrying", deployment.last_error))
    elif deployment.last_error:
        found.append(_condition("warn", "Delayed", deployment.last_error))
    if is_behind(deployment) and deployment.phase == Phase.ACTIVE:
        title = f"The settings of {changed_place(deployment)} have changed"
        found.append(_condition("move", title, SETTINGS_CHANGED))
    for warning in (seen.warnings or ()) if seen else ():
        found.append(_condition("warn", "Tasks cannot start", warning) | {"page": WHY})
    note = runtime_note(configuration.runtime, today=now.date()) if configuration else None
    if note is not None and note.tone and configuration is not None:
        title = f"Runtime {configuration.runtime} should be replaced"
        found.append(_condition(note.tone, title, f"{note.message}."))
    return found


def _notices(deployment: Deployment, seen: Observation | None, now: datetime) -> dict[str, Any]:
    """Return the warnings of the last hour, resolved ones apart; the observation may be a while
    old.
    """
    noticed = [one for one in (seen.notices or ()) if now - one.last_at < NOTICED] if seen else []
    good_since = _good_since(deployment, seen)
    over = [
        notice
        for notice in noticed
        if notice.is_over or (good_since is not None and notice.last_at < good_since)
    ]
    return {"now": [notice for notice in noticed if notice not in over], "over": over}


def _good_since(deployment: Deployment, seen: Observation | None) -> datetime | None:
    """Return since when the Deployment is healthy and settled, None if it is not."""
    if seen is None or deployment.health != Health.HEALTHY:
        return None
    is_good = all(
        one.state in ("running", "stopped") and one.ready >= one.wanted for one in seen.components
    )
    return deployment.health_since if is_good else None


def _drift(drift: Drift) -> dict[str, Any]:
    """Return an object that drifted with the wanted and the actual value of each field."""
    differences = [
        {
            "path": path,
            "is_shown": path in drift.values,
            "wanted": drift.values.get(path, ("", ""))[0],
            "actual": drift.values.get(path, ("", ""))[1],
            "by": drift.authors.get(path, ("", ""))[0],
            "at": parse_datetime(drift.authors.get(path, ("", ""))[1]),
        }
        for path in drift.fields
    ]
    return {
        "object": drift.object,
        "fields": drift.fields,
        "differences": differences,
        "is_gone": drift.is_gone,
    }


def _condition(tone: str, title: str, message: str) -> dict[str, str]:
    return {"tone": tone, "title": title, "message": message}


def _health_since(deployment: Deployment, status: DisplayStatus) -> datetime | None:
    """Return since when the health is what the badge says; while a change runs it says another."""
    is_told = status.key in ("healthy", "degraded", "unhealthy")
    return deployment.health_since if is_told else None


def _components(
    deployment: Deployment, seen: Observation | None, now: datetime
) -> list[dict[str, Any]]:
    is_new = deployment.applied_id is None
    return [_component(one, now, is_new=is_new) for one in seen.components] if seen else []


def _component(component: ComponentStatus, now: datetime, *, is_new: bool) -> dict[str, Any]:
    word, tone, icon = COMPONENT_WORDS[component.state]
    detail = component.detail
    heartbeat_at = component.heartbeat_at
    is_late = heartbeat_at is not None and now - heartbeat_at > LATE_HEARTBEAT
    is_worker = component.name.startswith("worker ")
    if is_worker and component.state == "stopped" and not component.wanted:
        word, icon, detail = "Idle", "sleep", detail or "Starts when tasks are queued"
    elif is_new and component.state == "stopped":
        word, icon = "Not started", "wait"
    return {
        "component": component,
        "word": word,
        "tone": tone,
        "icon": icon,
        "detail": detail,
        "late_heartbeat_at": heartbeat_at if is_late else None,
        "cpu": "" if component.cpu_millis is None else f"{component.cpu_millis / 1000:.2f} CPU",
    }


def _queues(configuration: Configuration | None, seen: Observation | None) -> list[dict[str, Any]]:
    found = {queue.name: queue for queue in seen.queues} if seen else {}
    rows = []
    for queue in configuration.queues if configuration else ():
        now = found.get(queue.name)
        tasks = f"{queue.concurrency} task{'' if queue.concurrency == 1 else 's'} per worker"
        if queue.size != LOCAL_SIZE:
            tasks = f"{queue.size}, {tasks}"
        rows.append(
            {
                "name": queue.name,
                "detail": tasks,
                "minimum": queue.min_workers,
                "maximum": queue.max_workers,
                "running": now.workers_ready if now else 0,
                "wanted": now.workers_wanted if now else None,
                "queued": now.tasks_queued if now else None,
                "working": now.tasks_running if now else None,
                "note": now.note if now else "",
            }
        )
    return rows
