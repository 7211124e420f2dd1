from django.urls import path

from apps.clusters.views import changes, clouds, connections, pages

app_name = "clusters"

urlpatterns = [
    path("o/<slug:slug>/clusters/", pages.cluster_list, name="list"),
    path("o/<slug:slug>/clusters/register/", connections.register, name="register"),
    path("o/<slug:slug>/clusters/find/<slug:cloud>/", clouds.find, name="find"),
    path("o/<slug:slug>/clusters/role.yaml", pages.manifest, name="manifest"),
    path("o/<slug:slug>/clusters/<int:cluster_id>/", pages.cluster_page, name="cluster"),
    path("o/<slug:slug>/clusters/<int:cluster_id>/check/", pages.check, name="check"),
    path("o/<slug:slug>/clusters/<int:cluster_id>/storage/", pages.storage, name="storage"),
    path("o/<slug:slug>/clusters/<int:cluster_id>/settings/", changes.settings, name="settings"),
    path(
        "o/<slug:slug>/clusters/<int:cluster_id>/workspaces/",
        changes.workspaces,
        name="workspaces",
    ),
    path(
        "o/<slug:slug>/clusters/<int:cluster_id>/credential/",
        connections.credential,
        name="credential",
    ),
    path(
        "o/<slug:slug>/clusters/<int:cluster_id>/credential/<slug:cloud>/",
        clouds.reconnect,
        name="reconnect",
    ),
    path("o/<slug:slug>/clusters/<int:cluster_id>/remove/", changes.remove, name="remove"),
]
