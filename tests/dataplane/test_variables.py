"""Which variables people may set: one list, the same on both planes, in forms and in the API."""

from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.render import render
from apps.dataplane.local.airflow.environment import Place, core_environment, worker_environment
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.control.apply import check_spec
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import Folder, State
from apps.dataplane.spec import DeploymentSpec, VariableSpec
from apps.dataplane.variables import allowed_options, refusal_of, user_variables
from tests.dataplane.kubernetes_render import matrix
from tests.dataplane.specs import make_spec

# Each of these made an Airflow do what its owner had not delivered, or would.
HOSTILE = (
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS",
    "AIRFLOW__SECRETS__BACKEND",
    "AIRFLOW__SECRETS__BACKEND_KWARGS",
    "AIRFLOW__SECRETS__BACKEND_KWARGS_CMD",
    "AIRFLOW__SECRETS__BACKEND_KWARGS_SECRET",
    "AIRFLOW__WORKERS__SECRETS_BACKEND",
    "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS_CMD",
    "AIRFLOW__SENTRY__SENTRY_DSN_CMD",
    "AIRFLOW__SENTRY__SENTRY_DSN_SECRET",
    "AIRFLOW__CORE__PARALLELISM_CMD",
    "AIRFLOW__ANYTHING__AT_ALL_CMD",
    "AIRFLOW__CORE__PLUGINS_FOLDER",
    "AIRFLOW__CORE__XCOM_BACKEND",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE",
    "AIRFLOW__CORE__DEFAULT_IMPERSONATION",
    "AIRFLOW__CORE__ALLOWED_DESERIALIZATION_CLASSES",
    "AIRFLOW__CORE__TEST_CONNECTION",
    "AIRFLOW__CORE__HIDE_SENSITIVE_VAR_CONN_FIELDS",
    "AIRFLOW__CORE__SQL_ALCHEMY_CONN",  # its name in Airflow 2, still read
    "AIRFLOW__TEAM_A___CORE__EXECUTOR",  # the option of a team
    "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS",
    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER",
    "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG",
    "AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS",
    "AIRFLOW__EMAIL__EMAIL_BACKEND",
    "AIRFLOW__EMAIL__HTML_CONTENT_TEMPLATE",
    "AIRFLOW__SENTRY__BEFORE_SEND",
    "AIRFLOW__METRICS__STATSD_CUSTOM_CLIENT_PATH",
    "AIRFLOW__API__SSL_CERT",
    "AIRFLOW__API__ACCESS_CONTROL_ALLOW_ORIGINS",
    "AIRFLOW__FAB__AUTH_BACKENDS",
    "AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE",
    "AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE",
    "AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS",
    "AIRFLOW_CONFIG",
    "AIRFLOW_HOME",
    "AIRFLOW_CONN_PORTAL_LOGS",
    "_AIRFLOW_DB_MIGRATE",
    "_PIP_ADDITIONAL_REQUIREMENTS",
    "_ARGCOMPLETE",
    "_ARGCOMPLETE_STDOUT_FILENAME",  # a command of Airflow writes over this file
    "_CELERY_COMPLETE",
    "_MP_FORK_LOGFILE_",
    "_PYTHON_SYSCONFIGDATA_NAME",
    "_JAVA_OPTIONS",
    "__AIRFLOW_SUPERVISOR_FD",
    "FORKED_BY_MULTIPROCESSING",
    "DEV_MODE",
    "DJANGO_SETTINGS_MODULE",
    "CONNECTION_CHECK_MAX_COUNT",
    "PYTHONSTARTUP",
    "PYTHONWARNINGS",
    "PYTHONPATH",
    "LD_PRELOAD",
    "GIT_SSL_NO_VERIFY",
    "AWS_CA_BUNDLE",
    "GSS_MECH_CONFIG",
    "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES",
    "LD_AUDIT",
    "PATH",
    "HOME",
    "BASH_ENV",
    "BASH_FUNC_ls",
    "PS4",
    "GUNICORN_CMD_ARGS",
    "UVICORN_HOST",
    "FORWARDED_ALLOW_IPS",
    "FLASK_APP",
    "CELERY_BROKER_URL",
    "CELERY_CONFIG_MODULE",
    "SSL_CERT_FILE",
    "SSLKEYLOGFILE",
    "REQUESTS_CA_BUNDLE",
    "OPENSSL_CONF",
    "NODE_OPTIONS",
    "KUBERNETES_SERVICE_HOST",
    "PGHOSTADDR",
    "PGSSLMODE",
    "PIP_INDEX_URL",
    "GIT_SSH_COMMAND",
    "JAVA_TOOL_OPTIONS",
    "PORTAL_PUBLIC_KEY_FILE",
)
FREE = (
    "GREETING",
    "AIRFLOW_CONN_WAREHOUSE",
    "AIRFLOW_VAR_GREETING",
    "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW__METRICS__STATSD_HOST",
    "HTTP_PROXY",
    "NO_PROXY",
    "no_proxy",
    "LANG",
    "TZ",
    "AWS_REGION",
    "DATABASE_URL",
    "PGHOST",
    "GIT_TOKEN",
    "ENV",
    "pathway",
    "MY_PATH",
)

