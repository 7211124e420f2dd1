from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.core.web.own_addresses import number_in
from apps.dags.airflow.api import AirflowSilent
from apps.deployments.models import Deployment
from apps.observability.why.answers import answer_about
from apps.observability.why.facts import ABSENT, NAME_CHARACTERS, TaskName, waiting_tasks
from apps.observability.why.remedies import links_for
from apps.observability.why.shapes import Reason

STATE_WORDS = {
    ABSENT: "was not made",
    "none": "waits for its turn",
    "scheduled": "ready, not queued",
    "queued": "queued",
    "deferred": "deferred",
    "up_for_retry": "to be retried",
    "up_for_reschedule": "between two looks",
}
GONE = Reason(
    key="gone",
    title="There is no such task",
    message="It was removed, or its run was. Choose another one.",
    tone="move",
)


@scoped(Deployment, "deployment.airflow.view", by="ref")
@require_safe
def why(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    name = _asked(request)
    context: dict[str, Any] = {"deployment": deployment, "asked": name, "now": timezone.now()}
    try:
        if name is None:
            context["rows"] = _rows(deployment)
        else:
            context |= _answer(request, deployment, name)
    except AirflowSilent as error:
        context["silence"] = error.message
    return render(request, "observability/why/why.html", context)


def _answer(request: HttpRequest, deployment: Deployment, name: TaskName) -> dict[str, Any]:
    answer = answer_about(deployment, name=name, now=timezone.now())
    if answer is None:
        return {"reason": GONE}
    facts, reason = answer.facts, answer.reason
    links = links_for(key=reason.key, queue=facts.queue, deployment=deployment, user=request.user)
    return {
        "facts": facts,
        "state": STATE_WORDS.get(facts.state, facts.state),
        "reason": reason,
        "checks": answer.checks,
        "links": links,
    }


def _rows(deployment: Deployment) -> list[dict[str, Any]]:
    return [
        {"task": one, "state": STATE_WORDS.get(one.state, one.state)}
        for one in waiting_tasks(deployment)
    ]


def _asked(request: HttpRequest) -> TaskName | None:
    """Return the task instance of the address, None without one."""
    dag_id, run_id, task_id = (
        request.GET.get(name, "")[:NAME_CHARACTERS] for name in ("dag_id", "run_id", "task_id")
    )
    if not (dag_id and run_id and task_id):
        return None
    index = number_in(request.GET.get("map_index", ""))
    return TaskName(
        dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=-1 if index is None else index
    )
