from django.urls import path

from apps.observability.views import analytics, logs

app_name = "observability"

urlpatterns = [
    path("d/<slug:ref>/analytics/", analytics.analytics, name="analytics"),
    path("d/<slug:ref>/analytics/points/", analytics.points, name="analytics_points"),
    path("d/<slug:ref>/analytics/csv/", analytics.download, name="analytics_csv"),
    path("d/<slug:ref>/logs/", logs.logs, name="logs"),
    path("d/<slug:ref>/logs/tail/", logs.tail, name="log_tail"),
    path("d/<slug:ref>/logs/download/", logs.download, name="log_download"),
]
