from django.urls import include, path

from apps.sso.sign_in.views import sign_in

urlpatterns = [
    # First, because programs call most often: each line above it would be asked before.
    path("", include("apps.api.urls")),
    path("", include("apps.portal.urls")),
    path("", include("apps.organizations.urls")),
    path("", include("apps.clusters.urls")),
    path("", include("apps.deployments.urls")),
    path("", include("apps.package_indexes.urls")),
    path("", include("apps.registry.urls")),
    path("", include("apps.environment.urls")),
    path("", include("apps.deploys.urls")),
    path("", include("apps.airflow_imports.urls")),
    path("", include("apps.object_stores.urls")),
    path("", include("apps.backups.urls")),
    path("", include("apps.hibernation.urls")),
    path("", include("apps.releases.urls")),
    path("", include("apps.upgrades.urls")),
    path("", include("apps.airflow_access.urls")),
    path("", include("apps.dags.urls")),
    path("", include("apps.observability.urls")),
    path("", include("apps.alerts.urls")),
    path("", include("apps.webhooks.urls")),
    path("", include("apps.objectives.urls")),
    path("", include("apps.usage.urls")),
    path("", include("apps.status_pages.urls")),
    path("", include("apps.moving.urls")),
    path("", include("apps.bulk_actions.urls")),
    path("", include("apps.accounts.urls")),
    # allauth resolves these by their names.
    path("", include(([path("", include(("apps.api.oauth.urls", "oidc")))], "idp"))),
    path("", include("apps.sso.urls")),
    # allauth resolves this page by its name.
    path("accounts/login/", sign_in, name="account_login"),
    path("accounts/", include("apps.accounts.sign_in.urls")),
]

handler400 = "apps.portal.views.errors.bad_request"
handler403 = "apps.portal.views.errors.forbidden"
handler404 = "apps.portal.views.errors.not_found"
handler500 = "apps.portal.views.errors.server_error"
