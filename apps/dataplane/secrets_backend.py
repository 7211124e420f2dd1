"""How Airflow finds the connections and variables that the portal keeps."""

import json


def secrets_backend(path: str) -> dict[str, str]:
    """Return the variables that let Airflow, workers included, ask `portal_secrets` first, which
    reads the file at `path`.
    """
    return {
        "AIRFLOW__SECRETS__BACKEND": "portal_secrets.PortalSecretsBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"path": path}),
    }
