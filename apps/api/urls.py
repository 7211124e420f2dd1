from django.urls import path

from apps.api import metrics, views

app_name = "api"

urlpatterns = [
    path("metrics", metrics.metrics, name="metrics"),
    path("api/v1/whoami", views.whoami, name="whoami"),
    path("api/v1/deployments", views.deployments, name="deployments"),
    path("api/v1/deployments/<slug:ref>", views.deployment, name="deployment"),
]
