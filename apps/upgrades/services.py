"""Begin to check an upgrade, confirm it, cancel it: one transaction and one audit event each."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from packaging.version import Version

from apps.accounts.models import User
from apps.core.errors import Conflict, Invalid
from apps.deployments.configuration.options import deployment_options
from apps.deployments.configuration.validation import validate
from apps.deployments.database_version import present_of
from apps.deployments.models import Deployment
from apps.deployments.operations import lock_deployment, record_change
from apps.runtimes.catalogue import Runtime, offered_runtimes, runtimes
from apps.upgrades import jobs
from apps.upgrades.models import OPEN, UNDER_WAY, Upgrade, UpgradeState

LATEST_DAYS = 90


def targets_of(deployment: Deployment) -> list[Runtime]:
    """Return the offered runtimes with a newer Airflow than the Deployment's, newest first."""
    present = runtime_of(deployment)
    if present is None:
        return []
    offered = offered_runtimes(today=timezone.now().date())
    own = Version(present.airflow_version)
    return [one for one in offered if Version(one.airflow_version) > own]


def runtime_of(deployment: Deployment) -> Runtime | None:
    """Return the runtime that is wanted of a Deployment, None if the catalogue lost it."""
    if deployment.wanted is None:
        return None
    version = deployment.wanted.configuration.runtime
    return next((one for one in runtimes() if one.version == version), None)


def refusals_of(deployment: Deployment, target: str) -> list[str]:
    """Return why a configuration with runtime `target` would be refused, such as an image of
    people's own with another Airflow; none where it would not.
    """
    assert deployment.wanted is not None  # noqa: S101 - it has a runtime
    configuration = replace(deployment.wanted.configuration, runtime=target)
    options = deployment_options(
        cluster=deployment.cluster,
        workspace=deployment.workspace,
        today=timezone.now().date(),
    )
    present = present_of(deployment, options)
    problems = validate(configuration=configuration, options=options, present=present)
    return [one.message for one in problems]


@transaction.atomic
def begin_check(
    *, actor: User, deployment: Deployment, target: str, starts_at: datetime | None = None
) -> Upgrade:
    """Check what an upgrade would change; one that was checked and not confirmed is replaced.
    `starts_at` is when it is to begin if it is confirmed.

    Raises Invalid, with field "target", or Conflict while another one is under way.
    """
    deployment = lock_deployment(deployment)
    if target not in {one.version for one in targets_of(deployment)}:
        raise Invalid(f"{target[:30]} is no newer runtime that is offered.", field="target")
    open_one = Upgrade.objects.filter(deployment=deployment, state__in=OPEN).first()
    if open_one is not None and open_one.state in UNDER_WAY:
        raise Conflict("An upgrade of this Deployment is scheduled or under way.")
    if open_one is not None:
        _end(open_one, UpgradeState.CANCELLED)
    last: int | None = deployment.upgrades.aggregate(last=Max("number"))["last"]
    wanted = deployment.wanted
    assert wanted is not None  # noqa: S101 - it has a runtime
    upgrade = Upgrade.objects.create(
        deployment=deployment,
        number=(last or 0) + 1,
        source=wanted.configuration.runtime,
        target=target,
        base=wanted.number,
        starts_at=starts_at,
        created_by=actor,
    )
    record_change(actor, deployment, "upgrade.checked", _changed(upgrade))
    transaction.on_commit(partial(jobs.request_check, upgrade.pk), robust=True)
    return upgrade


@transaction.atomic
def confirm(*, actor: User, upgrade: Upgrade, starts_at: datetime | None) -> Upgrade:
    """Let an upgrade begin, now or at a time. Raises Conflict, or Invalid with "starts_at"."""
    deployment = lock_deployment(upgrade.deployment)
    upgrade = Upgrade.objects.select_for_update().get(pk=upgrade.pk)
    if upgrade.state != UpgradeState.READY:
        raise Conflict("This upgrade cannot be confirmed any more.")
    if deployment.wanted is None or deployment.wanted.number != upgrade.base:
        raise Conflict("The Deployment was changed since the check. Check again.")
    if refusals := refusals_of(deployment, upgrade.target):
        raise Conflict(f"The upgrade would be refused. {refusals[0]}")
    now = timezone.now()
    if starts_at is not None and not now <= starts_at <= now + timedelta(days=LATEST_DAYS):
        message = f"Choose a time within the next {LATEST_DAYS} days."
        raise Invalid(message, field="starts_at")
    upgrade.state, upgrade.starts_at, upgrade.confirmed_by = (
        UpgradeState.WAITING,
        starts_at,
        actor,
    )
    upgrade.save(update_fields=["state", "starts_at", "confirmed_by"])
    changed = _changed(upgrade) | {"begins": [None, starts_at.isoformat() if starts_at else "now"]}
    record_change(actor, deployment, "upgrade.confirmed", changed)
    return upgrade


@transaction.atomic
def cancel(*, actor: User, upgrade: Upgrade) -> None:
    """Cancel an upgrade that did not begin. Raises Conflict for one that did."""
    upgrade = Upgrade.objects.select_for_update().get(pk=upgrade.pk)
    if upgrade.state not in (UpgradeState.CHECKING, UpgradeState.READY, UpgradeState.WAITING):
        raise Conflict("This upgrade has begun or ended, so it cannot be cancelled.")
    _end(upgrade, UpgradeState.CANCELLED)
    record_change(actor, upgrade.deployment, "upgrade.cancelled", _changed(upgrade))


def _end(upgrade: Upgrade, state: UpgradeState) -> None:
    upgrade.state, upgrade.ended_at = state, timezone.now()
    upgrade.save(update_fields=["state", "ended_at"])


def _changed(upgrade: Upgrade) -> dict[str, Any]:
    return {"runtime": [upgrade.source, upgrade.target]}
