"""The environment of an Airflow's processes, as ConfigMaps and Secrets that pods take whole.

Three layers, as on the local plane: defaults that a user's variable may replace, the user's
variables, and what must hold for the plane to work. A worker gets no database address and none of
the secrets that sign in or decrypt. Pods take these objects by `envFrom`, where `$(X)` in a value
stays as it is; in a container's own `env` Kubernetes would replace it.
"""

import json
from collections.abc import Mapping

from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.kubernetes.render.places import (
    CA_BUNDLE,
    CODE_SLOTS,
    CODE_STATE,
    CODE_VERSIONS,
    DATABASE_CA,
    ENVIRONMENT,
    EXAMPLES,
    EXTENSION,
    PARSE_LOGS,
    PLUGINS,
    POD_TEMPLATE,
    PUBLIC_KEY,
    TASK_LOGS,
    WORKER_ALIVE,
)
from apps.dataplane.kubernetes.render.pods import log_stores
from apps.dataplane.kubernetes.render.pods.code import plugins
from apps.dataplane.kubernetes.render.pods.database import (
    async_database_url,
    database_url,
    pooled_url,
)
from apps.dataplane.kubernetes.render.pods.placement import pod_defaults
from apps.dataplane.kubernetes.render.target import (
    API_PORT,
    API_SERVICE,
    BROKER_SERVICE,
    EXPORTER_SERVICE,
    STATSD_PORT,
    Target,
)
from apps.dataplane.queue_patience import PATIENCE_WITH_QUEUES, tokens_that_outlast
from apps.dataplane.secrets_backend import secrets_backend
from apps.dataplane.site.telemetry import telemetry
from apps.dataplane.site.trust import trust
from apps.dataplane.spec import restart_mark
from apps.dataplane.variables import (
    LOOPBACK_HOSTS,
    NO_PROXY,
    proxies,
    user_variables,
    with_direct_hosts,
)

EXECUTORS = {
    "celery": "CeleryExecutor",
    "kubernetes": "KubernetesExecutor",
    "local": "LocalExecutor",
}
PARALLELISM = {"celery": 512, "local": 8}
DAY_SECONDS = 86_400
# Services of the namespace and of the cluster, and pods and cluster addresses by number: these are
# private ones, and where a number is called a proxy is of no use.
DIRECT_HOSTS = (
    *LOOPBACK_HOSTS,
    API_SERVICE,
    BROKER_SERVICE,
    ".svc",
    ".cluster.local",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
)
# An object of Kubernetes has at most 1 MiB.
MOST_BYTES = 900_000

DEFAULTS = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__CELERY__OPERATION_TIMEOUT": "10",
    "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
    "AIRFLOW__KUBERNETES_EXECUTOR__DELETE_WORKER_PODS_ON_FAILURE": "True",
    # A namespace with an exhausted quota accepts the pod later: no reason to fail the task.
    "AIRFLOW__KUBERNETES_EXECUTOR__TASK_PUBLISH_MAX_RETRIES": "-1",
    # A restart of the api-server, or a node that is busy, must not fail running tasks: Airflow's
    # own patience is a quarter of a minute.
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "40",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "15",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "20",
    **PATIENCE_WITH_QUEUES,
    # Without it the C library keeps an arena of memory per thread, tens of MB for each process.
    "MALLOC_ARENA_MAX": "2",
    "PYTHONUNBUFFERED": "1",
}


def common_environment(target: Target) -> dict[str, str]:
    """Return what every Airflow process has and everyone who may read pods may know."""
    fixed = _fixed(target)
    user = _user_variables(target, is_secret=False)
    user = with_direct_hosts({**proxies(target.spec.settings), **user}, DIRECT_HOSTS)
    environment = {
        **DEFAULTS,
        **_sized(target),
        **telemetry(target.spec.settings, ref=target.ref, exporter=_exporter(target)),
        **trust(target.spec.settings, path=CA_BUNDLE),
        **user,
        **fixed,
        # Of the portal's own modules first: a project must not replace what signs people in.
        "PYTHONPATH": f"{PLUGINS}:{EXTENSION}" if plugins(target) else PLUGINS,
    }
    return _limited(environment)


