from django.urls import path

from apps.airflow_imports import views

app_name = "airflow_imports"

urlpatterns = [
    path("w/<slug:slug>/imports/", views.imports, name="list"),
    path("w/<slug:slug>/imports/new/", views.new, name="new"),
    path("w/<slug:slug>/imports/<uuid:import_id>/", views.detail, name="detail"),
    path("w/<slug:slug>/imports/<uuid:import_id>/create/", views.create, name="create"),
    path("w/<slug:slug>/imports/<uuid:import_id>/unpause/", views.unpause, name="unpause"),
    path("w/<slug:slug>/imports/<uuid:import_id>/remove/", views.remove, name="remove"),
]
