from django.urls import path

from apps.usage import views

app_name = "usage"

urlpatterns = [
    path("o/<slug:slug>/usage/", views.usage, name="usage"),
    path("o/<slug:slug>/usage/csv/", views.download, name="csv"),
]
