"""Which environment variables people may give to a Deployment: one list for all planes.

Options of Airflow are closed unless `runtime/options/allowed.toml` opens them. Other names belong
to the code of people and are open, except for those that a process of Airflow, its Python, its
shell, its C library or its web server acts upon before any DAG is read: through these a person who
may change settings, and not deliver code, would run code.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from apps.dataplane.errors import Permanent
from apps.dataplane.production import ProductionSpec
from apps.dataplane.spec import VariableSpec

OPTIONS_FOLDER = Path(__file__).resolve().parents[2] / "runtime" / "options"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OPTION_PREFIX = "AIRFLOW__"
# Airflow takes an option from the output of a command, or from a secrets backend.
INDIRECT = ("_CMD", "_SECRET")
# Programs read one or the other, and some of them both.
NO_PROXY = ("NO_PROXY", "no_proxy")
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")

# Connections and variables of Airflow. The portal's own connections are closed.
OPEN_PREFIXES = ("AIRFLOW_CONN_", "AIRFLOW_VAR_")
PORTAL_CONNECTIONS = "AIRFLOW_CONN_PORTAL_"

CLOSED_PREFIXES = (
    "PORTAL_",
    # What programs tell themselves. _ARGCOMPLETE_STDOUT_FILENAME, for one, lets any command of
    # Airflow write over any file.
    "_",
    # Airflow itself, and the entrypoint of its image, which also installs packages.
    "AIRFLOW_",
    "CONNECTION_CHECK_",
    "SUPERVISOR_",
    # The loader, the C library and Python.
    "LD_",
    "DYLD_",
    "PYTHON",
    "MULTIPROCESSING_",
    # Servers and libraries that read their own settings there.
    "GUNICORN_",
    "UVICORN_",
    "FLASK_",
    "WERKZEUG_",
    "CELERY_",
    "C_FORCE_",
    "KOMBU_",
    "DJANGO_",
    "KUBERNETES_",
    # Whom to trust, and where packages come from.
    "SSL_",
    "OPENSSL_",
    "PIP_",
    "UV_",
    # Programs that run what a variable says.
    "BASH_FUNC_",
    "NODE_",
    "NPM_CONFIG_",
    "GIT_CONFIG",
    "GIT_SSL_",
    # How libpq reaches the metadata database. PGHOST and its like are free: the portal's address is
    # complete.
    "PGSSL",
    "PGGSS",
    "PGREQUIRE",
)
CLOSED_NAMES = frozenset(
    {
        "HOME",
        "PATH",
        "USER",
        "LOGNAME",
        "SHELL",
        "PWD",
        "OLDPWD",
        "HOSTNAME",
        "IFS",
        "BASH_ENV",
        "BASHOPTS",
        "SHELLOPTS",
        "PS4",
        "PROMPT_COMMAND",
        "CDPATH",
        "GLOBIGNORE",
        "VIRTUAL_ENV",
        "DUMB_INIT_SETSID",
        "DEV_MODE",
        "FORKED_BY_MULTIPROCESSING",
        "GCONV_PATH",
        "GLIBC_TUNABLES",
        "HOSTALIASES",
        "LOCALDOMAIN",
        "LOCPATH",
        "NLSPATH",
        "RES_OPTIONS",
        "FORWARDED_ALLOW_IPS",
        "WEB_CONCURRENCY",
        "KUBECONFIG",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "AWS_CA_BUNDLE",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        "HTTPLIB2_CA_CERTS",
        "SSLKEYLOGFILE",
        # Libraries that the first takes from a file, and commands that the second lets a credential
        # name.
        "GSS_MECH_CONFIG",
        "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES",
        "CURL_HOME",
        "PERL5LIB",
        "PERL5OPT",
        "PERL5DB",
        "RUBYLIB",
        "RUBYOPT",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "GIT_ASKPASS",
        "GIT_EDITOR",
        "GIT_EXEC_PATH",
        "GIT_EXTERNAL_DIFF",
        "GIT_PAGER",
        "GIT_PROXY_COMMAND",
        "GIT_SEQUENCE_EDITOR",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_TEMPLATE_DIR",
        "SSH_ASKPASS",
        "PGCHANNELBINDING",
        "PGCLIENTENCODING",
        "PGHOSTADDR",
        "PGLOADBALANCEHOSTS",
        "PGOPTIONS",
        "PGPASSFILE",
        "PGSERVICE",
        "PGSERVICEFILE",
        "PGSYSCONFDIR",
        "PGTARGETSESSIONATTRS",
    }
)

INSTEAD_OF_EXECUTOR = "Choose the executor and the worker queues in the form."
INSTEAD_OF_ACCESS = (
    "People sign in to Airflow through the portal, in the role that they have there."
)
INSTEAD_OF_SECRETS = (
    "Add the secrets backend on the page “Environment”, or keep connections and variables there."
)
INSTEAD_OF_LOGS = "The portal keeps logs where its pages find them."
INSTEAD_OF_TRUST = "Add your CA to the setting “CA bundle”."
INSTEAD_OF_PACKAGES = (
    "Add the index on the page “Package indexes”. For the virtual environment of a task, give it "
    "in the DAG, or in a connection of the type Package Index."
)
INSTEAD = "Remove it, or use another name for what your own code reads."
# The first pattern that fits says what to do instead.
_INSTEAD = (
    (re.compile(r"AIRFLOW__CORE__EXECUTOR|AIRFLOW__CELERY__WORKER_.*"), INSTEAD_OF_EXECUTOR),
    (
        re.compile(
            r"AIRFLOW__(API_AUTH|FAB|EXECUTION_API)__.*"
            r"|AIRFLOW__CORE__(AUTH_MANAGER|SIMPLE_AUTH_MANAGER_.*)"
        ),
        INSTEAD_OF_ACCESS,
    ),
    (re.compile(r"AIRFLOW__(SECRETS__|WORKERS__SECRETS_).*"), INSTEAD_OF_SECRETS),
    (re.compile(r"AIRFLOW__LOGGING__.*"), INSTEAD_OF_LOGS),
    (
        re.compile(r"(SSL_|OPENSSL_|PGSSL|GIT_SSL_|GRPC_|HTTPLIB2_).*|.*_CA_BUNDLE"),
        INSTEAD_OF_TRUST,
    ),
    (re.compile(r"(PIP_|UV_).*"), INSTEAD_OF_PACKAGES),
)


@dataclass(frozen=True)
class Refusal:
    """Why a name is closed, as a sentence for the person who typed it."""

    message: str


def refusal_of(key: str) -> Refusal | None:
    """Return why people may not set a variable of this name, None if they may.

    Names are compared in capitals: some programs read either spelling.
    """
    if not NAME.fullmatch(key):
        return Refusal(f"{key!r} cannot be the name of an environment variable.")
    name = key.upper()
    if name.startswith(OPTION_PREFIX):
        return _refusal_of_option(key, name)
    if name.startswith(OPEN_PREFIXES) and not name.startswith(PORTAL_CONNECTIONS):
        return None
    if name in CLOSED_NAMES or name.startswith(CLOSED_PREFIXES):
        return _closed(key)
    return None


def user_variables(variables: Iterable[VariableSpec]) -> dict[str, str]:
    """Return people's variables by name. Raises Permanent for a name that is closed.

    The form refuses it before; here it holds for revisions that were saved under another list.
    """
    found = {}
    for variable in variables:
        refusal = refusal_of(variable.key)
        if refusal:
            raise Permanent(refusal.message)
        found[variable.key] = variable.value
    return found


def proxies(settings: ProductionSpec) -> dict[str, str]:
    """Return the proxies of the settings as variables, which those of people replace."""
    found = {
        "HTTP_PROXY": settings.http_proxy,
        "HTTPS_PROXY": settings.https_proxy,
        "NO_PROXY": settings.no_proxy,
    }
    both = {name: value for name, value in found.items() if value}
    return both | {name.lower(): value for name, value in both.items()}


def with_direct_hosts(
    variables: Mapping[str, str], hosts: Iterable[str], *, known: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return variables in which a proxy of people never stands between Airflow's own components.

    `hosts` join what people except themselves, under both names that programs read; `known` are
    exceptions of theirs that are kept elsewhere.
    """
    said = [{**(known or {}), **variables}.get(name, "") for name in NO_PROXY]
    theirs = [host.strip() for text in said for host in text.split(",") if host.strip()]
    # Some programs understand “everything” only where it stands alone.
    joined = "*" if "*" in theirs else ",".join(dict.fromkeys([*hosts, *theirs]))
    return {**variables, **dict.fromkeys(NO_PROXY, joined)}


