from django.urls import path

from apps.releases import views

app_name = "releases"

urlpatterns = [
    path("o/<slug:slug>/runtimes/", views.runtimes, name="runtimes"),
    path("runtimes/check/", views.check, name="check"),
    path("o/<slug:slug>/runtimes/airflow/<str:version>/", views.report, name="report"),
    path(
        "runtimes/airflow/<str:version>/try-again/",
        views.try_again,
        name="try_again",
    ),
]
