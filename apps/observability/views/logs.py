import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.kubernetes.names import namespace_of
from apps.dataplane.kubernetes.render.components.log_cleanup import parse_logs_command
from apps.deployments.badge import import_errors_in_words
from apps.deployments.models import Deployment
from apps.deployments.pages.queries import observation_of
from apps.deployments.tasks import request_live_metrics
from apps.observability.analytics.ranges import moment, written
from apps.observability.component_logs.choices import (
    LEVELS,
    LONGEST_PATTERN,
    Choice,
    PatternRefused,
)
from apps.observability.component_logs.reading import (
    ALL,
    DAG_PROCESSOR,
    FIRST_CHOICE,
    ShownLog,
    Source,
    components_of,
    dag_files_of,
    log_as_text,
    read_log,
)

SEE = "deployment.logs.view"
TAIL_SECONDS = 2
MOST_FILE_NAME = 100
UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
SINCE = {
    "15m": ("Last 15 minutes", timedelta(minutes=15)),
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(days=1)),
}
LEVEL_CHOICES = (("", "All lines"), ("warning", "Warnings and errors"), ("error", "Errors"))


@dataclass(frozen=True, kw_only=True)
class LogQuery:
    """What is asked for in the address; `components` and, for the DAG processor, `files` are what
    there is. `files` is None where the data plane reads no parse logs. `since` is a key of SINCE.

    The text is `q` there: a field called `contains` would hide that method of its form.
    """

    source: Source
    choice: Choice
    components: tuple[str, ...]
    files: tuple[str, ...] | None = ()
    since: str = ""
    problem: str = ""

    @property
    def title(self) -> str:
        if self.source.component == ALL:
            return "All components"
        return self.source.file or self.source.component

    @property
    def is_over(self) -> bool:
        """Whether no line that is written from now on is wanted."""
        return self.choice.end is not None

    @property
    def as_url(self) -> str:
        choice = self.choice
        asked = {
            "component": self.source.component,
            "file": self.source.file,
            "q": choice.contains,
            "pattern": "on" if choice.is_pattern else "",
            "level": choice.level,
            "since": self.since,
            "from": "" if self.since else written(choice.begin) if choice.begin else "",
            "to": written(choice.end) if choice.end else "",
        }
        return urlencode({key: value for key, value in asked.items() if value})

    @property
    def begin(self) -> str:
        """The time from which lines are wanted, as a field of a form has it."""
        return written(self.choice.begin) if self.choice.begin and not self.since else ""

    @property
    def end(self) -> str:
        return written(self.choice.end) if self.choice.end else ""

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
        "sinces": [("", "Any time"), *((key, words) for key, (words, _) in SINCE.items())],
        "all": ALL,
        "is_following": request.GET.get("follow") != "off",
        "seconds": TAIL_SECONDS,
        "now": timezone.now(),
        "parse_logs_command": parse_logs_command(
            deployment.namespace or namespace_of(deployment.ref)
        ),
        "parse_log_hours": settings.PARSE_LOG_HOURS,
    }
    try:
        query = query_of(request, deployment)
        log = _read(deployment, query) if query.components else None
    except DataPlaneError as error:
        context |= {"silence": error.message}
        return render(request, "observability/logs.html", context)
    except PatternRefused as error:
        query = replace(query, problem=error.message)
        context |= {"query": query, "is_following": False}
        return render(request, "observability/logs.html", context, status=422)
    context |= {"query": query, "log": log, **_import_errors(deployment, query)}
    context["is_following"] = context["is_following"] and not query.is_over
    return render(request, "observability/logs.html", context)


@scoped(Deployment, SEE, by="ref")
@require_safe
def tail(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    try:
        log = _read(deployment, query_of(request, deployment), cursor=request.GET.get("cursor", ""))
    except (DataPlaneError, PatternRefused) as error:
        return HttpResponse(error.message, status=503, content_type="text/plain; charset=utf-8")
    return render(request, "observability/_tail.html", {"log": log})


@scoped(Deployment, SEE, by="ref")
@require_safe
def download(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    try:
        query = query_of(request, deployment)
        text = log_as_text(deployment=deployment, source=query.source, choice=query.choice)
    except (DataPlaneError, PatternRefused) as error:
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
    if not query.choice.level:
        return {}
    request_live_metrics(deployment)
    seen = observation_of(deployment)
    if seen is None or not seen.import_errors:
        return {}
    asked = query.choice.text.lower()
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
    components = components_of(deployment)
    asked = request.GET.get("component", "")
    if asked and asked not in (*components, ALL):
        raise Http404("This Deployment has no such component.")
    default = FIRST_CHOICE if FIRST_CHOICE in components else next(iter(components), "")
    component = asked or default
    is_parsing = component == DAG_PROCESSOR
    files = dag_files_of(deployment) if is_parsing else ()
    file = request.GET.get("file", "") if is_parsing else ""
    if file and file not in (files or ()):
        raise Http404("This DAG file has no log.")
    since = request.GET.get("since", "")
    return LogQuery(
        source=Source(component=component, file=file),
        choice=_choice(request, timezone.now()),
        components=components,
        files=files,
        since=since if since in SINCE else "",
    )


def _choice(request: HttpRequest, now: datetime) -> Choice:
    query = request.GET
    level, since = query.get("level", ""), query.get("since", "")
    begin = now - SINCE[since][1] if since in SINCE else moment(query.get("from", ""))
    return Choice(
        contains=query.get("q", "").strip()[:LONGEST_PATTERN],
        is_pattern=query.get("pattern") == "on",
        level=level if level in LEVELS else "",
        begin=begin,
        end=None if since in SINCE else moment(query.get("to", "")),
    )


def _read(deployment: Deployment, query: LogQuery, cursor: str = "") -> ShownLog:
    return read_log(deployment=deployment, source=query.source, choice=query.choice, cursor=cursor)
