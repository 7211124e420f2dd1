"""Reads of the pages of runtimes."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from apps.accounts.models import User
from apps.deployments.models import Deployment, Phase
from apps.organizations.models import Organization
from apps.releases import trial
from apps.releases.models import Release, ReleaseState, Source
from apps.releases.vulnerabilities import Vulnerability, known_in
from apps.runtimes.catalogue import Runtime, offered_runtimes, runtimes
from apps.runtimes.notes import SOON

STEP_STATES = {"running": "now", "done": "done", "failed": "failed"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A runtime as the page shows it. `days_since` upstream released it; `hours` is how long after
    that it was offered, None where it came with the portal or a feed. `vulnerabilities` is None
    where no file says anything about them.
    """

    runtime: Runtime
    n_deployments: int
    is_recommended: bool
    is_offered: bool
    is_over: bool
    days_since: int
    days_left: int
    is_ending: bool
    release: Release | None
    hours: float | None
    vulnerabilities: tuple[Vulnerability, ...] | None


def catalogue_rows(*, organization: Organization, user: Any, today: date) -> list[Row]:
    """Return a row per runtime of the catalogue, newest first. Two queries."""
    counts = _counts(organization, user)
    tested = {one.runtime: one for one in Release.objects.filter(state=ReleaseState.TESTED)}
    offered = offered_runtimes(today=today)
    return [
        _row(one, counts, tested.get(one.version), offered[:1] == (one,), today)
        for one in runtimes()
    ]


def open_releases() -> list[Release]:
    """Return what is not offered: waiting, being tested, or failed; the newest first."""
    rows = Release.objects.exclude(state=ReleaseState.TESTED).defer("lock")
    return list(rows.order_by("-published_at")[:20])


def steps_of(release: Release) -> list[dict[str, Any]]:
    """Return the steps of a trial as the component shows them."""
    known = {one["key"]: one for one in release.steps}
    return [
        {
            "title": title,
            "state": _state(known.get(key), release),
            "detail": known.get(key, {}).get("detail", ""),
            "took_seconds": known.get(key, {}).get("seconds"),
        }
        for key, title in trial.titles(release)
    ]


def sources() -> dict[str, Source]:
    """Return what was learned of the index and of the feed, by name."""
    return {one.name: one for one in Source.objects.all()}


def is_stale(source: Source | None, *, now: datetime) -> bool:
    """Return whether a source was not read for a day."""
    if source is None or source.checked_at is None:
        return False
    return (now - source.checked_at).total_seconds() > 86_400


def _state(step: dict[str, Any] | None, release: Release) -> str:
    if step is not None:
        return STEP_STATES.get(step["state"], "wait")
    return "skipped" if release.state == ReleaseState.FAILED else "wait"


def _row(
    runtime: Runtime,
    counts: "Counter[str]",
    release: Release | None,
    is_recommended: bool,
    today: date,
) -> Row:
    left = (runtime.supported_until - today).days
    hours = None
    if release is not None and release.ended_at is not None:
        hours = (release.ended_at - release.published_at).total_seconds() / 3600
    return Row(
        runtime=runtime,
        n_deployments=counts[runtime.version],
        is_recommended=is_recommended,
        is_offered=runtime.is_offered(today=today),
        is_over=left < 0,
        days_since=max(0, (today - runtime.released).days),
        days_left=left,
        is_ending=0 <= left < SOON.days,
        release=release,
        hours=hours,
        vulnerabilities=known_in(runtime),
    )


def _counts(organization: Organization, user: User) -> "Counter[str]":
    rows = Deployment.objects.visible_to(user).filter(workspace__organization=organization)
    chosen = rows.exclude(phase=Phase.DELETED).values_list("wanted__config__runtime", flat=True)
    return Counter(version for version in chosen if version)
