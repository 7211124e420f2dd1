"""What pages of a Deployment show of its code."""

from typing import Any

from django import template
from django.template.context import Context

from apps.access.queries import denial_for
from apps.deployments.models import Deployment, Phase
from apps.deploys.deliveries.queries import code_warnings, deploy_to_roll_back_to

register = template.Library()

DELIVER = "deployment.deploys.create"


@register.inclusion_tag("deploys/_code_warnings.html")
def code_warnings_of(deployment: Deployment) -> dict[str, Any]:
    """Show what is wrong with the current code."""
    return {"warnings": code_warnings(deployment), "deployment": deployment}


@register.inclusion_tag("deploys/_offer_roll_back.html", takes_context=True)
def offer_roll_back(context: Context, deployment: Deployment) -> dict[str, Any]:
    """Offer the deploy before the current one, if there is one."""
    user = context["request"].user
    deploy = deploy_to_roll_back_to(deployment) if deployment.phase == Phase.ACTIVE else None
    denial = denial_for(user=user, permission=DELIVER, on=deployment) if deploy else None
    return {
        "deployment": deployment,
        "deploy": deploy,
        "may_deliver": deploy is not None and denial is None,
        "denial": denial,
        "csrf_token": context.get("csrf_token"),
    }