@cache
def allowed_options() -> frozenset[str]:
    """Return the variables of the options that a Deployment may set."""
    sections = tomllib.loads((OPTIONS_FOLDER / "allowed.toml").read_text())
    return frozenset(
        option_variable(section, option)
        for section, data in sections.items()
        for option in data["options"]
    )


@cache
def known_options() -> frozenset[str]:
    """Return the variables of all options of the Airflows of the catalogue."""
    found = allowed_options()
    for path in OPTIONS_FOLDER.glob("airflow-*.json"):
        sections = json.loads(path.read_text())
        found |= {
            option_variable(section, option)
            for section, options in sections.items()
            for option in options
        }
    return found


def option_variable(section: str, option: str) -> str:
    """Return the variable that Airflow reads an option from."""
    return f"{OPTION_PREFIX}{section.replace('.', '_').upper()}__{option.upper()}"


def _refusal_of_option(key: str, name: str) -> Refusal | None:
    if name in allowed_options():
        return None if key == name else Refusal(f"Airflow reads it in capitals only: {name}.")
    for ending in INDIRECT:
        plain = name.removesuffix(ending)
        if plain != name and plain in allowed_options():
            return Refusal(
                f"The portal does not let commands or secrets backends fill in {plain}. "
                f"Set {plain} itself."
            )
    if name in known_options() or name.endswith(INDIRECT):
        return _closed(key)
    similar = get_close_matches(name, allowed_options(), n=1, cutoff=0.9)
    if similar:
        return Refusal(f"There is no option {key} that a Deployment may set. Is it {similar[0]}?")
    return Refusal(
        f"There is no option {key} that a Deployment may set. The documentation lists them all."
    )


def _closed(key: str) -> Refusal:
    instead = next((text for form, text in _INSTEAD if form.fullmatch(key.upper())), INSTEAD)
    return Refusal(f"{key} is reserved for the portal. {instead}")