def _exporter(target: Target) -> str:
    """Return where the exporter for Prometheus takes metrics, "" without one."""
    if not target.spec.settings.has_exporter:
        return ""
    return f"{EXPORTER_SERVICE}.{target.namespace}.svc:{STATSD_PORT}"


def _sized(target: Target) -> dict[str, str]:
    """Return the defaults that depend on how much components get."""
    spec = target.spec
    parsing = sizes.core_share("dag-processor", spec.settings).most_cpu_millis // 1000
    return {
        "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM.get(spec.executor, spec.settings.task_pods)),
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": str(max(1, parsing)),
        "AIRFLOW__API__WORKERS": str(sizes.api_workers(spec.settings)),
    }


def secret_variables(target: Target) -> dict[str, str]:
    """Return the user's secret variables. Hosts without a proxy may be among them."""
    secret = _user_variables(target, is_secret=True)
    if set(NO_PROXY) & secret.keys():
        plain = _user_variables(target, is_secret=False)
        secret = with_direct_hosts(secret, DIRECT_HOSTS, known=plain)
    return _limited(secret)


def core_environment(target: Target) -> dict[str, str]:
    """Return what only api-server, scheduler, dag-processor and triggerer have, secrets aside."""
    sign_in = target.spec.sign_in
    environment = {
        "AIRFLOW__CORE__AUTH_MANAGER": "portal_auth.PortalAuthManager",
        # All addresses of its pod, of whichever family they are.
        "AIRFLOW__API__HOST": "",
        "AIRFLOW__API__PORT": str(API_PORT),
        "AIRFLOW__API__EXPOSE_CONFIG": "False",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "portal_database.ARGUMENTS",
        "PORTAL_URL": sign_in.portal_url,
        "PORTAL_DEPLOYMENT_REF": target.ref,
        "PORTAL_ISSUER": sign_in.issuer,
        "PORTAL_AUDIENCE": sign_in.audience,
        "PORTAL_PUBLIC_KEY_FILE": PUBLIC_KEY,
    }
    server, is_pooled = target.config.database, target.spec.settings.pgbouncer
    if server or is_pooled:
        name = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS_ASYNC"
        environment[name] = "portal_database.ASYNC_ARGUMENTS"
    if server and server.is_verified and not is_pooled:
        environment |= {
            "PORTAL_DATABASE_CA": DATABASE_CA,
            "PORTAL_DATABASE_SSLMODE": server.sslmode,
        }
    if target.spec.executor == "kubernetes":
        environment |= {
            "AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE": target.namespace,
            "AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE": POD_TEMPLATE,
        }
    return environment


def core_secrets(target: Target, *, is_direct: bool) -> dict[str, str]:
    """Return the secrets of api-server, scheduler, dag-processor and triggerer; with `is_direct`
    those of programs that reach the database's server past PgBouncer.
    """
    return {
        **(_direct(target) if is_direct else _pooled(target)),
        "AIRFLOW__CORE__FERNET_KEY": target.spec.secrets.fernet_key,
        "AIRFLOW__API_AUTH__JWT_SECRET": target.spec.secrets.jwt_secret,
    }


def _pooled(target: Target) -> dict[str, str]:
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": pooled_url(target, scheme="postgresql+psycopg2")}


def _direct(target: Target) -> dict[str, str]:
    for_asyncpg = async_database_url(target)
    also = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": for_asyncpg} if for_asyncpg else {}
    url = database_url(target, scheme="postgresql+psycopg2")
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url, **also}


