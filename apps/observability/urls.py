from django.urls import path

from apps.observability.views import logs

app_name = "observability"

urlpatterns = [
    path("d/<slug:ref>/logs/", logs.logs, name="logs"),
    path("d/<slug:ref>/logs/tail/", logs.tail, name="log_tail"),
    path("d/<slug:ref>/logs/download/", logs.download, name="log_download"),
]
