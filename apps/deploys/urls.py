from django.urls import path

from apps.deploys import views
from apps.deploys.branches import views as branches
from apps.deploys.git import webhooks
from apps.deploys.git.pages import deployment_views
from apps.deploys.git.pages import views as git
from apps.deploys.previews.views import preview
from apps.deploys.promotion import views as promotion

app_name = "deploys"

urlpatterns = [
    path("d/<slug:ref>/deploys/", views.deploys, name="list"),
    path("d/<slug:ref>/deploys/previews/<int:number>/", preview, name="preview"),
    path("d/<slug:ref>/deploys/<int:number>/", views.detail, name="detail"),
    path("d/<slug:ref>/deploys/<int:number>/download/", views.download, name="download"),
    path("d/<slug:ref>/deploys/<int:number>/roll-back/", views.roll_back, name="roll_back"),
    path("d/<slug:ref>/deploys/<int:number>/cancel/", views.cancel, name="cancel"),
    path("d/<slug:ref>/deploys/compare/", promotion.compare, name="compare"),
    path("d/<slug:ref>/deploys/promotions/", promotion.promote, name="promote"),
    path("d/<slug:ref>/deploys/promotions/<int:number>/", promotion.promotion, name="promotion"),
    path("d/<slug:ref>/deploys/approval/", promotion.set_approval, name="approval"),
    path("w/<slug:slug>/git/approval/", promotion.set_default_approval, name="approval_default"),
    path("d/<slug:ref>/deploys/git/", deployment_views.source, name="git_source"),
    path("d/<slug:ref>/deploys/git/look/", deployment_views.look, name="git_look"),
    path(
        "d/<slug:ref>/deploys/git/disconnect/", deployment_views.disconnect, name="git_disconnect"
    ),
    path("d/<slug:ref>/deploys/enforcement/", deployment_views.enforce, name="enforcement"),
    path("w/<slug:slug>/git/", git.repositories, name="git_repositories"),
    path("w/<slug:slug>/git/new/", git.new_repository, name="new_git_repository"),
    path("w/<slug:slug>/git/enforcement/", git.set_default, name="enforcement_default"),
    path("w/<slug:slug>/git/<int:repository_id>/", git.repository, name="git_repository"),
    path(
        "w/<slug:slug>/git/<int:repository_id>/edit/",
        git.edit_repository,
        name="edit_git_repository",
    ),
    path(
        "w/<slug:slug>/git/<int:repository_id>/test/",
        git.test_repository,
        name="test_git_repository",
    ),
    path("w/<slug:slug>/git/<int:repository_id>/look/", git.look, name="look_at_git_repository"),
    path("w/<slug:slug>/git/<int:repository_id>/webhook/", git.webhook, name="make_git_webhook"),
    path("w/<slug:slug>/git/<int:repository_id>/states/", git.state_token, name="git_state_token"),
    path(
        "w/<slug:slug>/git/<int:repository_id>/branches/", branches.branch_rule, name="branch_rule"
    ),
    path(
        "w/<slug:slug>/git/<int:repository_id>/branches/remove/",
        branches.remove_branch_rule,
        name="remove_branch_rule",
    ),
    path("w/<slug:slug>/git/<int:repository_id>/trust/", git.trust, name="trust_git_host"),
    path("w/<slug:slug>/git/<int:repository_id>/remove/", git.remove, name="remove_git_repository"),
    path("hooks/git/<str:key>/", webhooks.receive, name="git_webhook"),
]
