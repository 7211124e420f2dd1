from django.urls import path

from apps.objectives import views

app_name = "objectives"

urlpatterns = [
    path("o/<slug:slug>/objectives/", views.organization_objectives, name="organization"),
    path("o/<slug:slug>/objectives/csv/", views.organization_csv, name="organization_csv"),
    path("w/<slug:slug>/objectives/", views.objectives, name="list"),
    path("w/<slug:slug>/objectives/csv/", views.workspace_csv, name="csv"),
    path("w/<slug:slug>/objectives/new/", views.new, name="new"),
    path("w/<slug:slug>/objectives/<int:objective_id>/", views.objective, name="objective"),
    path("w/<slug:slug>/objectives/<int:objective_id>/remove/", views.remove, name="remove"),
]
