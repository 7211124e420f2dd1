"""Reads about previews: what the page shows."""

from dataclasses import dataclass
from statistics import median
from typing import Any

from django.db.models import F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce

from apps.deployments.models import Deployment, Operation, OperationState, Revision
from apps.deploys.deliveries.origins import Origin
from apps.deploys.deliveries.queries import current_deploy
from apps.deploys.models import Deploy, Preview, PreviewState
from apps.deploys.previews.comparing import (
    DagChange,
    MissingName,
    PackageChange,
    dag_changes,
    has_changed_below,
    missing_names,
    package_changes,
)
from apps.environment.delivery.effective import effective_objects

STEPS = (
    ("packages", "Choose the packages"),
    ("install", "Install the packages beside what runs"),
    ("read", "Read the DAG files"),
)
OPEN = (PreviewState.CHECKING, PreviewState.READY, PreviewState.FAILED)
MOST_SHOWN = 500
USUAL_DEPLOYS = 5


@dataclass(frozen=True, kw_only=True)
class FileError:
    """A file that cannot be imported; `line` is 0 where it is not known."""

    file: str
    line: int
    message: str
    traceback: str
    needs_airflow: bool

    @property
    def line_count(self) -> int:
        return len(self.traceback.splitlines())


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What deploying a preview changes. `are_dags_known` is whether the DAGs that run are known;
    `usual_seconds` is what deploys take that restart as much, None where none has been yet.
    """

    packages: tuple[PackageChange, ...]
    n_same_packages: int
    dags: tuple[DagChange, ...]
    n_same_dags: int
    are_dags_known: bool
    errors: tuple[FileError, ...]
    needs_airflow: tuple[FileError, ...]
    missing: tuple[MissingName, ...]
    are_names_known: bool
    restarts: bool
    usual_seconds: float | None
    busy: tuple[DagChange, ...]


def origin_of(preview: Preview) -> Deploy:
    """Return who uploaded a preview and which commit it is, as the deploy that it would become."""
    origin = Origin(**preview.origin)
    return Deploy(
        created_by=preview.created_by, **origin.fields(source=Deploy.Source(preview.source))
    )


def open_previews(deployment: Deployment) -> list[Preview]:
    """List what waits for a decision, newest first, without its long columns."""
    rows = Preview.objects.filter(deployment=deployment, state__in=OPEN)
    rows = rows.select_related("created_by").order_by("-number")
    return list(rows.defer("files", "dags", "before", "needs", "errors", "packages", "log")[:20])


def steps_of(preview: Preview) -> list[dict[str, str]]:
    """Return the steps of the check for the component `steps`."""
    reached = [key for key, _ in STEPS].index(preview.step) if preview.step else 0
    steps = []
    for number, (_, title) in enumerate(STEPS):
        state = "done" if number < reached else "now" if number == reached else "wait"
        if preview.state == PreviewState.FAILED and state == "now":
            state = "failed"
        steps.append({"title": title, "state": state})
    return steps


def comparison(preview: Preview) -> Comparison:
    """Compare a preview with what its Deployment runs."""
    current = current_deploy(preview.deployment, with_files=True)
    before = preview.before.get("dags")
    changes = _dag_changes(preview, current, before or [])
    packages = package_changes(before=current.packages if current else [], after=preview.packages)
    errors = tuple(_error(row) for row in preview.errors)
    n_added = sum(one.change != "removed" for one in changes)
    restarts = _restarts(preview, current)
    return Comparison(
        packages=packages,
        n_same_packages=len(preview.packages) - sum(one.change != "removed" for one in packages),
        dags=changes[:MOST_SHOWN],
        n_same_dags=len(preview.dags) - n_added,
        are_dags_known=before is not None,
        errors=tuple(one for one in errors if not one.needs_airflow),
        needs_airflow=tuple(one for one in errors if one.needs_airflow),
        missing=_missing(preview),
        are_names_known=preview.names is not None,
        restarts=restarts,
        usual_seconds=_usual_seconds(preview.deployment, restarts=restarts),
        busy=tuple(one for one in changes if one.running),
    )


def _usual_seconds(deployment: Deployment, *, restarts: bool) -> float | None:
    """Return the median of how long the last deploys took that changed packages, or that did not.
    One query.
    """
    earlier = Revision.objects.filter(
        deployment=deployment, number__lt=OuterRef("revision__number")
    )
    before = earlier.order_by("-number").values("packages_digest")[:1]
    rows = Operation.objects.filter(
        deployment=deployment,
        state=OperationState.SUCCEEDED,
        kind__in=(Operation.Kind.DEPLOY, Operation.Kind.ROLL_BACK),
    )
    rows = rows.annotate(packages_before=Coalesce(Subquery(before), Value("")))
    packages = Q(revision__packages_digest=F("packages_before"))
    alike = rows.filter(~packages if restarts else packages).order_by("-number")
    times = alike.values_list("started_at", "ended_at")[:USUAL_DEPLOYS]
    seconds = [(ended - started).total_seconds() for started, ended in times if ended]
    return median(seconds) if seconds else None


def blocking_errors(preview: Preview) -> list[Any]:
    """Return the errors that a person has to accept: those that Airflow would have, too."""
    return [row for row in preview.errors if not row[4]]


def vanishing_busy_dags(preview: Preview) -> tuple[DagChange, ...]:
    """Return DAGs that would be gone although runs of them are not finished."""
    changes = _dag_changes(preview, None, preview.before.get("dags") or [])
    return tuple(one for one in changes if one.running)


def _dag_changes(
    preview: Preview, current: Deploy | None, before: list[list[Any]]
) -> tuple[DagChange, ...]:
    return dag_changes(
        before=before,
        after=preview.dags,
        running=preview.before.get("running"),
        changed_files=_changed_files(preview, current),
    )


def _changed_files(preview: Preview, current: Deploy | None) -> frozenset[str]:
    """Return the DAG files whose content differs, by their names in the folder of DAGs."""
    old = {file["path"]: file["sha256"] for file in current.files} if current else {}
    new = {file["path"]: file["sha256"] for file in preview.files}
    changed = {path for path, digest in new.items() if old.get(path, digest) != digest}
    return frozenset(changed | {path.removeprefix("dags/") for path in changed})


def _missing(preview: Preview) -> tuple[MissingName, ...]:
    wanted = preview.deployment.wanted
    configured = wanted.configuration.variables if wanted else ()
    shared = [(one.source.kind, one.source.name) for one in effective_objects(preview.deployment)]
    given = [variable.key for variable in configured]
    return missing_names(preview.names or [], given=given, shared=shared)


def _restarts(preview: Preview, current: Deploy | None) -> bool:
    before = current.packages_digest if current else ""
    files = current.files if current else []
    has_new_plugins = has_changed_below("plugins/", before=files, after=preview.files)
    return preview.packages_digest != before or has_new_plugins


def _error(row: list[Any]) -> FileError:
    file, line, message, traceback, needs_airflow = row
    return FileError(
        file=file, line=line, message=message, traceback=traceback, needs_airflow=needs_airflow
    )
