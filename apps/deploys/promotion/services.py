"""From asking for a promotion to the deploy that it becomes. Every step is audited."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Max, Q
from django.urls import reverse
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.access.queries import forget_permissions
from apps.accounts.mail import deliver
from apps.accounts.models import User, UserKind
from apps.clusters.images import project_image
from apps.core.errors import Conflict, Refused
from apps.deployments.models import Deployment, Operation
from apps.deployments.operations import lock_deployment
from apps.deployments.reconciling.compiler import runtime_spec
from apps.deploys.deliveries.enforcement import ensure_may_deliver
from apps.deploys.deliveries.origins import source_of
from apps.deploys.deliveries.queries import most_code_bytes, takes_projects
from apps.deploys.deliveries.services import record_deploy, same_code
from apps.deploys.models import Deploy, Promotion, PromotionState
from apps.deploys.promotion.queries import (
    DELIVER,
    LONGEST_CHAIN,
    SEE,
    approvers,
    running_deploy,
    running_revision,
)
from apps.deploys.promotion.rules import needs_approval
from apps.organizations.models import ApiToken

MOST_AGE = timedelta(days=7)


class NothingToPromote(Conflict):
    """The source runs no code that was delivered to it."""


class SourceChanged(Conflict):
    """The source runs something else than what the person saw."""


class TargetChanged(Conflict):
    """The target was changed since the person looked at the difference."""


class DoesNotFit(Conflict):
    """The code cannot run in the target as it is configured."""


class PromotionClosed(Conflict):
    """The promotion was decided on already, or has expired."""


class AlreadyAsked(Conflict):
    """The same promotion waits for approval. `promotion` is that one."""

    def __init__(self, promotion: Promotion) -> None:
        super().__init__("This promotion waits for approval already.")
        self.promotion = promotion


class NotYours(Refused):
    """This person or program may not decide on the promotion."""


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
    promotion is open. The numbers are those of what the actor has seen: the deploy that runs in the
    source, and the newest revision of the target.

    Raises NothingToPromote, SourceChanged, TargetChanged, DoesNotFit, AlreadyAsked, Refused, and as
    `record_deploy` does.
    """
    target = lock_deployment(target)
    deploy = _running(source, deploy_number)
    _ensure_base(target, base_revision_number)
    _ensure_may_promote(actor, deploy, target)
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
    return _deploy(promotion, target, actor, reason=_reason(promotion))


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
        _ensure_other_person(actor, promotion)
    _ensure_base(target, base_revision_number)
    deploy = _source(promotion)
    _ensure_author_still_may(promotion, deploy, target)
    ensure_fits(deploy, target)
    return _deploy(promotion, target, actor, reason=f"{_reason(promotion)}, approved by {actor}")


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
    above = ("deployment__applied", "deployment__workspace__organization", "revision")
    rows = Deploy.objects.select_related(*above)
    deploy = rows.filter(pk=promotion.source_id).first() if promotion.source_id else None
    if deploy is None:
        raise NothingToPromote(
            f"The deploy of {promotion.source_name} was removed, so there is nothing to promote."
        )
    return deploy


def _locked(promotion: Promotion, now: datetime) -> Promotion:
    rows = Promotion.objects.select_for_update(of=("self",)).select_related(
        "created_by", "source", "deployment__workspace__organization"
    )
    promotion = rows.get(pk=promotion.pk)
    if state_at(promotion, now) != PromotionState.OPEN:
        raise PromotionClosed("This promotion is not waiting for approval any more.")
    return promotion


def state_at(promotion: Promotion, now: datetime) -> PromotionState:
    """Return the state, in which one that is overdue has expired although no job noted it yet."""
    state = PromotionState(promotion.state)
    if state == PromotionState.OPEN and promotion.expires_at <= now:
        return PromotionState.EXPIRED
    return state


def _ensure_base(target: Deployment, number: int) -> None:
    if target.wanted is not None and target.wanted.number != number:
        raise TargetChanged(
            f"{target.name} has changed since you compared. Look at the difference again."
        )


def _ensure_may_promote(actor: User, deploy: Deploy, target: Deployment) -> None:
    source = deploy.deployment
    if source.workspace.organization_id != target.workspace.organization_id:
        raise Refused("Promote within one organization only.")
    if not actor.has_perm(SEE, source) or not actor.has_perm(DELIVER, target):
        raise Refused(f"You may not deploy to {target.name} what runs in {source.name}.")
    ensure_may_bring(actor, deploy, target)