def broker_secrets(target: Target) -> dict[str, str]:
    """Return the broker's address. Results go there too: the alternative is the database, which
    no worker may know.
    """
    url = f"redis://:{target.derived('broker')}@{BROKER_SERVICE}:6379/0"
    return {"AIRFLOW__CELERY__BROKER_URL": url, "AIRFLOW__CELERY__RESULT_BACKEND": url}


def log_secrets(target: Target) -> dict[str, str]:
    """Return what a process needs to write, read and serve task logs.

    The api secret signs requests for the log of a running task. Workers have it only where logs are
    not on a shared claim; the same key signs no sessions.
    """
    secrets = {"AIRFLOW__API__SECRET_KEY": target.derived("airflow-api")}
    if store := target.config.object_store:
        secrets |= log_stores.secrets(store)
    return secrets


def _fixed(target: Target) -> dict[str, str]:
    bundle = {
        "name": "code",
        "classpath": "portal_bundle.PortalDagBundle",
        "kwargs": {
            "code_folder": CODE_VERSIONS,
            "example_folder": EXAMPLES,
            "slots_folder": CODE_SLOTS,
            "state_folder": CODE_STATE,
        },
    }
    fixed = {
        "AIRFLOW__CORE__EXECUTOR": EXECUTORS[target.spec.executor],
        "AIRFLOW__CORE__DAGS_FOLDER": CODE_VERSIONS,
        # Inside the namespace and straight to the api-server: tasks must not depend on the portal.
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{target.api_url}/execution/",
        # The pods of a Deployment have no names in DNS.
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "portal_address.pod_address",
        "AIRFLOW__API__BASE_URL": f"{target.config.airflow_url}{target.path}",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "5",
        # The bundle removes old code itself.
        "AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_INTERVAL": "0",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": TASK_LOGS,
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": PARSE_LOGS,
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        **secrets_backend(ENVIRONMENT),
        **restart_mark(target.spec),
        **tokens_that_outlast(target.spec.variables),
        **pod_defaults(target),
        # The image's entrypoint would otherwise start a Python with all of Airflow to check the
        # database, also in workers, which have none.
        "CONNECTION_CHECK_MAX_COUNT": "0",
    }
    if plugins(target):
        fixed["AIRFLOW__CORE__PLUGINS_FOLDER"] = f"{EXTENSION}/plugins"
    if target.spec.executor == "celery":
        fixed["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"] = str(DAY_SECONDS)
        fixed["AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS"] = "portal_celery.CELERY_CONFIG"
        fixed["PORTAL_WORKER_ALIVE_FILE"] = WORKER_ALIVE
    return fixed | _remote_logs(target)


def environment_objects(target: Target) -> dict[str, str]:
    """Return the file of connections and variables that pods mount. It is no variable of a process:
    a change of it reaches running pods.
    """
    text = target.spec.environment or "{}"
    size = len(text.encode())
    if size > MOST_BYTES:
        raise Permanent(
            f"The connections and variables have {size:,} bytes together. "
            f"On Kubernetes {MOST_BYTES:,} is the most."
        )
    return {ENVIRONMENT.rpartition("/")[2]: text}


def _remote_logs(target: Target) -> dict[str, str]:
    store = target.config.object_store
    if store is None:
        return {}
    ca_bundle = CA_BUNDLE if target.spec.settings.ca_bundle else ""
    return log_stores.options(store, ref=target.ref, ca_bundle=ca_bundle)


def _user_variables(target: Target, *, is_secret: bool) -> dict[str, str]:
    return user_variables(
        variable for variable in target.spec.variables if variable.is_secret == is_secret
    )


def _limited(environment: Mapping[str, str]) -> dict[str, str]:
    size = sum(len(key.encode()) + len(value.encode()) for key, value in environment.items())
    if size > MOST_BYTES:
        raise Permanent(
            f"The environment variables have {size:,} bytes together. "
            f"On Kubernetes {MOST_BYTES:,} is the most, for plain and for secret ones each."
        )
    return dict(environment)
