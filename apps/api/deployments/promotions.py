"""Promotions: run in a Deployment what another one runs, or ask for approval. People approve."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from ninja import Path, Query, Router
from pydantic import Field

from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import Listing, Profile, Shape, profile_of
from apps.core.public_ids import number_of, public_id
from apps.deploys.models import Promotion
from apps.deploys.promotion.queries import (
    DELIVER,
    SEE,
    comparable_deployments,
    promotion_of,
    promotions_of,
    running_deploy,
)
from apps.deploys.promotion.services import promote, state_at

router = Router(by_alias=True, exclude_none=True, tags=["Promotion"])


class AtPromotion(AtDeployment):
    promotion_number: int


class PromotionShape(Shape):
    """`status` is OPEN, COPYING, DEPLOYED, FAILED, DECLINED, WITHDRAWN or EXPIRED; `problem` says
    why the last attempt to copy packages failed. What cannot be seen any more of the source is left
    out.
    """

    number: int
    deployment_id: str
    source_deployment_id: str | None = None
    source_deployment_name: str
    source_deploy_number: int | None = None
    deploy_id: str | None = None
    status: str
    description: str
    problem: str | None = None
    created_at: datetime
    expires_at: datetime
    created_by_subject: Profile
    decided_at: datetime | None = None
    decided_by_subject: Profile | None = None


class PromotionList(Listing):
    promotions: list[PromotionShape]


class NewPromotion(Shape):
    source_deployment_id: str
    description: str = Field(default="", max_length=500)


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/promotions",
    auth=on_deployment(SEE),
    response=PromotionList,
    operation_id="ListPromotions",
    summary="List promotions to a Deployment, the newest first",
)
def list_promotions(request: Call, at: Path[AtDeployment], asked: Query[Paging]) -> Any:
    page = page_of(promotions_of(request.found), asked, sorts={"number": "-number"})
    rows = [_shape(one) for one in page.rows]
    return PromotionList(promotions=rows, **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/promotions",
    auth=on_deployment(DELIVER),
    response=PromotionShape,
    operation_id="CreatePromotion",
    summary="Deploy what another Deployment runs, or ask for approval",
)
@once
def new_promotion(request: Call, at: Path[AtDeployment], body: NewPromotion) -> Any:
    """The code and the packages that run in the source, unchanged. Where approval is needed the
    answer has the status OPEN, and another person approves it in the portal; while packages are
    copied to another cluster it is COPYING. 404 where the source
    cannot be seen, 409 where it does not fit.
    """
    caller, target = request.caller.user, request.found
    number = number_of("deployment", body.source_deployment_id)
    found = comparable_deployments(user=caller, deployment=target)
    source = or_404(found.filter(pk=number).first())
    running = running_deploy(source)
    made = promote(
        actor=caller,
        source=source,
        target=target,
        deploy_number=running.number if running else 0,
        base_revision_number=target.wanted.number if target.wanted else 0,
        description=body.description,
    )
    return _shape(made)


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/promotions/{promotionNumber}",
    auth=on_deployment(SEE),
    response=PromotionShape,
    operation_id="GetPromotion",
    summary="Get a promotion",
)
def get_promotion(request: Call, at: Path[AtPromotion]) -> Any:
    found = or_404(promotion_of(request.found, at.promotion_number))
    return _shape(found)


def _shape(promotion: Promotion) -> PromotionShape:
    source = promotion.source
    is_decided = promotion.decided_at is not None
    return PromotionShape(
        number=promotion.number,
        deployment_id=public_id("deployment", promotion.deployment_id),
        source_deployment_id=public_id("deployment", source.deployment_id) if source else None,
        source_deployment_name=promotion.source_name,
        source_deploy_number=source.number if source else None,
        deploy_id=public_id("deploy", promotion.deploy_id) if promotion.deploy_id else None,
        status=state_at(promotion, timezone.now()).upper(),
        description=promotion.description,
        problem=promotion.problem or None,
        created_at=promotion.created_at,
        expires_at=promotion.expires_at,
        created_by_subject=profile_of(promotion.created_by),
        decided_at=promotion.decided_at,
        decided_by_subject=profile_of(promotion.decided_by) if is_decided else None,
    )
