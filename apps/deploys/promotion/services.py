"""From asking for a promotion to the deploy that it becomes. Every step is audited."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Max
from django.urls import reverse
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.accounts.mail import deliver
from apps.accounts.models import User
from apps.core.errors import Conflict
from apps.deployments.models import Deployment, Operation
from apps.deployments.operations import lock_deployment
from apps.deploys import jobs
from apps.deploys.deliveries.origins import source_of
from apps.deploys.deliveries.recording import record_deploy, same_code
from apps.deploys.models import UNDER_WAY, Deploy, Promotion, PromotionState
from apps.deploys.promotion.conditions import (
    TargetChanged,
    ensure_author_still_may,
    ensure_base,
    ensure_decider_still_may,
    ensure_may_promote,
    ensure_other_person,
)
from apps.deploys.promotion.fitting import ensure_fits, way_of_packages
from apps.deploys.promotion.images import image_fields
from apps.deploys.promotion.queries import (
    approvers,
    running_deploy,
)
from apps.deploys.promotion.rules import needs_approval

MOST_AGE = timedelta(days=7)


class NothingToPromote(Conflict):
    """The source runs no code that was delivered to it."""


class SourceChanged(Conflict):
    """The source runs something else than what the person saw."""


class PromotionClosed(Conflict):
    """The promotion was decided on already, or has expired."""


class AlreadyAsked(Conflict):
    """The same promotion is under way. `promotion` is that one."""

    def __init__(self, promotion: Promotion) -> None:
        is_copying = promotion.state == PromotionState.COPYING
        super().__init__(
            "This promotion is under way already: its packages are being copied."
            if is_copying
            else "This promotion waits for approval already."
        )
        self.promotion = promotion


@transaction.atomic
def promote(
    *,
    actor: User,
    source: Deployment,
    target: Deployment,
    deploy_number: int,
    base_revision_number: int,
    description: str = "",
) -> Promotion:
    """Deploy to `target` what runs in `source`, or ask for approval where that is needed: then the
    promotion is open. Where the packages have to be brought to the cluster of the target first, it
    is copying, and a worker goes on. The numbers are those of what the actor has seen: the deploy
    that runs in the source, and the newest revision of the target.

    Raises NothingToPromote, SourceChanged, TargetChanged, DoesNotFit, AlreadyAsked, Refused, and as
    `record_deploy` does.
    """
    target = lock_deployment(target)
    deploy = _running(source, deploy_number)
    ensure_base(target, base_revision_number)
    ensure_may_promote(actor, deploy, target)
    ensure_fits(deploy, target)
    _ensure_not_asked(deploy, target)
    promotion = Promotion(
        deployment=target,
        number=_next_number(target),
        source=deploy,
        source_name=source.name,
        description=description.strip()[:500],
        created_by=actor,
        expires_at=timezone.now() + MOST_AGE,
    )
    promotion.save(force_insert=True)
    if needs_approval(target):
        _record("promotion_requested", actor, promotion)
        transaction.on_commit(partial(_tell_approvers, promotion), robust=True)
        return promotion
    return _proceed(promotion, target, actor)


@transaction.atomic
def approve(
    *, actor: User, promotion: Promotion, base_revision_number: int, now: datetime
) -> Promotion:
    """Deploy what was asked for. What the person who asked may do, and whether it fits, are checked
    as of now.

    Raises PromotionClosed, NotYours, TargetChanged, DoesNotFit, Refused, and as `record_deploy`.
    """
    target = lock_deployment(promotion.deployment)
    promotion = _locked(promotion, now)
    if needs_approval(target):
        ensure_other_person(actor, promotion)
    ensure_base(target, base_revision_number)
    deploy = _source(promotion)
    ensure_author_still_may(promotion, deploy, target)
    ensure_fits(deploy, target)
    return _proceed(promotion, target, actor)


@transaction.atomic
def finish(*, promotion: Promotion, now: datetime) -> None:
    """Deploy a promotion whose packages have been brought. Nothing happens to one that is not
    copying any more.

    Raises as `approve` does; what those who asked and approved may do is checked again.
    """
    target = lock_deployment(promotion.deployment)
    promotion = _row(promotion)
    if promotion.state != PromotionState.COPYING:
        return
    deploy = _source(promotion)
    ensure_base(target, promotion.base_number)
    ensure_author_still_may(promotion, deploy, target)
    ensure_decider_still_may(promotion, target)
    ensure_fits(deploy, target)
    if way_of_packages(deploy, target):
        raise TargetChanged(
            f"{target.name} has changed since you compared. Look at the difference again."
        )
    _deploy(promotion, target, promotion.decided_by)


@transaction.atomic
def fail(*, promotion: Promotion, problem: str) -> None:
    """Close a promotion whose packages could not be brought, or that may not go on after it."""
    promotion = _row(promotion)
    if promotion.state != PromotionState.COPYING:
        return
    promotion.state, promotion.problem, promotion.lease_until = (
        PromotionState.FAILED,
        problem[:1500],
        None,
    )
    promotion.save(update_fields=["state", "problem", "lease_until"])
    _record("promotion_failed", promotion.decided_by, promotion)


@transaction.atomic
def decline(*, actor: User, promotion: Promotion, now: datetime) -> Promotion:
    """Close a promotion without deploying it; whoever asked withdraws it with the same words.

    Raises PromotionClosed.
    """
    promotion = _locked(promotion, now)
    is_own = promotion.created_by_id == actor.pk
    state = PromotionState.WITHDRAWN if is_own else PromotionState.DECLINED
    _close(promotion, state, actor)
    _record(f"promotion_{state}", actor, promotion)
    return promotion


def expire_old(*, now: datetime) -> int:
    """Close promotions that were not decided on in time. Returns how many."""
    old = Promotion.objects.filter(state=PromotionState.OPEN, expires_at__lte=now)
    found = list(old.select_related("deployment__workspace__organization", "source"))
    return sum(_expire(one) for one in found)


@transaction.atomic
def _expire(promotion: Promotion) -> bool:
    rows = Promotion.objects.filter(pk=promotion.pk, state=PromotionState.OPEN)
    if not rows.update(state=PromotionState.EXPIRED):
        return False
    _record("promotion_expired", None, promotion)
    return True


def _running(source: Deployment, number: int) -> Deploy:
    deploy = running_deploy(source)
    if deploy is None:
        raise NothingToPromote(
            f"{source.name} runs no code that was deployed to it, so there is nothing to promote."
        )
    if deploy.number != number:
        raise SourceChanged(
            f"{source.name} runs deploy {deploy.number} by now. Compare again, then promote it."
        )
    deploy.deployment = source
    return deploy


def _source(promotion: Promotion) -> Deploy:
    above = ("deployment__applied", "deployment__cluster", "deployment__workspace__organization")
    rows = Deploy.objects.select_related(*above, "revision")
    deploy = rows.filter(pk=promotion.source_id).first() if promotion.source_id else None
    if deploy is None:
        raise NothingToPromote(
            f"The deploy of {promotion.source_name} was removed, so there is nothing to promote."
        )
    return deploy


def _row(promotion: Promotion) -> Promotion:
    rows = Promotion.objects.select_for_update(of=("self",)).select_related(
        "created_by", "decided_by", "source", "deployment__workspace__organization"
    )
    return rows.get(pk=promotion.pk)


def _locked(promotion: Promotion, now: datetime) -> Promotion:
    promotion = _row(promotion)
    if state_at(promotion, now) != PromotionState.OPEN:
        raise PromotionClosed("This promotion is not waiting for approval any more.")
    return promotion


def state_at(promotion: Promotion, now: datetime) -> PromotionState:
    """Return the state, in which one that is overdue has expired although no job noted it yet."""
    state = PromotionState(promotion.state)
    if state == PromotionState.OPEN and promotion.expires_at <= now:
        return PromotionState.EXPIRED
    return state


def _ensure_not_asked(deploy: Deploy, target: Deployment) -> None:
    rows = Promotion.objects.filter(deployment=target, source=deploy, state__in=UNDER_WAY)
    # One that is overdue makes room for a new one, before the daily job closes it.
    for one in rows.select_related("deployment__workspace__organization", "source"):
        if state_at(one, timezone.now()) in UNDER_WAY:
            raise AlreadyAsked(one)
        _expire(one)


def _tell_approvers(promotion: Promotion) -> None:
    """Mail some of those who may approve; none of them sees the addresses of the others."""
    target = promotion.deployment
    page = reverse("deploys:promotion", args=[target.ref, promotion.number])
    lines = [
        f"{promotion.created_by} asks to promote to {target.name} what runs in "
        f"{promotion.source_name}.",
        promotion.description,
        f"See what differs, then approve or decline it until {promotion.expires_at:%d %B %Y}:",
        f"{settings.PORTAL_URL}{page}",
    ]
    # No names in it: people choose theirs, and a subject is read as if the portal had written it.
    subject = "A promotion needs your approval"
    addresses = [one.email for one in approvers(promotion)]
    if addresses:
        deliver(EmailMessage(subject, "\n\n".join(filter(None, lines)), None, bcc=addresses))


def _next_number(target: Deployment) -> int:
    last: int | None = target.promotions.aggregate(last=Max("number"))["last"]
    return (last or 0) + 1


def _proceed(promotion: Promotion, target: Deployment, actor: User) -> Promotion:
    """Deploy a promotion that may be deployed, or let a worker bring its packages first."""
    if not way_of_packages(_source(promotion), target):
        return _deploy(promotion, target, actor)
    promotion.base_number = target.wanted.number if target.wanted else 0
    _close(promotion, PromotionState.COPYING, actor)
    _record("promotion_copying", actor, promotion)
    transaction.on_commit(partial(jobs.request_copy, promotion.pk), robust=True)
    return promotion


def _deploy(promotion: Promotion, target: Deployment, actor: User | None) -> Promotion:
    source = _source(promotion)
    author = promotion.created_by
    deploy = same_code(
        source,
        deployment=target,
        description=promotion.description or f"Promoted from {promotion.source_name}",
        promoted_from=source,
        created_by=author,
        source=source_of(author) if author else Deploy.Source.HAND,
        **image_fields(source, target),
    )
    reason = _reason(promotion)
    if actor is not None and actor.pk != promotion.created_by_id:
        reason = f"{reason}, approved by {actor}"
    record_deploy(actor=actor, deploy=deploy, kind=Operation.Kind.DEPLOY, reason=reason)
    promotion.deploy = deploy
    _close(promotion, PromotionState.DEPLOYED, actor)
    _record("promoted", actor, promotion)
    return promotion


def _close(promotion: Promotion, state: PromotionState, actor: User | None) -> None:
    promotion.state, promotion.decided_by = state, actor
    promotion.decided_at = promotion.decided_at or timezone.now()
    promotion.problem, promotion.lease_until = "", None
    changed = ["state", "decided_by", "decided_at", "deploy", "base_number", "problem"]
    promotion.save(update_fields=[*changed, "lease_until"])


def _reason(promotion: Promotion) -> str:
    number = promotion.source.number if promotion.source else "?"
    return f"Deploy {number} of {promotion.source_name}, promoted by {promotion.created_by}"


def _record(action: str, actor: User | None, promotion: Promotion) -> None:
    changes: dict[str, Any] = {"promotion": [None, promotion.number]}
    number = promotion.source.number if promotion.source else None
    changes["from"] = [None, f"{promotion.source_name}, deploy {number}"]
    if promotion.created_by_id != (actor.pk if actor else None):
        changes["asked for by"] = [None, str(promotion.created_by)]
    record_on(action=f"deployment.{action}", actor=actor, on=promotion.deployment, changes=changes)
