from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.access.queries import denial_for
from apps.access.scoped import scoped
from apps.core.words import duration_in_words
from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.options import deployment_options
from apps.deployments.models import Deployment
from apps.observability.analytics.pages import points_of
from apps.observability.analytics.ranges import RANGES, Range, range_of, written
from apps.observability.history.decisions import decisions_of
from apps.observability.history.models import RecordedDecision
from apps.observability.scaling import words
from apps.observability.scaling.forms import ReplayForm
from apps.observability.scaling.pages import (
    Drawing,
    Replayed,
    history_of,
    queues_of,
    replay_of,
)
from apps.observability.scaling.simulation import Outcome, Settings

SEE, UPDATE = "deployment.view", "deployment.update"
PAGE_SIZE = 50
FIELDS = ("min_workers", "max_workers", "concurrency", "cooldown_seconds")
# A month has nothing finer than what a replay needs.
REPLAY_RANGES = ("1h", "24h", "7d")


@scoped(Deployment, SEE, by="ref")
@require_safe
def scaling(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    context = _around(request, deployment)
    queue, shown = context["queue"], context["shown"]
    if queue is not None:
        page, rows = _decisions(request, deployment, queue, shown)
        found = history_of(deployment=deployment, queue=queue.name, shown=shown)
        context |= {"found": found, "decisions": page, "rows": rows}
    return render(request, "observability/scaling/scaling.html", context)


@scoped(Deployment, SEE, by="ref")
@require_safe
def points(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    context = _around(request, deployment)
    queue, shown = context["queue"], context["shown"]
    found = Drawing(range=shown, marks=[], charts=())
    if queue is not None:
        found = history_of(deployment=deployment, queue=queue.name, shown=shown)
    return JsonResponse(points_of(found), json_dumps_params={"separators": (",", ":")})


@scoped(Deployment, SEE, by="ref")
@require_safe
def replay(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    context = _around(request, deployment)
    form, found = _replayed(request, deployment, context)
    context |= {"found": found, "form": form, "ranges": _chosen(context["shown"], REPLAY_RANGES)}
    if found is not None:
        context |= {
            "facts": _facts(found),
            "deviation": None if found.deviation is None else f"{100 * found.deviation:.1f}",
            "advice": found.recommendation,
            "advice_url": _replay_url(context, found.recommendation.settings),
            "use_url": _use_url(deployment, context["queue"], found.settings),
            "is_asked": found.settings != found.held,
            "is_changed": _chosen_of(found.settings) != _chosen_of(found.held),
            "denial": denial_for(user=request.user, permission=UPDATE, on=deployment),
        }
    status = 422 if form is not None and form.errors else 200
    return render(request, "observability/scaling/replay.html", context, status=status)


@scoped(Deployment, SEE, by="ref")
@require_safe
def replay_points(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    context = _around(request, deployment)
    _, found = _replayed(request, deployment, context)
    drawn = Drawing(range=context["shown"], marks=[], charts=found.charts if found else ())
    return JsonResponse(points_of(drawn), json_dumps_params={"separators": (",", ":")})


def _around(request: HttpRequest, deployment: Deployment) -> dict[str, Any]:
    """Return what both pages show around their charts; `queue` is None without queues."""
    shown = range_of(request.GET.dict(), now=timezone.now())
    queues = queues_of(deployment)
    queue = _queue(request, queues)
    return {
        "deployment": deployment,
        "queues": queues,
        "queue": queue,
        "shown": shown,
        "ranges": _chosen(shown, tuple(RANGES)),
        "from": written(shown.begin),
        "to": written(shown.end),
        "now": shown.now,
        "kept": urlencode({"queue": queue.name}) if queue else "",
    }


def _queue(request: HttpRequest, queues: list[WorkerQueue]) -> WorkerQueue | None:
    asked = request.GET.get("queue", "")
    if not asked:
        return queues[0] if queues else None
    found = next((queue for queue in queues if queue.name == asked), None)
    if found is None:
        raise Http404("This Deployment has no such queue.")
    return found


def _chosen(shown: Range, keys: tuple[str, ...]) -> list[tuple[str, str, bool]]:
    return [(key, RANGES[key][0], key == shown.key) for key in keys]


def _decisions(
    request: HttpRequest, deployment: Deployment, queue: WorkerQueue, shown: Range
) -> tuple[Any, list[dict[str, Any]]]:
    """Return a page of decisions, and its rows as they are shown."""
    rows = decisions_of(
        deployment_id=deployment.pk, queue=queue.name, begin=shown.begin, end=shown.end
    )
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    return page, [_row(one) for one in page.object_list]


def _row(decision: RecordedDecision) -> dict[str, Any]:
    return {
        "at": decision.at,
        "tone": words.tone_of(decision),
        "title": words.title_of(decision),
        "formula": words.formula_of(decision),
        "message": words.message_of(decision),
        "workers": decision.workers,
        "ready": decision.ready,
        "wanted": decision.wanted,
        "bounds": f"{decision.min_workers} to {decision.max_workers}",
    }


def _replayed(
    request: HttpRequest, deployment: Deployment, context: dict[str, Any]
) -> tuple[ReplayForm | None, Replayed | None]:
    queue = context["queue"]
    if queue is None:
        return None, None
    is_asked = any(name in request.GET for name in FIELDS)
    form = ReplayForm(request.GET) if is_asked else None
    asked = form.settings() if form is not None and form.is_valid() else None
    options = deployment_options(cluster=deployment.cluster, today=timezone.localdate())
    found = replay_of(
        deployment=deployment,
        queue=queue,
        shown=context["shown"],
        asked=asked,
        most_workers=options.max_workers.ceiling,
    )
    if form is None and found is not None:
        form = ReplayForm(initial=found.held.__dict__)
    return form, found


def _facts(found: Replayed) -> list[dict[str, str]]:
    """Return the figures of a replay beside what was, in words."""
    rows: tuple[tuple[str, Callable[[Outcome], str]], ...] = (
        ("Worker hours", lambda one: f"{one.worker_hours:,.1f}"),
        ("Most workers", lambda one: f"{one.workers.peak():,.0f}"),
        ("Average wait of a task", lambda one: duration_in_words(one.wait_seconds)),
        ("Most tasks waiting", lambda one: f"{one.waiting.peak():,.0f}"),
    )
    return [
        {
            "label": label,
            "was": written(found.was),
            "same": written(found.control),
            "then": written(found.outcome),
        }
        for label, written in rows
    ]


def _replay_url(context: dict[str, Any], settings: Settings) -> str:
    asked = {name: getattr(settings, name) for name in FIELDS}
    return f"?{context['kept']}&{context['shown'].query}&{urlencode(asked)}"


def _chosen_of(settings: Settings) -> tuple[int, int, int]:
    return (settings.concurrency, settings.min_workers, settings.max_workers)


def _use_url(deployment: Deployment, queue: WorkerQueue, settings: Settings) -> str:
    concurrency, least, most = _chosen_of(settings)
    asked = {
        "queue": queue.name,
        "concurrency": concurrency,
        "min_workers": least,
        "max_workers": most,
    }
    return f"{reverse('deployments:configure', args=[deployment.ref])}?{urlencode(asked)}#queues"
