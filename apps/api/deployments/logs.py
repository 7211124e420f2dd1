"""Component logs, as `astro deployment logs` asks for them."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from ninja import Path, Query, Router
from pydantic import Field

from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.errors import NotReachable
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.shapes import Shape
from apps.dataplane.errors import DataPlaneError
from apps.deployments.models import Deployment
from apps.observability.component_logs.choices import Choice
from apps.observability.component_logs.lines import ShownLine
from apps.observability.component_logs.reading import Source, components_of, read_log

router = Router(by_alias=True, exclude_none=True, tags=["Deployment"])
# What clients search for instead of a level.
LEVELS = {"ERROR": "error", "WARN": "warning", "WARNING": "warning", "INFO": ""}
API_SERVER = "api-server"
SOURCES = {"webserver": API_SERVER, "apiserver": API_SERVER}


class LogEntry(Shape):
    """`timestamp` is in Unix seconds."""

    raw: str
    source: str
    timestamp: float


class LogPage(Shape):
    results: list[LogEntry]
    result_count: int
    limit: int
    offset: int = 0
    max_num_results: int
    search_id: str = ""


class LogQuery(Shape):
    sources: list[str] = Field(default=[], max_length=20)
    limit: int = Field(default=500, ge=1, le=5_000)
    max_num_results: int = Field(default=500, ge=1, le=5_000)
    offset: int = Field(default=0, ge=0)
    range: int = Field(default=86_400, ge=1, le=10**8)
    search_text: str = Field(default="", max_length=200)


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/logs",
    auth=on_deployment("deployment.logs.view"),
    response=LogPage,
    operation_id="GetDeploymentLogs",
    summary="Read the end of the logs of components, oldest line first",
)
def get_logs(request: Call, at: Path[AtDeployment], asked: Query[LogQuery]) -> Any:
    """Read up to `limit` lines of the last `range` seconds. There is one page: lines before it are
    in the download of the log page.
    """
    lines = _lines(request.found, asked) if asked.offset == 0 else []
    shown = lines[-min(asked.limit, asked.max_num_results) :]
    # A page that is full would be asked for another, and there is none.
    count = min(len(shown), asked.limit - 1)
    return LogPage(
        results=shown,
        result_count=count,
        limit=asked.limit,
        offset=asked.offset,
        max_num_results=asked.max_num_results,
    )


def _lines(deployment: Deployment, asked: LogQuery) -> list[LogEntry]:
    level = LEVELS.get(asked.search_text.upper())
    choice = Choice(
        contains=asked.search_text if level is None else "",
        level=level or "",
        begin=timezone.now() - timedelta(seconds=asked.range),
    )
    found: list[LogEntry] = []
    try:
        for component, name in _components(deployment, asked.sources):
            log = read_log(deployment=deployment, source=Source(component=component), choice=choice)
            found += [_entry(line, name) for line in log.lines]
    except DataPlaneError as error:
        raise NotReachable(str(error)) from error
    return sorted(found, key=lambda one: one.timestamp)


def _components(deployment: Deployment, sources: list[str]) -> list[tuple[str, str]]:
    """Pair the components whose logs are wanted with the names that clients have for them."""
    wanted = {SOURCES.get(one, one): one for one in sources}
    pairs = []
    for component in components_of(deployment):
        kind = "worker" if component.startswith("worker") else component
        if not wanted or kind in wanted:
            pairs.append((component, wanted.get(kind, kind)))
    return pairs


def _entry(line: ShownLine, source: str) -> LogEntry:
    return LogEntry(raw=line.text, source=source, timestamp=line.at.timestamp() if line.at else 0)
