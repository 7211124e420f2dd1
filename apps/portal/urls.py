from django.urls import path

from apps.core.styleguide.views import styleguide
from apps.portal.digests import views as digests
from apps.portal.support import views as support
from apps.portal.views import (
    documentation,
    find,
    health,
    home,
    organization,
    pins,
    setup,
    workspace,
)

app_name = "portal"

urlpatterns = [
    path("", home.home, name="home"),
    path("healthz", health.healthz, name="healthz"),
    path("setup/<str:token>/", setup.setup, name="setup"),
    path("help/", support.support, name="support"),
    path("help/diagnostics/", support.download, name="diagnostics"),
    path("account/digest/", digests.digest, name="digest"),
    path("digest/<uuid:digest_key>/end/", digests.end, name="end_digest"),
    path("search", find.find, name="search"),
    path("docs/", documentation.documentation, name="docs"),
    path("docs/<path:page_name>/", documentation.documentation, name="documentation"),
    path("styleguide/", styleguide, name="styleguide"),
    path("o/<slug:slug>/", organization.organization, name="organization"),
    path("w/<slug:slug>/", home.workspace, name="workspace"),
    path("w/<slug:slug>/pin/", pins.pin_workspace, name="pin_workspace"),
    path("d/<slug:ref>/pin/", pins.pin_deployment, name="pin_deployment"),
    path("w/<slug:slug>/delete/", workspace.delete, name="delete_workspace"),
]
