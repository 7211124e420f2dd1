"""The morning look: what failed in the last day or days, which queues were full, and what ends
soon, of everything a person may see or of one organization. Seven queries, however many rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Q, QuerySet
from django.urls import reverse

from apps.access.scopes import grant_model, models_with_roles
from apps.accounts.models import User, UserKind
from apps.clusters.models import Cluster
from apps.deployments.models import Deployment
from apps.observability.incidents.models import Incident
from apps.observability.results.models import RunResult
from apps.organizations.models import Organization
from apps.portal.home.certificates import SOON, End, certificates_that_end
from apps.runtimes.notes import runtime_note

SINCE = timedelta(days=1)
MOST_DAGS, MOST_QUEUES, MOST_ENDS = 6, 6, 10
FULL = "queue-at-capacity"


@dataclass(frozen=True, kw_only=True)
class FailedDag:
    """A DAG with runs that failed, how many, and when the last one did."""

    ref: str
    deployment: str
    dag_id: str
    url: str
    count: int
    last_at: datetime


@dataclass(frozen=True, kw_only=True)
class Morning:
    """What a person looks at first. One more row than is shown says that there are more."""

    failed: Sequence[FailedDag]
    has_more_failed: bool
    full: Sequence[Incident]
    ends: Sequence[End]
    has_more_ends: bool


def morning_of(
    *,
    user: User,
    organization: Organization | None,
    runtimes: Mapping[str, tuple[int, str]],
    clusters: Sequence[Cluster],
    now: datetime,
    since: timedelta = SINCE,
) -> Morning:
    """Return the morning look. `runtimes` are those in use (see `Tally`), `clusters` those that
    were read, and `since` is how far back it looks.
    """
    failed = list(_failed(user, organization, now - since)[: MOST_DAGS + 1])
    ends = sorted(
        (
            *certificates_that_end(user, organization, clusters, now),
            *_of_runtimes(runtimes, now),
            *_of_roles(user, organization, now),
        ),
        key=lambda end: (end.tone != "bad", end.at or now),
    )
    return Morning(
        failed=[_failed_dag(row) for row in failed[:MOST_DAGS]],
        has_more_failed=len(failed) > MOST_DAGS,
        full=list(_full(user, organization, now - since)[:MOST_QUEUES]),
        ends=ends[:MOST_ENDS],
        has_more_ends=len(ends) > MOST_ENDS,
    )


def _failed(user: User, organization: Organization | None, since: datetime) -> QuerySet[Any, Any]:
    """Count failed runs by DAG. Who may see an Airflow may know what failed in it."""
    deployments = Deployment.objects.allowing(user, "deployment.airflow.view")
    if organization is not None:
        deployments = deployments.filter(workspace__organization=organization)
    rows = RunResult.objects.filter(
        deployment__in=deployments.values("pk"),
        task_id="",
        is_failed=True,
        ended_at__gte=since,
    )
    names = ("deployment__ref", "deployment__name", "dag_id")
    counted: QuerySet[Any, Any] = rows.values(*names).annotate(
        count=Count("pk"), last_at=Max("ended_at")
    )
    return counted.order_by("-count", "-last_at", *names)


def _failed_dag(row: dict[str, Any]) -> FailedDag:
    ref, dag_id = row["deployment__ref"], row["dag_id"]
    # No address has a slash in the name of a DAG, but a lying Airflow may.
    has_page = "/" not in dag_id
    page = reverse("dags:dag", args=[ref, dag_id]) if has_page else _list_of(ref)
    return FailedDag(
        ref=ref,
        deployment=row["deployment__name"],
        dag_id=dag_id,
        url=page,
        count=row["count"],
        last_at=row["last_at"],
    )


def _list_of(ref: str) -> str:
    return reverse("dags:deployment", args=[ref])


def _full(user: User, organization: Organization | None, since: datetime) -> QuerySet[Incident]:
    """List queues that had more tasks than workers, those that still have first."""
    found = (
        Incident.objects.visible_to(user)
        .shown()
        .filter(Q(closed_at=None) | Q(closed_at__gte=since), kind=FULL)
    )
    if organization is not None:
        found = found.filter(deployment__workspace__organization=organization)
    return found.select_related("deployment").order_by("-closed_at", "-opened_at", "pk")


def _of_runtimes(using: Mapping[str, tuple[int, str]], now: datetime) -> Iterator[End]:
    """Tell of each runtime once, with one Deployment that uses it."""
    for version, (count, ref) in using.items():
        note = runtime_note(version, today=now.date())
        if note is None or not note.tone:
            continue
        yield End(
            what=f"Runtime {version}: {note.message}",
            where=f"{ref} and {count - 1} more" if count > 1 else ref,
            url=reverse("deployments:overview", args=[ref]),
            at=None,
            tone=note.tone,
        )


def _of_roles(user: User, organization: Organization | None, now: datetime) -> Iterator[End]:
    """Tell of roles of people and of API tokens to those who see them, and of their own to all."""
    for model in models_with_roles():
        scope = model.access_scope
        people = model.objects.allowing(user, f"{scope}.members.view").values("pk")
        tokens = model.objects.allowing(user, f"{scope}.tokens.manage").values("pk")
        ending = Q(expires_at__gt=now, expires_at__lte=now + SOON) | Q(
            user__api_token__revoked_at=None,
            user__api_token__expires_at__gt=now,
            user__api_token__expires_at__lte=now + SOON,
        )
        shown = Q(user=user) | Q(user__kind=UserKind.PERSON, content_object__in=people)
        shown |= Q(user__kind=UserKind.SERVICE, content_object__in=tokens)
        rows = grant_model(model).objects.live().filter(ending, shown)
        if organization is not None:
            path = model.access_paths["organization"]
            rows = rows.filter(
                **{f"content_object__{path}" if path else "content_object": organization}
            )
        related = ("user__api_token", "permission__role", "content_object")
        for grant in rows.select_related(*related).order_by("expires_at", "pk")[:MOST_ENDS]:
            yield _end_of(grant, scope, now)


def _end_of(grant: Any, scope: str, now: datetime) -> End:
    token = getattr(grant.user, "api_token", None)
    ends = [at for at in (grant.expires_at, token and token.expires_at) if at]
    what = f"API token {token}" if token else f"{grant.role.name} of {grant.user}"
    return End(
        what=what,
        where=str(grant.content_object),
        url=_address(grant.content_object, scope, is_token=token is not None),
        at=min(ends),
        tone="warn",
    )


def _address(place: Any, scope: str, *, is_token: bool) -> str:
    """Return the page where it is made longer: of tokens, or of who has access."""
    if scope == "organization":
        return reverse(
            "organizations:tokens" if is_token else "organizations:members", args=[place.slug]
        )
    if scope == "workspace":
        name = "workspace_tokens" if is_token else "workspace_members"
        return reverse(f"organizations:{name}", args=[place.slug])
    return reverse("deployments:overview", args=[place.ref])
