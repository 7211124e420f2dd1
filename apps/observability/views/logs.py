import re
from dataclasses import dataclass
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.kubernetes.render.components.log_cleanup import parse_logs_command
from apps.deployments.badge import import_errors_in_words
from apps.deployments.models import Deployment
from apps.deployments.pages.queries import observation_of
from apps.deployments.tasks import request_live_metrics
from apps.observability import component_logs

SEE = "deployment.logs.view"
TAIL_SECONDS = 2
MOST_FILE_NAME = 100
UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
LEVEL_CHOICES = (("", "All lines"), ("warning", "Warnings and errors"), ("error", "Errors"))


@dataclass(frozen=True, kw_only=True)
class LogQuery:
    """What is asked for in the address; `components` and, for the DAG processor, `files` are what
    there is. `files` is None where the data plane reads no parse logs.

    The text is `q` there: a field called `contains` would hide that method of its form.
    """

    component: str
    contains: str
    level: str
    components: tuple[str, ...]
    file: str = ""
    files: tuple[str, ...] | None = ()

    @property
    def title(self) -> str:
        return self.file or self.component

    @property
    def as_url(self) -> str:
        asked = {
            "component": self.component,
            "file": self.file,
            "q": self.contains,
            "level": self.level,
        }
        return urlencode({key: value for key, value in asked.items() if value})

    @property
    def file_name(self) -> str:
        """The name of a download, without characters that a file's name cannot have."""
        return UNFIT.sub("-", self.title)[-MOST_FILE_NAME:]


@scoped(Deployment, SEE, by="ref")
@require_safe
def logs(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    context = {
        "deployment": deployment,
        "levels": LEVEL_CHOICES,
        "is_following": request.GET.get("follow") != "off",
        "seconds": TAIL_SECONDS,
        "now": timezone.now(),
        "parse_logs_command": parse_logs_command(deployment.ref),
        "parse_log_hours": settings.PARSE_LOG_HOURS,
    }
    try:
        query = query_of(request, deployment)
        log = _read(deployment, query) if query.components else None
    except DataPlaneError as error:
        context |= {"silence": error.message}
        return render(request, "observability/logs.html", context)
    context |= {"query": query, "log": log, **_import_errors(deployment, query)}
    return render(request, "observability/logs.html", context)


@scoped(Deployment, SEE, by="ref")
@require_safe
def tail(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    try:
        log = _read(deployment, query_of(request, deployment), cursor=request.GET.get("cursor", ""))
    except DataPlaneError as error:
        return HttpResponse(error.message, status=503, content_type="text/plain; charset=utf-8")
    return render(request, "observability/_tail.html", {"log": log})


@scoped(Deployment, SEE, by="ref")
@require_safe
def download(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    try:
        query = query_of(request, deployment)
        text = component_logs.log_as_text(
            deployment=deployment,
            component=query.component,
            contains=query.contains,
            file=query.file,
        )
    except DataPlaneError as error:
        return HttpResponse(error.message, status=503, content_type="text/plain; charset=utf-8")
    name = f"{deployment.ref}-{query.file_name}.log"
    disposition = f'attachment; filename="{name}"'
    return HttpResponse(
        text,
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": disposition},
    )


def _import_errors(deployment: Deployment, query: LogQuery) -> dict[str, object]:
    """Return the DAG files that cannot be imported, for whoever looks for errors."""
    if not query.level:
        return {}
    request_live_metrics(deployment)
    seen = observation_of(deployment)
    if seen is None or not seen.import_errors:
        return {}
    asked = query.contains.lower()
    found = [
        one for one in seen.import_failures or () if asked in f"{one.file}\n{one.traceback}".lower()
    ]
    if asked and not found:
        return {}
    count = len(found) if asked else seen.import_errors
    title = import_errors_in_words(seen.import_errors)
    return {"import_errors": count, "import_failures": found, "import_errors_title": title}


def query_of(request: HttpRequest, deployment: Deployment) -> LogQuery:
    """Read which log and which lines an address asks for. Raises a DataPlaneError and Http404."""
    components = component_logs.components_of(deployment)
    asked = request.GET.get("component", "")
    if asked and asked not in components:
        raise Http404("This Deployment has no such component.")
    first = component_logs.FIRST_CHOICE
    default = first if first in components else next(iter(components), "")
    component = asked or default
    is_parsing = component == component_logs.DAG_PROCESSOR
    files = component_logs.dag_files_of(deployment) if is_parsing else ()
    file = request.GET.get("file", "") if is_parsing else ""
    if file and file not in (files or ()):
        raise Http404("This DAG file has no log.")
    level = request.GET.get("level", "")
    return LogQuery(
        component=component,
        file=file,
        files=files,
        contains=request.GET.get("q", "").strip()[:200],
        level=level if level in component_logs.LEVELS else "",
        components=components,
    )


def _read(deployment: Deployment, query: LogQuery, cursor: str = "") -> component_logs.ShownLog:
    return component_logs.read_log(
        deployment=deployment,
        component=query.component,
        contains=query.contains,
        level=query.level,
        file=query.file,
        cursor=cursor,
    )
