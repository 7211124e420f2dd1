"""Look at every component of every page that is on, count its seconds, and keep its state.

One transaction under an advisory lock: a second process that comes at the same time leaves. A
constant number of statements, however many pages and components there are. Reports that follow from
a change are drafted in the same transaction.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Prefetch

from apps.deployments.models import Deployment
from apps.observability.incidents.models import Incident
from apps.status_pages.health import sensing
from apps.status_pages.health.hysteresis import GAP, look
from apps.status_pages.posting.drafting import follow_health
from apps.status_pages.reports.queries import open_reports
from apps.status_pages.setup.models import Component, StatusPage
from apps.status_pages.setup.states import State, worst

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('portal.status-pages'))"
_WRITTEN = ("state", "state_at", "seen_state", "seen_at", "looks", "evaluated_at")
_READ = ("ref", "phase", "health", "observed_at", "is_hibernating")
COUNTED = (
    State.OPERATIONAL,
    State.DEGRADED,
    State.PARTIAL,
    State.MAJOR,
    State.MAINTENANCE,
)
_COUNT = """
    INSERT INTO status_pages_componentday (
        component_id, day,
        operational, degraded_performance, partial_outage, major_outage, under_maintenance
    )
    SELECT one.id, %s, (one.state = 'operational')::int * one.seconds,
        (one.state = 'degraded_performance')::int * one.seconds,
        (one.state = 'partial_outage')::int * one.seconds,
        (one.state = 'major_outage')::int * one.seconds,
        (one.state = 'under_maintenance')::int * one.seconds
    FROM unnest(%s::bigint[], %s::text[], %s::float8[]) AS one (id, state, seconds)
    ON CONFLICT (component_id, day) DO UPDATE SET
        operational = status_pages_componentday.operational + excluded.operational,
        degraded_performance =
            status_pages_componentday.degraded_performance + excluded.degraded_performance,
        partial_outage = status_pages_componentday.partial_outage + excluded.partial_outage,
        major_outage = status_pages_componentday.major_outage + excluded.major_outage,
        under_maintenance =
            status_pages_componentday.under_maintenance + excluded.under_maintenance
"""


@transaction.atomic
def evaluate(*, now: datetime) -> int:
    """Look at all components once; return how many. `now` is the time of the look."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK)
        row = cursor.fetchone()
    if not row or not row[0]:
        return 0
    components = _components()
    if not components:
        return 0
    kinds = _kinds_by_deployment(components)
    told = _told(components, now)
    _count(components, told, now)
    changed = [one for one in components if _look(one, kinds, now)]
    Component.objects.bulk_create(
        components, update_conflicts=True, unique_fields=["id"], update_fields=_WRITTEN
    )
    if changed:
        pages = {one.page_id for one in changed}
        StatusPage.objects.filter(pk__in=pages).update(changed_at=now)
    follow_health(components=components, now=now)
    return len(components)


def _components() -> list[Component]:
    """List the components of pages that are on, those that were never looked at included."""
    deployments = Deployment.objects.only(*_READ)
    rows = Component.objects.filter(page__is_on=True).select_related("page", "cluster")
    # Written back as whole rows: one that is deleted meanwhile must not come back.
    rows = rows.select_for_update(of=("self",), no_key=True)
    return list(rows.prefetch_related(Prefetch("deployments", deployments)).order_by("pk"))


def _kinds_by_deployment(components: Iterable[Component]) -> dict[int, set[str]]:
    ids = {deployment.pk for one in components for deployment in one.deployments.all()}
    found: dict[int, set[str]] = {}
    rows = Incident.objects.open().filter(deployment__in=ids)
    for pk, kind in rows.values_list("deployment", "kind"):
        found.setdefault(pk, set()).add(kind)
    return found


def _look(component: Component, kinds: Mapping[int, set[str]], now: datetime) -> bool:
    has_changed = look(component, _found(component, kinds, now), now)
    component.evaluated_at = now
    return has_changed


def _found(component: Component, kinds: Mapping[int, set[str]], now: datetime) -> State:
    match component.source:
        case Component.Source.PORTAL:
            return State.OPERATIONAL
        case Component.Source.CLUSTER:
            return sensing.of_cluster(component.cluster, now)
    deployments = component.deployments.all()
    return sensing.together(
        sensing.of_deployment(one, kinds.get(one.pk, ()), now=now) for one in deployments
    )


def _told(components: Iterable[Component], now: datetime) -> dict[int, State]:
    """Return what open reports say of components, which stands whatever health says."""
    found: dict[int, State] = {}
    for report in open_reports({one.page_id for one in components}):
        state = report.state_at(now)
        for component in report.components.all():
            found[component.pk] = worst((found.get(component.pk, State.OPERATIONAL), state))
    return found


def _count(components: Iterable[Component], told: Mapping[int, State], now: datetime) -> None:
    """Add the time since the last look to the day, in the state that the page showed meanwhile."""
    rows = []
    for one in components:
        if one.evaluated_at is None or not one.evaluated_at <= now <= one.evaluated_at + GAP:
            continue
        state = worst((one.state, told.get(one.pk, State.OPERATIONAL)))
        if state in COUNTED:
            rows.append((one.pk, str(state), (now - one.evaluated_at).total_seconds()))
    if not rows:
        return
    ids, states, seconds = zip(*rows, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [now.date(), list(ids), list(states), list(seconds)])
