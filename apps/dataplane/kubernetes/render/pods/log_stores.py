"""How Airflow writes task logs to a store and reads them there: S3, Google Cloud Storage, Azure.

Airflow chooses its handler by the beginning of `remote_base_log_folder`, and signs in with the
connection `portal_logs`. Without a key that connection is an empty one of its kind, with which the
vendors' libraries use what the service account of the pod is allowed (workload identity).
"""

import json
from typing import Any
from urllib.parse import urlsplit

from apps.dataplane.kubernetes.config import ObjectStore

CONNECTION = "portal_logs"


def options(store: ObjectStore, *, ref: str) -> dict[str, str]:
    """Return the options that name the store; each Deployment has a folder of its own there."""
    found = {
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
        "AIRFLOW__LOGGING__DELETE_LOCAL_LOGS": "True",
        "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"{store.url.rstrip('/')}/{ref}",
        "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": CONNECTION,
    }
    if not store.is_azure:
        return found
    url = urlsplit(store.url)
    folder = f"wasb://{url.path.strip('/')}/{ref}".replace(":///", "://")
    return found | {
        "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": folder,
        "AIRFLOW__AZURE_REMOTE_LOGGING__REMOTE_WASB_LOG_CONTAINER": url.username or "",
    }


def connection(store: ObjectStore) -> str:
    """Return the connection as JSON. It holds the key, and belongs into a Secret."""
    return json.dumps(_azure(store) if store.is_azure else _others(store))


def _others(store: ObjectStore) -> dict[str, Any]:
    if store.is_google:
        extra = {"keyfile_dict": store.secret_key} if store.secret_key else {}
        return {"conn_type": "google_cloud_platform", "extra": extra}
    return {
        "conn_type": "aws",
        "login": store.access_key,
        "password": store.secret_key,
        "extra": {"endpoint_url": store.endpoint} if store.endpoint else {},
    }


def _azure(store: ObjectStore) -> dict[str, Any]:
    host = urlsplit(store.url).hostname or ""
    return {
        "conn_type": "wasb",
        "host": f"https://{host}",
        "login": host.partition(".")[0],
        "password": store.secret_key,
        "extra": {},
    }
