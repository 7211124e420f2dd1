"""One DAG: its runs and its code."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.core.words import duration_in_words
from apps.dags.airflow import dags
from apps.dags.airflow.api import AirflowApi, AirflowSilent, airflow_of
from apps.dags.pages.parts import (
    KINDS,
    STATES,
    airflow_page,
    counted_page,
    crumbs,
    dag_url,
    page_number,
    run_denial,
    run_url,
    state_of,
    url_in_airflow,
)
from apps.dags.pages.queries import SEE
from apps.dataplane.airflow_answers.import_errors import read_import_errors
from apps.dataplane.status import ImportFailure
from apps.deployments.models import Deployment

TABS = (("runs", "Runs", "dags:dag"), ("grid", "Grid", "dags:grid"), ("code", "Code", "dags:code"))


@scoped(Deployment, SEE, by="ref")
@require_safe
def runs(request: HttpRequest, deployment: Deployment, dag_id: str) -> HttpResponse:
    def read() -> dict[str, Any]:
        airflow = airflow_of(deployment)
        dag = dags.read_dag(airflow, dag_id=dag_id)
        state = request.GET.get("state", "")
        state = state if state in dags.RUN_STATES else ""
        number = page_number(request)
        found = dags.read_runs(airflow, dag_id=dag_id, state=state, page=number)
        return {
            **around(request, deployment, dag, "runs"),
            "rows": [run_row(deployment, dag_id, run) for run in found.runs],
            "page": counted_page(count=found.count, per_page=dags.PAGE_SIZE, number=number),
            "state": state,
            "states": [(one, STATES[one][0]) for one in dags.RUN_STATES],
            "import_failures": _import_failures(airflow, dag),
            "can_see_logs": request.user.has_perm("deployment.logs.view", deployment),
            "warnings": _warnings(airflow, dag_id),
        }

    return airflow_page(request, deployment, "dags/dag/runs.html", read, title=dag_id)


@scoped(Deployment, SEE, by="ref")
@require_safe
def code(request: HttpRequest, deployment: Deployment, dag_id: str) -> HttpResponse:
    def read() -> dict[str, Any]:
        airflow = airflow_of(deployment)
        dag = dags.read_dag(airflow, dag_id=dag_id)
        found = dags.read_code(airflow, dag_id=dag_id)
        return {**around(request, deployment, dag, "code"), "code": found}

    return airflow_page(request, deployment, "dags/dag/code.html", read, title=dag_id)


def run_row(deployment: Deployment, dag_id: str, run: dags.Run) -> dict[str, Any]:
    """Return a run with its looks and its address."""
    return {
        "run": run,
        "url": run_url(deployment, dag_id, run.run_id),
        "kind": KINDS.get(run.kind, run.kind),
        "took": "" if run.seconds is None else duration_in_words(run.seconds),
        **state_of(run.state),
    }


def around(
    request: HttpRequest, deployment: Deployment, dag: dags.Dag, current: str
) -> dict[str, Any]:
    """Return what is above each tab of a DAG."""
    return {
        "dag": dag,
        "denial": run_denial(request, deployment),
        "airflow_url": url_in_airflow(deployment, "dags", dag.dag_id),
        "crumbs": crumbs(deployment, (dag.dag_id, dag_url(deployment, dag.dag_id))),
        "tabs": [
            {
                "label": label,
                "url": reverse(name, args=[deployment.ref, dag.dag_id]),
                "is_current": key == current,
            }
            for key, label, name in TABS
        ],
    }


def _import_failures(airflow: AirflowApi, dag: dags.Dag) -> list[ImportFailure]:
    """Return why the DAG's file cannot be imported; empty where it can."""
    if not dag.has_import_errors:
        return []
    found = read_import_errors(airflow.plane, spec=airflow.spec)
    failures = found.failures if found else ()
    return [one for one in failures if dag.file and one.file.endswith(dag.file)]


def _warnings(airflow: AirflowApi, dag_id: str) -> tuple[str, ...]:
    """Return Airflow's warnings; the page is of use without them."""
    try:
        return dags.read_warnings(airflow, dag_id=dag_id)
    except AirflowSilent:
        return ()
