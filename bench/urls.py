"""The product's addresses, an empty view under the same middleware, and Django's admin."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from apps.deployments.models import Deployment


class OpenSite(admin.AdminSite):
    """Let everybody look: users of the portal have no staff flag."""

    def has_permission(self, request: HttpRequest) -> bool:
        return True


class DeploymentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "workspace", "health", "wanted", "observed_at", "created_by")
    list_select_related = ("workspace", "wanted", "created_by")
    list_filter = ("health", "phase")
    search_fields = ("name",)
    list_per_page = 50

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


site = OpenSite(name="bench")
site.register(Deployment, DeploymentAdmin)

urlpatterns = [
    path("bench/empty/", empty),
    path("bench/admin/", site.urls),
    path("", include("astro_portal.urls")),
]
handler400 = "apps.portal.views.errors.bad_request"
handler403 = "apps.portal.views.errors.forbidden"
handler404 = "apps.portal.views.errors.not_found"
handler500 = "apps.portal.views.errors.server_error"
