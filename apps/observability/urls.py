from django.urls import path

from apps.observability.incidents import views as incidents
from apps.observability.remote_write import views as remote_write
from apps.observability.scaling import views as scaling
from apps.observability.views import analytics, live, logs
from apps.observability.why import views as why

app_name = "observability"

urlpatterns = [
    path("d/<slug:ref>/analytics/", analytics.analytics, name="analytics"),
    path("d/<slug:ref>/analytics/points/", analytics.points, name="analytics_points"),
    path("d/<slug:ref>/analytics/csv/", analytics.download, name="analytics_csv"),
    path("d/<slug:ref>/scaling/", scaling.scaling, name="scaling"),
    path("d/<slug:ref>/scaling/points/", scaling.points, name="scaling_points"),
    path("d/<slug:ref>/scaling/replay/", scaling.replay, name="replay"),
    path("d/<slug:ref>/scaling/replay/points/", scaling.replay_points, name="replay_points"),
    path("d/<slug:ref>/logs/", logs.logs, name="logs"),
    path("d/<slug:ref>/logs/tail/", logs.tail, name="log_tail"),
    path("d/<slug:ref>/live/", live.status_stream, name="stream"),
    path("d/<slug:ref>/logs/live/", live.log_stream, name="log_stream"),
    path("d/<slug:ref>/logs/download/", logs.download, name="log_download"),
    path("d/<slug:ref>/incidents/", incidents.deployment_incidents, name="incidents"),
    path(
        "d/<slug:ref>/incidents/<int:incident_id>/",
        incidents.incident,
        name="incident",
    ),
    path(
        "d/<slug:ref>/incidents/<int:incident_id>/respond/",
        incidents.respond,
        name="respond",
    ),
    path("d/<slug:ref>/why/", why.why, name="why"),
    path("o/<slug:slug>/remote-write/", remote_write.remote_write, name="remote_write"),
    path("o/<slug:slug>/remote-write/remove/", remote_write.remove, name="remove_receiver"),
    path(
        "w/<slug:slug>/incidents/",
        incidents.workspace_incidents,
        name="workspace_incidents",
    ),
    path(
        "o/<slug:slug>/incidents/",
        incidents.organization_incidents,
        name="organization_incidents",
    ),
]
