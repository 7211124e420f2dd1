"""Airflow's connections to a database server that goes without a word."""

import importlib.util
import socket
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
from django.db import connection

from tests.dataplane.kubernetes_render.matrix import manifests_of
from tests.dataplane.kubernetes_render.pods import find

PLUGIN = Path(__file__).resolve().parents[2] / "runtime" / "plugins" / "portal_database.py"
NAME = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS"


@pytest.fixture
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("portal_database", PLUGIN)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.django_db
def test_a_connection_gives_a_silent_server_up_within_a_minute_or_so(plugin: ModuleType) -> None:
    """Libpq takes the options, on the connection of a real server, and tells the kernel."""
    used = connection.get_connection_params()
    address = {key: used[key] for key in ("user", "password", "port", "dbname") if used.get(key)}

    level = socket.IPPROTO_TCP
    with (
        psycopg.connect(**address, host="127.0.0.1", **plugin.ARGUMENTS) as opened,
        socket.socket(fileno=socket.dup(opened.fileno())) as raw,
    ):
        idle = raw.getsockopt(level, socket.TCP_KEEPIDLE)
        interval = raw.getsockopt(level, socket.TCP_KEEPINTVL)
        count = raw.getsockopt(level, socket.TCP_KEEPCNT)
        unconfirmed = raw.getsockopt(level, socket.TCP_USER_TIMEOUT)

    assert idle + interval * count <= 60
    assert unconfirmed <= 60_000


def test_airflow_has_these_options_on_clusters() -> None:
    core = find(manifests_of("celery-keda"), "ConfigMap", "environment-core")["data"]

    assert core[NAME] == "portal_database.ARGUMENTS"
