from django.urls import include, path

from apps.api import airflow, metrics
from apps.api.changes import uploads
from apps.api.pages import documents, personal_tokens, setup
from apps.api.service import api

app_name = "api"

# Its own page of nothing but a 404 is left out.
operations = [pattern for pattern in api.urls[0] if str(pattern.pattern)]

urlpatterns = [
    path("metrics", metrics.metrics, name="metrics"),
    path("v1/", include(operations)),
    path("airflow/<slug:ref>/api/v2/<path:path>", airflow.airflow, name="airflow"),
    path("spec/v1.0", documents.openapi, name="openapi"),
    path("uploads/", uploads.upload, name="upload"),
    path("api/docs/", documents.reference, name="reference"),
    path("account/cli/", setup.use_cli, name="use_cli"),
    path("account/cli/config.yaml", setup.cli_config, name="cli_config"),
    path("account/tokens/", personal_tokens.personal_tokens, name="personal_tokens"),
    path("account/tokens/new/", personal_tokens.new_personal_token, name="new_personal_token"),
    path("account/programs/<str:login_id>/end/", personal_tokens.end_program, name="end_program"),
    path(
        "account/tokens/<int:token_id>/revoke/",
        personal_tokens.remove_personal_token,
        name="remove_personal_token",
    ),
]
