from django.urls import path

from apps.registry import views

app_name = "registry"

urlpatterns = [
    path("registry/", views.setup, name="setup"),
    path("registry/token", views.token, name="token"),
    path("registry/portal-bundle.pem", views.certificates, name="certificates"),
]
