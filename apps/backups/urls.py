from django.urls import path

from apps.backups import views

app_name = "backups"

urlpatterns = [
    path("d/<slug:ref>/backups/", views.backups, name="list"),
    path("d/<slug:ref>/backups/schedule/", views.schedule, name="schedule"),
    path("d/<slug:ref>/backups/schedule/remove/", views.remove_schedule, name="remove_schedule"),
    path("d/<slug:ref>/backups/then-delete/", views.then_delete, name="then_delete"),
    path("d/<slug:ref>/backups/<uuid:backup_id>/", views.detail, name="detail"),
    path("d/<slug:ref>/backups/<uuid:backup_id>/restore/", views.restore, name="restore"),
    path(
        "d/<slug:ref>/backups/<uuid:backup_id>/new-deployment/",
        views.restore_new,
        name="restore_new",
    ),
    path("d/<slug:ref>/backups/<uuid:backup_id>/remove/", views.remove, name="remove"),
]
