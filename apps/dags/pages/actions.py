"""Trigger, pause, clear, mark: each for those who may do it inside Airflow, too."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from apps.access.scoped import scoped
from apps.accounts.models import User
from apps.accounts.request_user import request_user
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.core.web.own_addresses import is_own_address
from apps.dags import services
from apps.dags.pages.forms import ALL, ClearRunForm, ClearTaskForm, MarkForm, TriggerForm
from apps.dags.pages.parts import RUN, crumbs, dag_url, map_index_in, run_url, task_url
from apps.deployments.models import Deployment

Do = Callable[[User, dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Verb:
    """An action that is confirmed on a page of its own. `done` is said when Airflow took it."""

    title: str
    button: str
    effect: str
    done: str
    form: type[forms.Form]
    kind: str = "primary"


RUN_VERBS = {
    "clear": Verb(
        title="Clear run",
        button="Clear run",
        effect="Airflow forgets the results of these tasks and runs them again.",
        done="Airflow runs the tasks again.",
        form=ClearRunForm,
    ),
    "mark-success": Verb(
        title="Mark run as succeeded",
        button="Mark as succeeded",
        effect="Tasks that have not ended are set to succeeded and do not run.",
        done="The run is marked as succeeded.",
        form=MarkForm,
    ),
    "mark-failed": Verb(
        title="Mark run as failed",
        button="Mark as failed",
        effect="Tasks that run are stopped, and those that wait do not start.",
        done="The run is marked as failed.",
        form=MarkForm,
        kind="danger",
    ),
}
TASK_VERBS = {
    "clear": Verb(
        title="Clear task",
        button="Clear task",
        effect="Airflow forgets the result of this task and runs it again.",
        done="Airflow runs the task again.",
        form=ClearTaskForm,
    ),
    "mark-success": Verb(
        title="Mark task as succeeded",
        button="Mark as succeeded",
        effect="The tasks that wait for it can start, as if it had done its work.",
        done="The task is marked as succeeded.",
        form=MarkForm,
    ),
    "mark-failed": Verb(
        title="Mark task as failed",
        button="Mark as failed",
        effect="If it runs it is stopped. The tasks that wait for it do not start.",
        done="The task is marked as failed.",
        form=MarkForm,
        kind="danger",
    ),
}


@scoped(Deployment, RUN, by="ref")
@require_POST
def pause(request: HttpRequest, deployment: Deployment, dag_id: str) -> HttpResponse:
    is_paused = request.POST.get("is_paused") == "yes"
    with errors_as_messages(request):
        services.pause_dag(
            actor=request_user(request), deployment=deployment, dag_id=dag_id, is_paused=is_paused
        )
        done = "is paused: no runs begin on schedule" if is_paused else "runs on schedule again"
        messages.success(request, f"{dag_id} {done}.")
    target = request.POST.get("next", "")
    return redirect(target if is_own_address(target) else dag_url(deployment, dag_id))


@scoped(Deployment, RUN, by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
def trigger(request: HttpRequest, deployment: Deployment, dag_id: str) -> HttpResponse:
    form = TriggerForm(request.POST if request.method == "POST" else None)
    if is_submitted(request, form):
        with errors_shown_in(form):
            run_id = services.trigger_dag(
                actor=request_user(request),
                deployment=deployment,
                dag_id=dag_id,
                **form.cleaned_data,
            )
            messages.success(request, f"{dag_id} is triggered.")
            return redirect(_run_or_dag(deployment, dag_id, run_id))
    url = dag_url(deployment, dag_id)
    context = {
        "deployment": deployment,
        "dag_id": dag_id,
        "form": form,
        "cancel_url": url,
        "crumbs": crumbs(deployment, (dag_id, url), ("Trigger", request.path)),
    }
    return form_page(request, "dags/trigger.html", context, form)


@scoped(Deployment, RUN, by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
def act_on_run(
    request: HttpRequest, deployment: Deployment, dag_id: str, run_id: str, verb: str
) -> HttpResponse:
    def do(actor: User, chosen: dict[str, Any]) -> None:
        ids: dict[str, Any] = {"deployment": deployment, "dag_id": dag_id, "run_id": run_id}
        if verb == "clear":
            services.clear_run(actor=actor, only_failed=chosen["tasks"] != ALL, **ids)
        else:
            services.mark_run(actor=actor, state=verb.removeprefix("mark-"), **ids)

    url = run_url(deployment, dag_id, run_id)
    trail = crumbs(deployment, (dag_id, dag_url(deployment, dag_id)), (run_id, url))
    return _confirmed(
        request, deployment, RUN_VERBS.get(verb), do, f"{dag_id}, {run_id}", url, trail
    )


@scoped(Deployment, RUN, by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
def act_on_task(
    request: HttpRequest, deployment: Deployment, dag_id: str, run_id: str, task_id: str, verb: str
) -> HttpResponse:
    map_index = map_index_in(request)
    ids = (dag_id, run_id, task_id)

    def do(actor: User, chosen: dict[str, Any]) -> None:
        common: dict[str, Any] = {"actor": actor, "deployment": deployment, "ids": ids}
        if verb == "clear":
            downstream = chosen["with_downstream"]
            services.clear_task(map_index=map_index, with_downstream=downstream, **common)
        else:
            services.mark_task(map_index=map_index, state=verb.removeprefix("mark-"), **common)

    url = task_url(deployment, ids, map_index)
    trail = crumbs(
        deployment,
        (dag_id, dag_url(deployment, dag_id)),
        (run_id, run_url(deployment, dag_id, run_id)),
        (task_id, url),
    )
    name = f"{task_id} [{map_index}]" if map_index >= 0 else task_id
    what = f"{name} of {dag_id}, {run_id}"
    return _confirmed(request, deployment, TASK_VERBS.get(verb), do, what, url, trail)


def _confirmed(
    request: HttpRequest,
    deployment: Deployment,
    verb: Verb | None,
    do: Do,
    what: str,
    url: str,
    trail: list[dict[str, str]],
) -> HttpResponse:
    """Ask to confirm, then do it and go back to `url`."""
    if verb is None:
        raise Http404("There is no such action.")
    form = verb.form(request.POST if request.method == "POST" else None)
    if is_submitted(request, form):
        with errors_shown_in(form):
            do(request_user(request), form.cleaned_data)
            messages.success(request, verb.done)
            return redirect(url)
    context = {
        "deployment": deployment,
        "verb": verb,
        "what": what,
        "form": form,
        "cancel_url": url,
        "crumbs": [*trail, {"label": verb.title, "url": request.get_full_path()}],
    }
    return form_page(request, "dags/act.html", context, form)


def _run_or_dag(deployment: Deployment, dag_id: str, run_id: str) -> str:
    if not run_id or "/" in run_id:
        return dag_url(deployment, dag_id)
    return reverse("dags:run", args=[deployment.ref, dag_id, run_id])
