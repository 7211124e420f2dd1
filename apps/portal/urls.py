from django.urls import path

from apps.portal.views import health, home, setup

app_name = "portal"

urlpatterns = [
    path("", home.home, name="home"),
    path("healthz", health.healthz, name="healthz"),
    path("setup/<str:token>/", setup.setup, name="setup"),
    path("w/<slug:slug>/", home.workspace, name="workspace"),
]
