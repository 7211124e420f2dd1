"""One run of a DAG, and its tasks."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.core.web.htmx import is_fragment, skip_unchanged
from apps.core.web.own_addresses import address_with
from apps.core.words import duration_in_words
from apps.dags.airflow import dags, tasks
from apps.dags.airflow.api import airflow_of
from apps.dags.pages.dag import run_row
from apps.dags.pages.parts import (
    STATES,
    airflow_page,
    counted_page,
    crumbs,
    dag_url,
    page_number,
    run_denial,
    run_url,
    state_of,
    task_url,
    url_in_airflow,
)
from apps.dags.pages.queries import SEE
from apps.deployments.models import Deployment

REFRESH_SECONDS = 5
UNFINISHED = frozenset({"queued", "running"})
# What a search in Airflow takes for something else than itself.
WILDCARDS = str.maketrans("", "", "%|\\~")


@scoped(Deployment, SEE, by="ref")
@require_safe
def run(request: HttpRequest, deployment: Deployment, dag_id: str, run_id: str) -> HttpResponse:
    def read() -> dict[str, Any]:
        airflow = airflow_of(deployment)
        found = dags.read_run(airflow, dag_id=dag_id, run_id=run_id)
        state = request.GET.get("state", "")
        state = state if state in tasks.TASK_STATES else ""
        contains = request.GET.get("q", "").strip()[:100]
        number = page_number(request)
        instances = tasks.read_tasks(
            airflow,
            dag_id=dag_id,
            run_id=run_id,
            state=state,
            contains=contains.translate(WILDCARDS),
            page=number,
        )
        ids = (dag_id, run_id)
        return {
            **run_row(deployment, dag_id, found),
            "dag_id": dag_id,
            "run_id": run_id,
            "rows": [task_row(deployment, ids, one) for one in instances.tasks],
            "page": counted_page(count=instances.count, per_page=tasks.PAGE_SIZE, number=number),
            "state": state,
            "contains": contains,
            "states": [(one, STATES[one][0]) for one in tasks.TASK_STATES],
            "is_live": found.state in UNFINISHED and request.GET.get("live") != "off",
            "pause_url": address_with(request, live="off"),
            "seconds": REFRESH_SECONDS,
            "now": timezone.now(),
            "denial": run_denial(request, deployment),
            "airflow_url": url_in_airflow(deployment, "dags", dag_id, "runs", run_id),
            "crumbs": crumbs(
                deployment,
                (dag_id, dag_url(deployment, dag_id)),
                (run_id, run_url(deployment, dag_id, run_id)),
            ),
        }

    template = "_run" if is_fragment(request) else "run"
    response = airflow_page(request, deployment, f"dags/run/{template}.html", read, title=run_id)
    patch_vary_headers(response, ["HX-Request"])
    return skip_unchanged(request, response)


def task_row(
    deployment: Deployment, ids: tuple[str, str], task: tasks.TaskInstance
) -> dict[str, Any]:
    """Return a task instance with its name, its looks and its address."""
    index = task.map_name or task.map_index
    return {
        "task": task,
        "name": f"{task.task_id} [{index}]" if task.is_mapped else task.task_id,
        "url": task_url(deployment, (*ids, task.task_id), task.map_index),
        "took": "" if task.seconds is None else duration_in_words(task.seconds),
        **state_of(task.state),
    }
