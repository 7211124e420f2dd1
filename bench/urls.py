"""The product's addresses, an empty view under the same middleware, and Django's admin."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.web.gates import signed_in_only
from apps.deployments.models import Deployment
from apps.deployments.pages.list_queries import ListFilter, deployments_page
from apps.organizations.models import Workspace


class OpenSite(admin.AdminSite):
    """Let every user in: users of the portal have no staff flag."""

    def has_permission(self, request: HttpRequest) -> bool:
        return True


class DeploymentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """The changelist as the admin's documentation has it, with the facts of a row of our list."""

    list_display = (
        "name",
        "description",
        "workspace",
        "health",
        "health_message",
        "workers",
        "runtime",
        "wanted__summary",
        "wanted__created_at",
        "wanted__created_by",
    )
    list_select_related = ("workspace", "wanted__created_by")
    list_filter = ("health", "phase")
    search_fields = ("name",)
    ordering = ("name",)
    list_per_page = 50

    def workers(self, deployment: Deployment) -> str:
        queues = deployment.wanted.config["queues"] if deployment.wanted else []
        seen = {
            one["name"]: one["workers_ready"] for one in deployment.observation.get("queues", [])
        }
        return ", ".join(
            f"{queue['name']} {seen.get(queue['name'], 0)}/{queue['max_workers']}"
            for queue in queues
        )

    def runtime(self, deployment: Deployment) -> str:
        return str(deployment.wanted.config["runtime"]) if deployment.wanted else ""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    # With checkboxes to select rows, as for users who may run actions.
    has_add_permission = has_change_permission = has_delete_permission = has_view_permission


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@signed_in_only
def signed_in(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@scoped(Workspace, "workspace.view", by="slug")
def rows(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """Read what the list of Deployments shows, and show nothing: no page of it costs less."""
    deployments_page(user=request_user(request), workspace=workspace, wanted=ListFilter())
    return HttpResponse()


@scoped(Workspace, "workspace.view", by="slug")
def frame(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """Draw what stands around every page of a workspace, and nothing in it."""
    return render(request, "layouts/app.html", {"workspace": workspace})


site = OpenSite(name="bench")
site.register(Deployment, DeploymentAdmin)

urlpatterns = [
    path("bench/empty/", empty),
    path("bench/signed-in/", signed_in),
    path("bench/rows/<slug:slug>/", rows),
    path("bench/frame/<slug:slug>/", frame),
    path("bench/admin/", site.urls),
    path("", include("astro_portal.urls")),
]
handler400 = "apps.portal.views.errors.bad_request"
handler403 = "apps.portal.views.errors.forbidden"
handler404 = "apps.portal.views.errors.not_found"
handler500 = "apps.portal.views.errors.server_error"
