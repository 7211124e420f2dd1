"""Who may promote, and approve, and that the target is as it was seen. Checked at every step."""

from django.db.models import Q

from apps.access.queries import forget_permissions
from apps.accounts.models import User, UserKind
from apps.core.errors import Conflict, Refused
from apps.deployments.models import Deployment
from apps.deploys.deliveries.enforcement import ensure_may_deliver
from apps.deploys.models import Deploy, Promotion
from apps.deploys.promotion.queries import DELIVER, LONGEST_CHAIN, SEE
from apps.organizations.models import ApiToken


class TargetChanged(Conflict):
    """The target was changed since the person looked at the difference."""


class NotYours(Refused):
    """This person or program may not decide on the promotion."""


def ensure_base(target: Deployment, number: int) -> None:
    if target.wanted is not None and target.wanted.number != number:
        raise TargetChanged(
            f"{target.name} has changed since you compared. Look at the difference again."
        )


def ensure_may_promote(actor: User, deploy: Deploy, target: Deployment) -> None:
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


def ensure_other_person(actor: User, promotion: Promotion) -> None:
    if actor.kind != UserKind.PERSON:
        raise NotYours("An API token cannot approve a promotion: a person has to.")
    if promotion.created_by_id in (None, actor.pk) or _made_token(actor, promotion.created_by_id):
        raise NotYours("You asked for this promotion, so another person has to approve it.")


def _made_token(actor: User, user_id: int | None) -> bool:
    """Return whether the one who asked is an API token whose secret the actor may know."""
    mine = Q(created_by=actor) | Q(secrets__made_by=actor)
    return ApiToken.objects.filter(mine, user=user_id).exists()


def ensure_author_still_may(promotion: Promotion, deploy: Deploy, target: Deployment) -> None:
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


def ensure_decider_still_may(promotion: Promotion, target: Deployment) -> None:
    """What copying takes is time in which a person can leave."""
    decider = promotion.decided_by
    if decider is not None and decider.is_active:
        forget_permissions(decider)
        if decider.has_perm(DELIVER, target):
            return
    who = str(decider) if decider is not None else "The person"
    raise Refused(f"{who}, who let this promotion go on, may no longer deploy to {target.name}.")
