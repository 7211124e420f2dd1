from django.urls import path

from apps.deployments.layering import views as layering
from apps.deployments.pages import (
    access,
    configure,
    deletion,
    listing,
    operations,
    overview,
    review,
    revisions,
    tokens,
)

app_name = "deployments"

urlpatterns = [
    path("deployment-settings/", layering.portal_settings, name="portal_settings"),
    path(
        "o/<slug:slug>/deployment-settings/",
        layering.organization_settings,
        name="organization_settings",
    ),
    path(
        "o/<slug:slug>/clusters/<int:cluster_id>/deployment-settings/",
        layering.cluster_settings,
        name="cluster_settings",
    ),
    path(
        "w/<slug:slug>/deployment-settings/",
        layering.workspace_settings,
        name="workspace_settings",
    ),
    path("w/<slug:slug>/deployments/", listing.deployments, name="list"),
    path("w/<slug:slug>/deployments/new/", configure.new, name="new"),
    path("w/<slug:slug>/drafts/<uuid:draft_id>/", review.review, name="review"),
    path("w/<slug:slug>/drafts/<uuid:draft_id>/edit/", configure.edit_draft, name="edit_draft"),
    path("w/<slug:slug>/drafts/<uuid:draft_id>/rebase/", review.rebase, name="rebase"),
    path("w/<slug:slug>/drafts/<uuid:draft_id>/discard/", review.discard, name="discard"),
    path("d/<slug:ref>/", overview.overview, name="overview"),
    path("d/<slug:ref>/configure/", configure.configure, name="configure"),
    path("d/<slug:ref>/settings/", layering.settings, name="settings"),
    path("d/<slug:ref>/revisions/", revisions.revisions, name="revisions"),
    path("d/<slug:ref>/revisions/<int:number>/", revisions.revision, name="revision"),
    path("d/<slug:ref>/revisions/<int:number>/restore/", revisions.restore, name="restore"),
    path("d/<slug:ref>/operations/", operations.operations, name="operations"),
    path("d/<slug:ref>/operations/<int:number>/", operations.operation, name="operation"),
    path("d/<slug:ref>/restart/", operations.restart_page, name="restart"),
    path("d/<slug:ref>/try-again/", operations.try_again, name="try_again"),
    path("d/<slug:ref>/put-back/", operations.revert_drift, name="put_back"),
    path("d/<slug:ref>/access/", access.access, name="access"),
    path("d/<slug:ref>/tokens/", tokens.tokens, name="tokens"),
    path("d/<slug:ref>/tokens/new/", tokens.new_token, name="new_token"),
    path("d/<slug:ref>/tokens/<int:token_id>/rotate/", tokens.rotate_token, name="rotate_token"),
    path("d/<slug:ref>/tokens/<int:token_id>/revoke/", tokens.revoke_token, name="revoke_token"),
    path("d/<slug:ref>/who/", access.who, name="who"),
    path("d/<slug:ref>/access/take/", access.take, name="take_role"),
    path("d/<slug:ref>/delete/", deletion.delete, name="delete"),
]
