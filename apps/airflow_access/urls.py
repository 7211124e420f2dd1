from django.urls import path

from apps.airflow_access import views

app_name = "airflow_access"

urlpatterns = [
    path("d/<slug:ref>/airflow/", views.open_airflow, name="open_airflow"),
    # Where Airflow sends people who have no session there.
    path("airflow/<slug:ref>/", views.entry, name="airflow_entry"),
    # What the edge of this machine asks (dataplane.local.edge.role_lookup).
    path("airflow-role/", views.role, name="airflow_role"),
]
