"""Component logs for the page: read from the data plane, of one component or of all."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from django.core import signing

from apps.clusters.connections.planes import plane_for
from apps.dataplane.base import SupportsParseLogs
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.status import LogPage
from apps.deployments.models import Deployment
from apps.observability.component_logs.choices import Choice
from apps.observability.component_logs.lines import ShownLine, shown_lines, visible

LINES_SHOWN = 500
# What is chosen is found after reading, so more is read to have something left.
LINES_READ_TO_CHOOSE = 5_000
LINES_DOWNLOADED = 50_000
FIRST_CHOICE = "scheduler"
DAG_PROCESSOR = "dag-processor"
# In an address; no component has this name.
ALL = "all"
MOST_COMPONENTS = 24
CURSOR_SALT = "observability.log-cursor"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which log: of a component, of `ALL` of them, or of parsing a DAG file."""

    component: str
    file: str = ""


@dataclass(frozen=True, kw_only=True)
class ShownLog:
    """Lines oldest first. `cursor` asks for what came after; `is_cut`: there are older ones.
    `silent` are components whose log was not read.
    """

    lines: tuple[ShownLine, ...]
    cursor: str
    is_cut: bool
    silent: tuple[str, ...] = ()

    @property
    def first_error(self) -> str:
        """The address of the first line of an error, "" without one."""
        return next((line.id for line in self.lines if line.tone == "bad"), "")


@dataclass(frozen=True, kw_only=True)
class NewLines:
    """Lines by component. `place` is where they end, the same for whoever read as far; `cursor`
    names it to a browser.
    """

    lines: tuple[ShownLine, ...]
    place: str
    cursor: str
    is_cut: bool = False
    silent: tuple[str, ...] = ()


def components_of(deployment: Deployment) -> tuple[str, ...]:
    """Name the components that have logs. Raises a DataPlaneError."""
    return plane_for(deployment.cluster).components(ref=deployment.ref)


def dag_files_of(deployment: Deployment) -> tuple[str, ...] | None:
    """Name the DAG files whose parse log can be read; None where the data plane reads none. Raises
    a DataPlaneError.
    """
    plane = plane_for(deployment.cluster)
    return plane.dag_files(ref=deployment.ref) if isinstance(plane, SupportsParseLogs) else None


def read_log(
    *, deployment: Deployment, source: Source, choice: Choice, cursor: str = ""
) -> ShownLog:
    """Read the end of a log, or what came after `cursor`. Raises a DataPlaneError and
    PatternRefused.

    A cursor that this portal did not issue is ignored.
    """
    place = place_of(cursor, deployment_id=deployment.pk, source=source)
    limit = LINES_SHOWN if choice.rest == Choice() else LINES_READ_TO_CHOOSE
    read = read_on(
        deployment=deployment, source=source, place=place, contains=choice.text, limit=limit
    )
    kept = choice.rest.keep(read.lines)
    return ShownLog(
        lines=tuple(kept[-LINES_SHOWN:]),
        cursor=read.cursor,
        is_cut=read.is_cut or len(kept) > LINES_SHOWN,
        silent=read.silent,
    )


def read_on(
    *,
    deployment: Deployment,
    source: Source,
    place: str,
    contains: str = "",
    limit: int = LINES_READ_TO_CHOOSE,
) -> NewLines:
    """Read what came after a place of the data plane, "" for the end of the log. Raises a
    DataPlaneError; of all components only if none can be read.
    """
    if source.component == ALL:
        read = _read_all(deployment, place, contains, limit)
    else:
        page = _read_page(deployment, source, cursor=place, contains=contains, limit=limit)
        read = NewLines(
            lines=tuple(shown_lines(page.lines)),
            place=page.cursor,
            cursor="",
            is_cut=page.is_truncated,
        )
    return replace(read, cursor=_seal(deployment.pk, source, read.place))


def place_of(cursor: str, *, deployment_id: int, source: Source) -> str:
    """Return the place of the data plane that a cursor names, "" if this portal did not issue it
    for this log.
    """
    try:
        found = signing.loads(cursor, salt=CURSOR_SALT) if cursor else None
    except signing.BadSignature:
        return ""
    if not found or found[:-1] != [deployment_id, source.component, source.file]:
        return ""
    return str(found[-1])


def log_as_text(*, deployment: Deployment, source: Source, choice: Choice) -> str:
    """Return as much of a log's end as the data plane gives at once, of what is wanted. Raises a
    DataPlaneError and PatternRefused.
    """
    if source.component != ALL and choice.rest == Choice():
        page = _read_page(deployment, source, contains=choice.text, limit=LINES_DOWNLOADED)
        return "".join(f"{visible(line.text)}\n" for line in page.lines)
    read = read_on(
        deployment=deployment,
        source=source,
        place="",
        contains=choice.text,
        limit=LINES_DOWNLOADED,
    )
    return "".join(_as_text(line) for line in choice.rest.keep(read.lines))


def _as_text(line: ShownLine) -> str:
    at = f"{line.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ} " if line.at else ""
    return f"{at}{f'{line.source}: ' if line.source else ''}{line.text}\n"


def _seal(deployment_id: int, source: Source, place: str) -> str:
    found = [deployment_id, source.component, source.file, place]
    return signing.dumps(found, salt=CURSOR_SALT, compress=True)


def _read_all(deployment: Deployment, place: str, contains: str, limit: int) -> NewLines:
    """Read every component, and put their lines in order of time."""
    known: dict[str, str] = json.loads(place) if place else {}
    places: dict[str, str] = {}
    lines: list[ShownLine] = []
    silent: list[str] = []
    is_cut = False
    components = components_of(deployment)[:MOST_COMPONENTS]
    problem: DataPlaneError | None = None
    for component in components:
        cursor = known.get(component, "")
        try:
            page = _read_page(
                deployment,
                Source(component=component),
                cursor=cursor,
                contains=contains,
                limit=limit,
            )
        except DataPlaneError as error:
            problem = error
            silent.append(component)
            places[component] = cursor
            continue
        places[component] = page.cursor
        lines += shown_lines(page.lines, source=component)
        is_cut = is_cut or page.is_truncated
    if problem and len(silent) == len(components):
        raise problem
    return NewLines(
        lines=tuple(in_order(lines)),
        place=json.dumps(places, sort_keys=True),
        cursor="",
        is_cut=is_cut,
        silent=tuple(silent),
    )


def in_order(lines: Iterable[ShownLine]) -> list[ShownLine]:
    """Return lines of several components by time; one without a time stays behind the one before
    it, of the same component. Pure.
    """
    at, source = datetime.min.replace(tzinfo=UTC), ""
    keyed: list[tuple[datetime, ShownLine]] = []
    for line in lines:
        if line.source != source:
            at, source = datetime.min.replace(tzinfo=UTC), line.source
        at = line.at or at
        keyed.append((at, line))
    return [line for _, line in sorted(keyed, key=lambda pair: pair[0])]


def _read_page(
    deployment: Deployment, source: Source, *, contains: str, limit: int, cursor: str = ""
) -> LogPage:
    plane = plane_for(deployment.cluster)
    if not (source.file and isinstance(plane, SupportsParseLogs)):
        return plane.logs(
            ref=deployment.ref,
            component=source.component,
            cursor=cursor,
            contains=contains,
            limit=limit,
        )
    return plane.parse_log(
        ref=deployment.ref, file=source.file, cursor=cursor, contains=contains, limit=limit
    )