def ensure_may_bring(actor: User, deploy: Deploy, target: Deployment) -> None:
    """Where CI/CD enforcement is on, what git or a pipeline delivered elsewhere may come, and what
    a person uploaded there may not: a promotion or a copy is no way around it. Raises Refused.
    """
    if _came_by_hand(deploy):
        ensure_may_deliver(actor=actor, deployment=target)


def _came_by_hand(deploy: Deploy) -> bool:
    for _ in range(LONGEST_CHAIN):
        before = deploy.promoted_from or deploy.rollback_of
        if before is None:
            break
        deploy = before
    return deploy.source == Deploy.Source.HAND


def ensure_fits(deploy: Deploy, target: Deployment) -> None:
    """Raise DoesNotFit for code that cannot run in a Deployment as it is configured."""
    most = most_code_bytes(target)
    if most is not None and deploy.size_bytes > most:
        raise DoesNotFit(
            f"The code is larger than the {most // 1_000_000} MB that {target.name} accepts."
        )
    if not deploy.packages_digest:
        return
    if not takes_projects(target):
        raise DoesNotFit(
            f"The code needs packages that were installed for {deploy.deployment.name}, and "
            f"{target.name} has the packages of its image."
        )
    runtime = running_revision(deploy).configuration.runtime
    if target.wanted is not None and target.wanted.configuration.runtime != runtime:
        raise DoesNotFit(
            f"The packages were chosen for runtime {runtime}, and {target.name} has "
            f"{target.wanted.configuration.runtime}. Give both the same runtime first."
        )
    if target.cluster.is_kubernetes and not _has_image(target, deploy.packages_digest):
        raise DoesNotFit(
            f"The packages were installed into an image that {target.name} cannot use: it runs on "
            "another cluster, or from another image. Deploy the same code to it once."
        )


def _has_image(target: Deployment, packages_digest: str) -> bool:
    if target.wanted is None:
        return False
    image = runtime_spec(target.wanted.configuration).image
    return bool(
        project_image(cluster=target.cluster, runtime_image=image, packages_digest=packages_digest)
    )


def _ensure_not_asked(deploy: Deploy, target: Deployment) -> None:
    rows = Promotion.objects.filter(deployment=target, source=deploy, state=PromotionState.OPEN)
    # One that is overdue makes room for a new one, before the daily job closes it.
    for one in rows.select_related("deployment__workspace__organization", "source"):
        if state_at(one, timezone.now()) == PromotionState.OPEN:
            raise AlreadyAsked(one)
        _expire(one)


def _ensure_other_person(actor: User, promotion: Promotion) -> None:
    if actor.kind != UserKind.PERSON:
        raise NotYours("An API token cannot approve a promotion: a person has to.")
    if promotion.created_by_id in (None, actor.pk) or _made_token(actor, promotion.created_by_id):
        raise NotYours("You asked for this promotion, so another person has to approve it.")


def _made_token(actor: User, user_id: int | None) -> bool:
    """Return whether the one who asked is an API token whose secret the actor may know."""
    mine = Q(created_by=actor) | Q(secrets__made_by=actor)
    return ApiToken.objects.filter(mine, user=user_id).exists()


def _ensure_author_still_may(promotion: Promotion, deploy: Deploy, target: Deployment) -> None:
    author = promotion.created_by
    if author is not None and author.is_active:
        forget_permissions(author)
        if author.has_perm(DELIVER, target) and author.has_perm(SEE, deploy.deployment):
            ensure_may_bring(author, deploy, target)
            return
    who = str(author) if author is not None else "The person"
    raise Refused(
        f"{who}, who asked for this promotion, may no longer deploy to {target.name}. Decline it, "
        "and let a person who may ask again."
    )


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


def _deploy(promotion: Promotion, target: Deployment, actor: User, *, reason: str) -> Promotion:
    source = _source(promotion)
    author = promotion.created_by
    deploy = same_code(
        source,
        deployment=target,
        description=promotion.description or f"Promoted from {promotion.source_name}",
        promoted_from=source,
        created_by=author,
        source=source_of(author) if author else Deploy.Source.HAND,
    )
    record_deploy(actor=actor, deploy=deploy, kind=Operation.Kind.DEPLOY, reason=reason)
    promotion.deploy = deploy
    _close(promotion, PromotionState.DEPLOYED, actor)
    _record("promoted", actor, promotion)
    return promotion


def _close(promotion: Promotion, state: PromotionState, actor: User) -> None:
    promotion.state, promotion.decided_by, promotion.decided_at = state, actor, timezone.now()
    promotion.save(update_fields=["state", "decided_by", "decided_at", "deploy"])


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
