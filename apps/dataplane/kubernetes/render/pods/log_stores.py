"""How Airflow writes task logs to a store and reads them there: S3, Google Cloud Storage, Azure,
Elasticsearch.

Airflow chooses its handler by the beginning of `remote_base_log_folder`, and signs in with the
connection `portal_logs`. Without a key that connection is an empty one of its kind, with which the
vendors' libraries use what the service account of the pod is allowed (workload identity).

Elasticsearch has options of its own. The provider writes a log there when its try has ended, and
needs no fluentd for it. Sources: https://airflow.apache.org/docs/apache-airflow-providers-
elasticsearch/stable/logging/, its `ElasticsearchRemoteLogIO`, and `airflow_local_settings.py`.
"""

import json
from base64 import b64encode
from typing import Any
from urllib.parse import urlsplit

from apps.dataplane.kubernetes.config import ObjectStore

CONNECTION = "portal_logs"
ELASTICSEARCH = "AIRFLOW__ELASTICSEARCH__"
# What the client takes is this section.
CLIENT = "AIRFLOW__ELASTICSEARCH_CONFIGS__"


def options(store: ObjectStore, *, ref: str, ca_bundle: str = "") -> dict[str, str]:
    """Return the options that name the store; each Deployment has a folder, or an index, of its own
    there. `ca_bundle` is the path of CAs to trust, "" for the public ones.
    """
    found = {
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
        "AIRFLOW__LOGGING__DELETE_LOCAL_LOGS": "True",
        "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"{store.url.rstrip('/')}/{ref}",
        "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": CONNECTION,
    }
    if store.is_elasticsearch:
        return found | _elasticsearch(store, ref, ca_bundle)
    if not store.is_azure:
        return found
    url = urlsplit(store.url)
    folder = f"wasb://{url.path.strip('/')}/{ref}".replace(":///", "://")
    return found | {
        "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": folder,
        "AIRFLOW__AZURE_REMOTE_LOGGING__REMOTE_WASB_LOG_CONTAINER": url.username or "",
    }


def _elasticsearch(store: ObjectStore, ref: str, ca_bundle: str) -> dict[str, str]:
    url = urlsplit(store.url)
    index = f"{url.path.strip('/')}-{ref}"
    found = {
        # Its beginning would choose another store.
        "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": "",
        f"{ELASTICSEARCH}HOST": f"https://{url.hostname}:{url.port or 443}",
        f"{ELASTICSEARCH}WRITE_TO_ES": "True",
        f"{ELASTICSEARCH}WRITE_STDOUT": "False",
        f"{ELASTICSEARCH}JSON_FORMAT": "True",
        f"{ELASTICSEARCH}TARGET_INDEX": index,
        # Else it looks into all indices, and may find the log of another Deployment.
        f"{ELASTICSEARCH}INDEX_PATTERNS": index,
        f"{ELASTICSEARCH}LOG_ID_TEMPLATE": "{dag_id}-{task_id}-{run_id}-{map_index}-{try_number}",
        f"{ELASTICSEARCH}HOST_FIELD": "host",
        f"{ELASTICSEARCH}OFFSET_FIELD": "offset",
        # Spoken by servers of 8 and of 9, whichever client the image has.
        f"{ELASTICSEARCH}ES_COMPAT_WITH": "8",
        f"{CLIENT}VERIFY_CERTS": "True",
    }
    # The client reads no variable for it.
    return found | ({f"{CLIENT}CA_CERTS": ca_bundle} if ca_bundle else {})


def secrets(store: ObjectStore) -> dict[str, str]:
    """Return the variables that hold the key, which belong into a Secret."""
    if not store.is_elasticsearch:
        connection = _azure(store) if store.is_azure else _others(store)
        return {f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(connection)}
    if not store.secret_key:
        return {}
    if not store.access_key:
        return {f"{CLIENT}API_KEY": store.secret_key}
    # Not a part of the address: some versions show that in logs.
    pair = f"{store.access_key}:{store.secret_key}"
    return {f"{CLIENT}BASIC_AUTH": b64encode(pair.encode()).decode()}


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
