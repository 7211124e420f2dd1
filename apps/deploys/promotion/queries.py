"""Reads about promotions, and what can be compared."""

from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from apps.access.effective_grants import people_allowed
from apps.accounts.models import User
from apps.deployments.models import Deployment, Phase, Revision
from apps.deploys.deliveries.queries import begun_deploys
from apps.deploys.models import Deploy, Promotion, PromotionState
from apps.deploys.promotion.comparing import Difference, difference

SEE, DELIVER = "deployment.deploys.view", "deployment.deploys.create"
MOST_CHOICES = 500
LONGEST_CHAIN = 20
MOST_APPROVERS = 5

_CHAIN = """
WITH RECURSIVE chain(id, origin, depth) AS (
    SELECT id, COALESCE(promoted_from_id, rollback_of_id), 0 FROM deploys_deploy WHERE id = %s
    UNION ALL
    SELECT one.id, COALESCE(one.promoted_from_id, one.rollback_of_id), chain.depth + 1
    FROM deploys_deploy one JOIN chain ON one.id = chain.origin
    WHERE chain.depth < %s
)
SELECT id FROM chain ORDER BY depth
"""


def comparable_deployments(*, user: User, deployment: Deployment) -> QuerySet[Deployment]:
    """List the other Deployments of the organization whose deploys the user may see."""
    above = deployment.workspace.organization_id
    found = Deployment.objects.allowing(user, SEE)
    found = found.filter(workspace__organization=above, phase=Phase.ACTIVE)
    found = found.exclude(pk=deployment.pk).select_related(
        "workspace__organization", "cluster", "wanted", "applied"
    )
    return found.order_by("workspace__name", "name")


def running_deploy(deployment: Deployment) -> Deploy | None:
    """Return the deploy whose code runs, with its files; None for the example DAGs.

    Unlike `current_deploy`, one that is still being applied does not count.
    """
    applied = deployment.applied
    if applied is None or not applied.code_digest:
        return None
    rows = begun_deploys(deployment, of=applied).filter(revision__number__lte=applied.number)
    return rows.select_related("created_by", "revision").first()


def difference_between(*, deploy: Deploy, target: Deployment) -> Difference:
    """Compare a deploy, with the configuration that its Deployment runs, with what `target` will
    run once its wanted revision is applied.
    """
    wanted = target.wanted
    before = None
    if wanted is not None:
        before = begun_deploys(target, of=wanted).first()
    source_configuration = running_revision(deploy).configuration
    return difference(
        source=deploy,
        target=before,
        source_configuration=source_configuration,
        target_configuration=wanted.configuration if wanted else source_configuration,
    )


def running_revision(deploy: Deploy) -> Revision:
    """Return the revision that says which runtime the Deployment of a deploy runs."""
    revision = deploy.deployment.applied or deploy.revision
    assert revision is not None  # noqa: S101 - what runs has begun
    return revision


def promotion_of(deployment: Deployment, number: int) -> Promotion | None:
    """Return a promotion with all that its page shows."""
    rows = Promotion.objects.filter(deployment=deployment, number=number)
    return rows.select_related(
        "created_by",
        "decided_by",
        "deploy",
        "source__created_by",
        "source__revision",
        "source__deployment__applied",
        "source__deployment__cluster",
        "source__deployment__workspace__organization",
    ).first()


def promotions_of(deployment: Deployment) -> QuerySet[Promotion]:
    """List all promotions to a Deployment, newest first, without what the deploys contain."""
    rows = Promotion.objects.filter(deployment=deployment)
    rows = rows.select_related("created_by", "decided_by", "source")
    heavy = ("source__files", "source__dags", "source__packages")
    return rows.defer(*heavy).order_by("-number")


def open_promotions(deployment: Deployment, *, now: Any) -> QuerySet[Promotion]:
    """List what waits for approval or is being copied, newest first."""
    waits = Q(state=PromotionState.OPEN, expires_at__gt=now)
    rows = Promotion.objects.filter(waits | Q(state=PromotionState.COPYING), deployment=deployment)
    return rows.select_related("created_by").order_by("-number")


def approvers(promotion: Promotion) -> list[User]:
    """List people who may approve a promotion, nearest first; not all of many."""
    people = people_allowed(permission=DELIVER, on=promotion.deployment)
    return [one for one in people if one.pk != promotion.created_by_id][:MOST_APPROVERS]


def chain_of(deploy: Deploy, *, user: User) -> list[Deploy]:
    """List where the code of a deploy ran before it came here, newest first: what it was promoted
    from or rolled back to, and so on, each with `is_visible` and `place`. Empty where it was never
    in another Deployment.
    """
    if deploy.promoted_from_id is None and deploy.rollback_of_id is None:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_CHAIN, [deploy.pk, LONGEST_CHAIN])
        order = [row[0] for row in cursor.fetchall()][1:]
    rows = Deploy.objects.filter(pk__in=order).select_related("deployment", "created_by")
    found = {one.pk: one for one in rows.defer("files", "dags", "packages")}
    places = {one.deployment_id for one in found.values()}
    seen = Deployment.objects.allowing(user, SEE).filter(pk__in=places)
    visible = set(seen.values_list("pk", flat=True))
    chain = [found[pk] for pk in order if pk in found]
    for one in chain:
        one.is_visible = one.deployment_id in visible  # type: ignore[attr-defined]  # for the page
        one.place = f"{one.deployment.name}, deploy {one.number}"  # type: ignore[attr-defined]
    return chain if any(one.deployment_id != deploy.deployment_id for one in chain) else []