Environments = Callable[[DeploymentSpec], dict[str, str]]


def on_this_machine(spec: DeploymentSpec) -> dict[str, str]:
    """Return what any process of an Airflow on this machine has."""
    path = Path("/home-of-tests")
    place = Place(
        folder=Folder(Home(path), spec.ref),
        state=State(api_port=23456, broker_number=7, database_password="pw"),
        config=LocalConfig(
            database_url="postgresql://portal:secret@127.0.0.1:5555/portal",
            broker_url="redis://:secret@127.0.0.1:6666",
            edge_url="http://localhost:8081",
        ),
        env_folder=path,
    )
    return worker_environment(spec=spec, place=place) | core_environment(spec=spec, place=place)


def on_kubernetes(spec: DeploymentSpec) -> dict[str, str]:
    """Return what any process of an Airflow on a cluster has, weakest first."""
    config = matrix.make_config(object_store=matrix.STORE)
    found = {
        manifest["metadata"]["name"]: manifest
        for stage in render(spec=spec, config=config)
        for manifest in stage.objects
        if manifest["kind"] in ("ConfigMap", "Secret")
    }
    environment = dict(found["environment"]["data"])
    for name in ("variables", "airflow", "broker", "logs"):
        values = found[name].get("data", {}) if name in found else {}
        environment |= {key: b64decode(value).decode() for key, value in values.items()}
    return environment | found["environment-core"]["data"]


PLANES = (on_this_machine, on_kubernetes)


def with_variables(*keys: str, is_secret: bool = False) -> DeploymentSpec:
    variables = tuple(VariableSpec(key=key, value="7", is_secret=is_secret) for key in keys)
    return make_spec(variables=variables)


@pytest.mark.parametrize("key", HOSTILE)
def test_what_acts_on_airflow_itself_is_refused_in_any_spelling(key: str) -> None:
    for spelled in (key, key.lower(), key.title()):
        assert refusal_of(spelled), spelled


@pytest.mark.parametrize("key", FREE)
def test_what_only_the_code_of_people_reads_is_free(key: str) -> None:
    assert refusal_of(key) is None


@pytest.mark.parametrize(
    "key",
    [
        "",
        " PATH",
        "PATH ",
        "PATH\n",
        "PATH\x00",
        "P\u0391TH",  # a Greek letter
        "\uff30\uff21\uff34\uff28",  # full width
        "LD_PRELOAD=x",
        "A\u200bB",
        "\u017fsl_cert_file",  # a long s, which is an S in capitals
    ],
)
def test_a_name_that_merely_looks_like_one_is_refused(key: str) -> None:
    assert refusal_of(key)


@pytest.mark.parametrize("environment_of", PLANES)
@pytest.mark.parametrize("is_secret", [False, True])
@pytest.mark.parametrize("key", ["AIRFLOW__SECRETS__BACKEND_KWARGS_CMD", "LD_PRELOAD", "A B"])
def test_both_planes_refuse_what_an_old_revision_holds(
    environment_of: Environments, key: str, is_secret: bool
) -> None:
    with pytest.raises(Permanent, match=key):
        environment_of(with_variables(key, is_secret=is_secret))


def test_this_machine_refuses_before_it_changes_anything() -> None:
    with pytest.raises(Permanent, match="is reserved for the portal"):
        check_spec(with_variables("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"))


