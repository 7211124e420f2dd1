from django.urls import include, path

from apps.api import metrics
from apps.api.deployments import uploads
from apps.api.service import api

app_name = "api"

# Its own page of nothing but a 404 is left out.
operations = [pattern for pattern in api.urls[0] if pattern.name != "api-root"]

urlpatterns = [
    path("metrics", metrics.metrics, name="metrics"),
    path("v1/", include(operations)),
    path("uploads/", uploads.upload, name="upload"),
]
