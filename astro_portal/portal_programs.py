"""The portal's own processes: the web server, the Celery workers and the collector."""

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from apps.dataplane.local.config import SETTINGS as LOCAL_SETTINGS
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine.machine import CONNECT
from apps.dataplane.local.machine.programs import base_environment, edge_program, keeper_program
from apps.dataplane.local.machine.supervisor import Program
from astro_portal.env import env_int

PROJECT = Path(__file__).resolve().parent.parent
SETTINGS = ("PORTAL_", "DATABASE_URL", "REDIS_URL", "EMAIL_", "DEFAULT_FROM_EMAIL")
EDGE_SETTINGS = ("PORTAL_HOST", "PORTAL_EDGE_HOST", "PORTAL_URL", "PORTAL_AIRFLOW_URL")


def django_environment(home: Home) -> dict[str, str]:
    """Return the environment of every process that loads Django, based on the caller's own."""
    return {
        **_settings(SETTINGS),
        **base_environment(),
        "PORTAL_HOME": str(home.path),
        "DJANGO_SETTINGS_MODULE": "astro_portal.settings",
        "PYTHONUNBUFFERED": "1",
        # One malloc arena per thread would cost memory without saving time.
        "MALLOC_ARENA_MAX": "2",
    }


def code_digest() -> str:
    """Return a digest of the portal's code and packages: when it changes, its processes restart."""
    return digest_of([*sorted(PROJECT.glob("a*/**/*.py")), PROJECT / "requirements.lock"])


def digest_of(files: Iterable[Path]) -> str:
    """Return one SHA-256 of the names and contents of files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def portal_programs(home: Home, *, host: str, port: int) -> list[Program]:
    """Return web, worker and collect, which serves streams, sends alerts and is the clock of the
    jobs, too; the launcher starts them, not supervisord.
    """
    environment = {**django_environment(home), "ASTRO_PORTAL_CODE": code_digest()}
    web = [
        "gunicorn",
        "--bind",
        listener(host, port),
        "--worker-class",
        "apps.core.web.worker.PatientWorker",
        "--workers",
        "1",
    ]
    web += ["--threads", "8", "--timeout", "60", "--graceful-timeout", "20"]
    # Whom to believe about forwarded requests is the portal's own setting.
    web += ["--forwarded-allow-ips", ""]
    web += ["--no-control-socket", "astro_portal.wsgi"]
    celery = ["celery", "--app", "astro_portal"]
    worker = [
        *celery,
        "worker",
        "--concurrency",
        "2",
        "--loglevel",
        "INFO",
        "--hostname",
        "portal@%h",
        "--queues",
        ",".join(worker_queues()),
    ]
    worker += ["--without-gossip", "--without-mingle"]
    collect = ["manage", "collect", "--with-streams", "--with-clock"]
    return [
        _program(home, "web", web, environment),
        _program(
            home, "worker", worker, environment, stop_wait_seconds=60, stops_whole_group=False
        ),
        _program(home, "collect", collect, environment),
    ]


def connect_program(home: Home) -> Program:
    """Return the process with the watchers of Kubernetes clusters and the gateway to them."""
    environment = {**django_environment(home), "ASTRO_PORTAL_CODE": code_digest()}
    return _program(home, CONNECT, ["manage", "connect"], environment)


def worker_queues() -> list[str]:
    """Return the queues that a worker empties, the most urgent first (see deployments.tasks)."""
    shards = env_int("PORTAL_SHARDS", 1, minimum=1, maximum=64)
    return ["interactive", *(f"reconcile.{shard}" for shard in range(shards)), "background"]


def listener(host: str, port: int) -> str:
    """Write a host and a port as one address; an IPv6 address needs brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def companion_programs(home: Home) -> list[Program]:
    """Return the keeper and the edge, which keep running when the portal is stopped."""
    environment = {**base_environment(), "ASTRO_PORTAL_CODE": code_digest()}
    return [
        keeper_program(home, {**environment, **_settings(LOCAL_SETTINGS)}),
        edge_program(home, {**environment, **_settings(EDGE_SETTINGS)}),
    ]


def _settings(prefixes: Sequence[str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(tuple(prefixes))}


def _program(
    home: Home,
    name: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    stop_wait_seconds: int = 30,
    stops_whole_group: bool = True,
) -> Program:
    return Program(
        name=name,
        command=[sys.executable, "-m", *arguments],
        environment=environment,
        directory=PROJECT,
        log_file=home.logs / f"{name}.log",
        start_seconds=5,
        stop_wait_seconds=stop_wait_seconds,
        stops_whole_group=stops_whole_group,
        priority=100,
    )
