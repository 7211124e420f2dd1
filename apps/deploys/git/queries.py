"""Reads about repositories, and about what Deployments take from them."""

from django.db.models import BooleanField, Count, ExpressionWrapper, Q, QuerySet

from apps.deployments.models import Deployment, Phase
from apps.deploys.models import GitRepository, GitSource
from apps.organizations.models import Workspace


def repositories_of(*, workspace: Workspace, search: str = "") -> QuerySet[GitRepository]:
    """List the repositories of a workspace by address, with `deployment_count`, `has_token`,
    `has_webhook` and `has_state_token`. `search` is part of an address.
    """
    followed = Count("sources", filter=Q(sources__deployment__phase=Phase.ACTIVE))
    found = GitRepository.objects.filter(workspace=workspace).select_related("connected_by")
    if search:
        found = found.filter(url__icontains=search)
    found = found.annotate(
        deployment_count=followed,
        has_token=_is_set("secret"),
        has_webhook=_is_set("webhook_secret"),
        has_state_token=_is_set("state_token"),
    )
    # Secrets are read by what uses them, never for a page.
    return found.defer("secret", "webhook_secret", "state_token").order_by("url")


def sources_of(*, repository: GitRepository) -> QuerySet[GitSource]:
    """List what existing Deployments take from a repository, by their names."""
    active = repository.sources.filter(deployment__phase=Phase.ACTIVE)
    return active.select_related("deployment", "set_by").order_by("deployment__name")


def source_of(deployment: Deployment) -> GitSource | None:
    """Return where a Deployment gets its code from, None if it is not connected to git."""
    sources = GitSource.objects.filter(deployment=deployment)
    return (
        sources.select_related("repository", "set_by")
        .defer("repository__secret", "repository__state_token")
        .first()
    )


def _is_set(field: str) -> "ExpressionWrapper[Q]":
    return ExpressionWrapper(Q(**{f"{field}__isnull": False}), output_field=BooleanField())