@pytest.mark.parametrize("executor", ["celery", "local", "kubernetes"])
@pytest.mark.parametrize("environment_of", PLANES)
def test_no_plane_drops_a_variable_that_it_did_not_refuse(
    environment_of: Environments, executor: str
) -> None:
    if executor == "kubernetes" and environment_of is on_this_machine:
        executor = "celery"
    queues = make_spec().queues if executor == "celery" else ()
    changes = {"executor": executor, "queues": queues}
    set_by_planes = {name for plane in PLANES for name in plane(make_spec())}
    keys = sorted({*set_by_planes, *allowed_options(), *FREE})
    mine = [key for key in keys if refusal_of(key) is None]
    variables = tuple(VariableSpec(key=key, value="7", is_secret=False) for key in mine)

    environment = environment_of(make_spec(variables=variables, **changes))

    assert {key for key in mine if environment.get(key) != "7"} == {"NO_PROXY", "no_proxy"}
    assert environment["NO_PROXY"].endswith(",7")
    assert len(mine) > 150


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "AIRFLOW__CORE__EXECUTOR",
            "AIRFLOW__CORE__EXECUTOR is reserved for the portal. Choose the executor and the "
            "worker queues in the form.",
        ),
        (
            "AIRFLOW__CORE__PARALELISM",
            "There is no option AIRFLOW__CORE__PARALELISM that a Deployment may set. Is it "
            "AIRFLOW__CORE__PARALLELISM?",
        ),
        (
            "airflow__core__parallelism",
            "Airflow reads it in capitals only: AIRFLOW__CORE__PARALLELISM.",
        ),
        (
            "AIRFLOW__SENTRY__SENTRY_DSN_CMD",
            "The portal does not let commands or secrets backends fill in "
            "AIRFLOW__SENTRY__SENTRY_DSN. Set AIRFLOW__SENTRY__SENTRY_DSN itself.",
        ),
        (
            "AIRFLOW__SECRETS__BACKEND",
            "AIRFLOW__SECRETS__BACKEND is reserved for the portal. Add the secrets backend on the "
            "page “Environment”, or keep connections and variables there.",
        ),
        (
            "PIP_INDEX_URL",
            "PIP_INDEX_URL is reserved for the portal. Add the index on the page “Package "
            "indexes”. For the virtual environment of a task, give it in the DAG, or in a "
            "connection of the type Package Index.",
        ),
        (
            "AIRFLOW__NEWS__OF_TOMORROW",
            "There is no option AIRFLOW__NEWS__OF_TOMORROW that a Deployment may set. The "
            "documentation lists them all.",
        ),
    ],
)
def test_the_refusal_says_what_to_do_instead(key: str, message: str) -> None:
    refusal = refusal_of(key)

    assert refusal
    assert refusal.message == message


def test_variables_arrive_as_they_are() -> None:
    assert user_variables([VariableSpec(key="A", value=" x\n", is_secret=True)]) == {"A": " x\n"}


@pytest.mark.parametrize("is_secret", [False, True])
@pytest.mark.parametrize("proxy", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("environment_of", PLANES)
def test_a_proxy_of_people_never_stands_between_components(
    environment_of: Environments, proxy: str, is_secret: bool
) -> None:
    spec = make_spec(
        variables=(
            VariableSpec(key=proxy, value="http://proxy.test:3128", is_secret=is_secret),
            VariableSpec(key="NO_PROXY", value="mine.test, ", is_secret=is_secret),
            VariableSpec(key="no_proxy", value=".theirs.test", is_secret=not is_secret),
        )
    )

    environment = environment_of(spec)

    assert environment[proxy] == "http://proxy.test:3128"
    assert environment["NO_PROXY"] == environment["no_proxy"]
    hosts = environment["NO_PROXY"].split(",")
    assert {"localhost", "127.0.0.1", "::1", "mine.test", ".theirs.test"} <= set(hosts)
    api = urlsplit(environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]).hostname
    assert api in hosts


def test_hosts_are_not_told_in_plain_where_people_keep_them_secret() -> None:
    secret = VariableSpec(key="NO_PROXY", value="hidden.test", is_secret=True)

    objects = matrix.manifests(
        render(spec=make_spec(variables=(secret,)), config=matrix.make_config())
    )

    plain = [one for one in objects if one["kind"] == "ConfigMap"]
    assert "hidden.test" not in str(plain)


@pytest.mark.parametrize("environment_of", PLANES)
def test_everything_without_a_proxy_stays_everything(environment_of: Environments) -> None:
    spec = make_spec(variables=(VariableSpec(key="NO_PROXY", value="*", is_secret=False),))

    assert environment_of(spec)["no_proxy"] == "*"
