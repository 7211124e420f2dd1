"""All operations of the API under one roof, and the document that describes them."""

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from ninja import NinjaAPI

from apps.api.alerts import channels, messages, opened, previews, rules, silences
from apps.api.changes import deploys, drift, hibernation, operations, revisions
from apps.api.deployments import differences, environment, items, logs, options, promotions
from apps.api.git import branches, repositories, sources
from apps.api.moving import bulk_actions, copies, environment_files, transfers
from apps.api.observing import dags, history, incidents, remote_write, scaling, waiting
from apps.api.people import custom_roles, teams, tokens, users
from apps.api.places import cloud_clusters, deployment_settings, organizations, workspaces
from apps.api.reporting import objectives, prices, usage, webhooks
from apps.api.status import components, pages, reports, subscribers
from apps.api.upkeep import (
    backup_schedules,
    backups,
    buckets,
    imports,
    package_indexes,
    upgrades,
)
from apps.api.wire.etags import JsonAnswers, etag_of
from apps.api.wire.explaining import explain_in

ROUTERS = (
    organizations.router,
    workspaces.router,
    # That of `clusters`: one address takes all its methods from one router.
    cloud_clusters.router,
    deployment_settings.router,
    options.router,
    items.router,
    copies.router,
    transfers.router,
    bulk_actions.router,
    differences.router,
    deploys.router,
    promotions.router,
    package_indexes.router,
    backups.router,
    backup_schedules.router,
    buckets.router,
    imports.router,
    upgrades.router,
    environment.router,
    environment_files.router,
    logs.router,
    operations.router,
    hibernation.router,
    revisions.router,
    drift.router,
    repositories.router,
    branches.router,
    sources.router,
    history.router,
    scaling.router,
    waiting.router,
    dags.router,
    incidents.router,
    remote_write.router,
    rules.router,
    previews.router,
    channels.router,
    silences.router,
    messages.router,
    opened.router,
    users.router,
    teams.router,
    # That of `roles`.
    custom_roles.router,
    tokens.router,
    usage.router,
    prices.router,
    objectives.router,
    webhooks.router,
    pages.router,
    components.router,
    reports.router,
    subscribers.router,
)


class PortalAPI(NinjaAPI):
    """No answer is kept by anything between the portal and a client. A client that has one may ask
    whether it still holds: `If-None-Match`.
    """

    def create_temporal_response(self, request: HttpRequest) -> HttpResponse:
        response = super().create_temporal_response(request)
        response["Cache-Control"] = "no-store"
        return response

    def create_response(
        self,
        request: HttpRequest,
        data: Any,
        *,
        status: int | None = None,
        temporal_response: HttpResponse | None = None,
    ) -> HttpResponse:
        response = super().create_response(
            request, data, status=status, temporal_response=temporal_response
        )
        if request.method != "GET" or response.status_code != HTTPStatus.OK:
            return response
        etag = response["ETag"] = etag_of(response.content)
        found: HttpResponse | None = get_conditional_response(request, etag, None, response)
        return found or response


api = PortalAPI(
    title="Astro Portal",
    version="1.0",
    description=(
        "Everything that the pages of the portal do, for programs. Send a token in the header "
        "“Authorization: Bearer …”. Updates are POST to the address of the object; lists take "
        "offset, limit and sorts; a refusal is JSON with a message and the ID of the request."
    ),
    urls_namespace="api",
    docs_url=None,
    openapi_url=None,
    renderer=JsonAnswers(),
)
explain_in(api)
for router in ROUTERS:
    api.add_router("", router)
