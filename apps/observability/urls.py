from django.urls import path

from apps.observability.views import airflow, logs

app_name = "observability"

urlpatterns = [
    path("d/<slug:ref>/airflow/", airflow.open_airflow, name="open_airflow"),
    # Where Airflow sends people who have no session there.
    path("airflow/<slug:ref>/", airflow.entry, name="airflow_entry"),
    path("d/<slug:ref>/logs/", logs.logs, name="logs"),
    path("d/<slug:ref>/logs/tail/", logs.tail, name="log_tail"),
    path("d/<slug:ref>/logs/download/", logs.download, name="log_download"),
]
