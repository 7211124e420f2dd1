"""The programs that a home runs beside Airflow: its services, the keeper and the edge."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import embedded_databases
from apps.dataplane.local.machine.supervisor import Program
from apps.dataplane.local.machine.system_user import postgres_account

PROJECT = Path(__file__).resolve().parents[4]
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def base_environment() -> dict[str, str]:
    """Return the part of the caller's environment that every process needs to run."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in PASSED_ON or name.upper() in PROXIES
    }


def postgres_program(home: Home) -> Program:
    return Program(
        name="postgres",
        command=embedded_databases.postgres_command(home),
        environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        directory=Path("/"),
        log_file=home.logs / "postgres.log",
        is_started_with_supervisord=True,
        start_seconds=1,
        stop_signal="INT",  # ends sessions; TERM would wait for every session to leave
        stop_wait_seconds=60,
        stops_whole_group=False,
        priority=10,
        user=postgres_account(home),
    )


def valkey_program(home: Home) -> Program:
    return Program(
        name="valkey",
        command=embedded_databases.valkey_command(home),
        environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        directory=home.valkey,
        log_file=home.logs / "valkey.log",
        is_started_with_supervisord=True,
        start_seconds=1,
        priority=10,
    )


def keeper_program(home: Home, environment: Mapping[str, str]) -> Program:
    return _python_program(home, "keeper", "apps.dataplane.local.control.autoscaler", environment)


def edge_program(home: Home, environment: Mapping[str, str]) -> Program:
    return _python_program(home, "edge", "apps.dataplane.local.edge.server", environment)


def _python_program(home: Home, name: str, module: str, environment: Mapping[str, str]) -> Program:
    return Program(
        name=name,
        command=[sys.executable, "-m", module],
        environment={**environment, "PORTAL_HOME": str(home.path)},
        directory=PROJECT,
        log_file=home.logs / f"{name}.log",
        is_started_with_supervisord=True,
        start_seconds=2,
        stop_wait_seconds=10,
        priority=50,
    )
