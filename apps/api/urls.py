from django.urls import path

from apps.api import airflow, metrics
from apps.api.changes import uploads
from apps.api.pages import documents, personal_tokens, setup
from apps.core.web.later import later

app_name = "api"

urlpatterns = [
    path("metrics", metrics.metrics, name="metrics"),
    later("v1/", "apps.api.operations", name="operations"),
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
