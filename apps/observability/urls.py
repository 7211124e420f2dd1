from django.urls import path

from apps.observability.views import airflow, logs

app_name = "observability"

urlpatterns = [
    path("d/<slug:ref>/airflow/", airflow.open_airflow, name="open_airflow"),
    # Where Airflow sends people who have no session there.
    path("airflow/<slug:ref>/", airflow.entry, name="airflow_entry"),
    # What the edge of this machine asks (dataplane.local.role_question).
    path("airflow-role/", airflow.role, name="airflow_role"),
    path("d/<slug:ref>/logs/", logs.logs, name="logs"),
    path("d/<slug:ref>/logs/tail/", logs.tail, name="log_tail"),
    path("d/<slug:ref>/logs/download/", logs.download, name="log_download"),
]
