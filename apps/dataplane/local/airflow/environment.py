"""The environment of an Airflow's processes. Pure: from the spec and the facts of this machine.

Three layers: defaults that a user's variable may replace, the user's variables, and what must hold
for the plane to work. A worker gets no database address and none of Airflow's secrets: it runs user
code, and reads through the api-server what it may know.
"""

import json
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from os import geteuid
from pathlib import Path

from apps.dataplane.local.airflow.metadata.database import deployment_url
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.layout import Folder, State
from apps.dataplane.queue_patience import PATIENCE_WITH_QUEUES, tokens_that_outlast
from apps.dataplane.secrets_backend import secrets_backend
from apps.dataplane.site.telemetry import telemetry
from apps.dataplane.site.trust import trust
from apps.dataplane.spec import DeploymentSpec, restart_mark
from apps.dataplane.variables import (
    LOOPBACK_HOSTS,
    proxies,
    user_variables,
    with_direct_hosts,
)

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EXECUTORS = {"celery": "CeleryExecutor", "local": "LocalExecutor"}
LOCAL_EXECUTOR_TASKS = 4
CELERY_TASKS = 512
DAY_SECONDS = 86_400

DEFAULTS = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__CELERY__OPERATION_TIMEOUT": "10",
    "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
    # A restart of the api-server, or a machine that is busy, must not fail running tasks:
    # Airflow's own patience is a quarter of a minute.
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "40",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "15",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "20",
    **PATIENCE_WITH_QUEUES,
    "LANG": "C.UTF-8",
    # Without it the C library keeps an arena of memory per thread, tens of MB for each process.
    "MALLOC_ARENA_MAX": "2",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a Deployment's processes run; `env_folder` is the Python environment of its runtime and
    packages, `extension` the folder with its plugins, if it has any.
    """

    folder: Folder
    state: State
    config: LocalConfig
    env_folder: Path
    extension: Path | None = None


def core_environment(*, spec: DeploymentSpec, place: Place) -> dict[str, str]:
    """Return the environment of api-server, scheduler, dag-processor and triggerer."""
    folder, state = place.folder, place.state
    fixed = _fixed(spec, place) | {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": deployment_url(
            place.config, folder, state, driver="psycopg2"
        ),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "portal_database.ARGUMENTS",
        "AIRFLOW__CORE__FERNET_KEY": spec.secrets.fernet_key,
        "AIRFLOW__CORE__AUTH_MANAGER": "portal_auth.PortalAuthManager",
        "AIRFLOW__API__SECRET_KEY": spec.secrets.api_secret_key,
        "AIRFLOW__API_AUTH__JWT_SECRET": spec.secrets.jwt_secret,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(state.api_port),
        "AIRFLOW__API__EXPOSE_CONFIG": "False",
        "PORTAL_URL": spec.sign_in.portal_url,
        "PORTAL_DEPLOYMENT_REF": spec.ref,
        "PORTAL_ISSUER": spec.sign_in.issuer,
        "PORTAL_AUDIENCE": spec.sign_in.audience,
        "PORTAL_PUBLIC_KEY_FILE": str(folder.public_key),
    }
    return _merged(spec, fixed, place)


def worker_environment(*, spec: DeploymentSpec, place: Place) -> dict[str, str]:
    """Return the environment of a Celery worker."""
    return _merged(spec, _fixed(spec, place), place)


def _fixed(spec: DeploymentSpec, place: Place) -> dict[str, str]:
    folder, state, config = place.folder, place.state, place.config
    bundle = {
        "name": "code",
        "classpath": "portal_bundle.PortalDagBundle",
        "kwargs": {
            "code_folder": str(folder.code),
            "example_folder": str(config.runtime_folder / "example_dags"),
        },
    }
    fixed = {
        "AIRFLOW_HOME": str(folder.airflow_home),
        "AIRFLOW__CORE__EXECUTOR": EXECUTORS[spec.executor],
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder.code),
        # Past the edge and straight to the api-server: tasks must not depend on the edge.
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": (
            f"http://127.0.0.1:{state.api_port}/{spec.ref}/execution/"
        ),
        "AIRFLOW__API__BASE_URL": f"{config.edge_url}/{spec.ref}",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(folder.bundles),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "5",
        # The plane removes old code itself: it knows which runs still need it.
        "AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_INTERVAL": "0",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder.task_logs),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(folder.parse_logs),
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        **secrets_backend(str(folder.environment)),
        **restart_mark(spec),
        **tokens_that_outlast(spec.variables),
    }
    if place.extension:
        fixed["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(place.extension / "plugins")
    if spec.executor == "celery":
        fixed |= {
            "AIRFLOW__CELERY__BROKER_URL": config.broker(state.broker_number),
            "AIRFLOW__CELERY__RESULT_BACKEND": config.broker(state.broker_number),
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": str(DAY_SECONDS),
            "AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS": "portal_celery.CELERY_CONFIG",
        }
    return fixed


def _merged(spec: DeploymentSpec, fixed: Mapping[str, str], place: Place) -> dict[str, str]:
    parallelism = CELERY_TASKS if spec.executor == "celery" else LOCAL_EXECUTOR_TASKS
    environment = {
        **DEFAULTS,
        "AIRFLOW__CORE__PARALLELISM": str(parallelism),
        **telemetry(spec.settings, ref=spec.ref),
        **trust(spec.settings, path=str(place.folder.ca_bundle)),
        "HOME": pwd.getpwuid(geteuid()).pw_dir,
        "PATH": SYSTEM_PATH,
        **with_direct_hosts(
            {**proxies(spec.settings), **user_variables(spec.variables)}, LOOPBACK_HOSTS
        ),
        **fixed,
    }
    environment["PATH"] = f"{place.env_folder / 'bin'}:{environment['PATH']}"
    # Of the portal's own modules first: a project must not replace what signs people in.
    paths = [str(place.config.runtime_folder / "plugins")]
    paths += [str(place.extension)] if place.extension else []
    environment["PYTHONPATH"] = ":".join(paths)
    return environment
