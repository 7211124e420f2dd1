"""One task of a run, its tries, and the log of each."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.core.errors import PortalError
from apps.core.web.own_addresses import number_in
from apps.core.words import bytes_in_words
from apps.dags.airflow import log_lines, task_logs, tasks
from apps.dags.airflow.api import AirflowApi, AirflowSilent, NotInAirflow, airflow_of
from apps.dags.pages.parts import (
    airflow_page,
    crumbs,
    dag_url,
    map_index_in,
    run_denial,
    run_url,
    state_of,
    task_url,
    url_in_airflow,
)
from apps.dags.pages.queries import SEE
from apps.dags.pages.run import task_row
from apps.deployments.models import Deployment

TAIL_SECONDS = 2
# Whoever follows and is further behind begins at the end again.
MOST_BEHIND = 1024 * 1024
LEVEL_CHOICES = (("", "All lines"), ("warning", "Warnings and errors"), ("error", "Errors"))


@dataclass(frozen=True, kw_only=True)
class LogQuery:
    """What the address asks for. `ids` are of DAG, run and task; `try_number` is None for the
    last one. `begin` or `end` choose a part of the log, in bytes; neither the end of it.
    """

    ids: tuple[str, str, str]
    map_index: int
    try_number: int | None
    contains: str
    level: str
    begin: int | None
    end: int | None

    @property
    def is_of_the_end(self) -> bool:
        return self.begin is None and self.end is None

    @property
    def narrow(self) -> dict[str, str]:
        asked = {"q": self.contains, "level": self.level}
        return {name: value for name, value in asked.items() if value}

    def tried(self, number: int) -> task_logs.Try:
        return task_logs.Try(ids=self.ids, map_index=self.map_index, number=number)

    def url(self, try_number: int, **others: str | int) -> str:
        """Return the query of an address that asks for a try of this task."""
        mapped = {"map": str(self.map_index)} if self.map_index >= 0 else {}
        return urlencode({**mapped, "try": try_number, **self.narrow, **others})


@scoped(Deployment, SEE, by="ref")
@require_safe
def task(
    request: HttpRequest, deployment: Deployment, dag_id: str, run_id: str, task_id: str
) -> HttpResponse:
    query = _query(request, (dag_id, run_id, task_id))
    is_following = request.GET.get("follow") != "off"

    def read() -> dict[str, Any]:
        airflow = airflow_of(deployment)
        found = _task(airflow, query)
        tries = _tries(airflow, query)
        chosen = query.try_number or found.try_number
        return {
            **task_row(deployment, (dag_id, run_id), found),
            **_around(request, deployment, query),
            **_log(airflow, query, chosen, is_following),
            "tries": [_try(query, one, chosen) for one in tries],
            "chosen": chosen,
            "here": query.url(chosen),
            "paused": query.url(chosen, follow="off"),
        }

    title = task_id
    return airflow_page(request, deployment, "dags/task/task.html", read, title=title)


@scoped(Deployment, SEE, by="ref")
@require_safe
def tail(
    request: HttpRequest, deployment: Deployment, dag_id: str, run_id: str, task_id: str
) -> HttpResponse:
    """Answer with the lines since the last time. When the try is over, or the reader is far behind,
    the browser loads the page anew.
    """
    query = _query(request, (dag_id, run_id, task_id))
    place = _place(request, "cursor")
    anew = HttpResponse(
        headers={
            "HX-Redirect": f"{task_url(deployment, query.ids)}?{query.url(query.try_number or 1)}"
        }
    )
    if query.try_number is None or place is None:
        return anew
    try:
        log = task_logs.read_log(
            airflow_of(deployment),
            tried=query.tried(query.try_number),
            contains=query.contains,
            level=query.level,
            begin=place,
        )
    except NotInAirflow as error:
        raise Http404(error.message) from error
    except PortalError as error:
        return HttpResponse(error.message, status=503, content_type="text/plain; charset=utf-8")
    if (log.is_over and log.is_last) or log.is_whole or log.size - log.end > MOST_BEHIND:
        return anew
    return render(request, "dags/task/_tail.html", {"log": log, "cursor": log.end})


@scoped(Deployment, SEE, by="ref")
@require_safe
def download(
    request: HttpRequest, deployment: Deployment, dag_id: str, run_id: str, task_id: str
) -> HttpResponseBase:
    query = _query(request, (dag_id, run_id, task_id))
    number = query.try_number or 1
    try:
        lines = task_logs.log_as_text(airflow_of(deployment), tried=query.tried(number))
    except NotInAirflow as error:
        raise Http404(error.message) from error
    except PortalError as error:
        return HttpResponse(error.message, status=503, content_type="text/plain; charset=utf-8")
    # Ids have no character that a header could not hold, except letters of other alphabets.
    name = f"{dag_id}-{task_id}-{number}.log".encode("ascii", "replace").decode()
    return StreamingHttpResponse(
        lines,
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name.replace("?", "_")}"'},
    )


def _query(request: HttpRequest, ids: tuple[str, str, str]) -> LogQuery:
    level = request.GET.get("level", "")
    return LogQuery(
        ids=ids,
        map_index=map_index_in(request),
        try_number=number_in(request.GET.get("try", "")) or None,
        contains=request.GET.get("q", "").strip()[:200],
        level=level if level in log_lines.LEVELS else "",
        begin=_place(request, "begin"),
        end=_place(request, "end"),
    )


def _task(airflow: AirflowApi, query: LogQuery) -> tasks.TaskInstance:
    dag_id, run_id, task_id = query.ids
    return tasks.read_task(
        airflow, dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=query.map_index
    )


def _tries(airflow: AirflowApi, query: LogQuery) -> tuple[tasks.TaskInstance, ...]:
    dag_id, run_id, task_id = query.ids
    return tasks.read_tries(
        airflow, dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=query.map_index
    )


def _log(
    airflow: AirflowApi, query: LogQuery, try_number: int, is_following: bool
) -> dict[str, Any]:
    """Return the log of a try, or why there is none: the rest of the page is of use without."""
    if not try_number:
        return {"log": None, "log_silence": ""}
    try:
        log = task_logs.read_log(
            airflow,
            tried=query.tried(try_number),
            contains=query.contains,
            level=query.level,
            begin=query.begin,
            end=query.end,
        )
    except (AirflowSilent, NotInAirflow) as error:
        return {"log": None, "log_silence": error.message}
    goes_on = not log.is_over and query.is_of_the_end
    return {
        "log": log,
        "log_silence": "",
        "goes_on": goes_on,
        "is_following": goes_on and is_following,
        **_places(log, query, try_number),
    }


def _places(log: task_logs.TaskLog, query: LogQuery, chosen: int) -> dict[str, Any]:
    """Return which part of a log is shown, in words, and the addresses of the others."""
    before = f"?{query.url(chosen, end=log.begin)}" if log.begin > 0 else ""
    after = f"?{query.url(chosen, begin=log.end)}" if not log.is_last else ""
    return {
        "part": _part_in_words(log) if before or after else "",
        "first_url": f"?{query.url(chosen, begin=0)}" if before else "",
        "before_url": before,
        "after_url": after,
        "last_url": f"?{query.url(chosen)}" if after else "",
    }


def _part_in_words(log: task_logs.TaskLog) -> str:
    length, size = bytes_in_words(log.end - log.begin), bytes_in_words(log.size)
    if log.is_last:
        return f"the last {length} of {size}"
    if log.begin == 0:
        return f"the first {length} of {size}"
    return f"{length} from {bytes_in_words(log.begin)} on, of {size}"


def _around(request: HttpRequest, deployment: Deployment, query: LogQuery) -> dict[str, Any]:
    dag_id, run_id, task_id = query.ids
    args = [deployment.ref, *query.ids]
    mapped = ("mapped", str(query.map_index)) if query.map_index >= 0 else ()
    return {
        "dag_id": dag_id,
        "run_id": run_id,
        "query": query,
        "map_query": f"?{urlencode({'map': query.map_index})}" if query.map_index >= 0 else "",
        "levels": LEVEL_CHOICES,
        "now": timezone.now(),
        "seconds": TAIL_SECONDS,
        "denial": run_denial(request, deployment),
        "tail_url": reverse("dags:log_tail", args=args),
        "download_url": reverse("dags:log_download", args=args),
        "airflow_url": url_in_airflow(
            deployment, "dags", dag_id, "runs", run_id, "tasks", task_id, *mapped
        ),
        "crumbs": crumbs(
            deployment,
            (dag_id, dag_url(deployment, dag_id)),
            (run_id, run_url(deployment, dag_id, run_id)),
            (task_id, task_url(deployment, query.ids, query.map_index)),
        ),
    }


def _try(query: LogQuery, one: tasks.TaskInstance, chosen: int) -> dict[str, Any]:
    looks = state_of(one.state)
    return {
        "label": f"Try {one.try_number} · {looks['word']}",
        "url": f"?{query.url(one.try_number)}",
        "is_current": one.try_number == chosen,
    }


def _place(request: HttpRequest, name: str) -> int | None:
    return number_in(request.GET.get(name, ""), most=task_logs.LARGEST)
