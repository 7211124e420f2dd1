"""Connections to the cluster's PostgreSQL server are encrypted as the cluster's settings say."""

from base64 import b64decode
from dataclasses import replace
from typing import Any

import pytest

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import render
from tests.dataplane.kubernetes_render.matrix import SERVER, make_config, make_spec, manifests
from tests.dataplane.kubernetes_render.pods import containers_of, find, pods_in

CA_FILE = "/opt/portal/programs/database-ca.pem"
ARGUMENTS = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS_ASYNC"
ADMIN = "tidy-comet-admin"


def _objects(sslmode: str, ca: str = "") -> list[Manifest]:
    server = replace(SERVER, sslmode=sslmode, ca_certificate=ca)
    return manifests(render(spec=make_spec(), config=make_config(database=server)))


def _values(objects: list[Manifest], name: str) -> dict[str, str]:
    data = find(objects, "Secret", name)["data"]
    return {key: b64decode(value).decode() for key, value in data.items()}


@pytest.mark.parametrize("sslmode", ["disable", "require"])
def test_encryption_alone_is_said_to_each_driver_in_its_words(sslmode: str) -> None:
    objects = _objects(sslmode)

    airflow = _values(objects, "airflow")
    assert airflow["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].endswith(f"?sslmode={sslmode}")
    assert airflow["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"].startswith("postgresql+asyncpg://")
    assert airflow["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"].endswith(f"?ssl={sslmode}")
    assert _values(objects, ADMIN)["PGSSLMODE"] == sslmode
    assert f"sslmode={sslmode}" in _values(objects, "keda-database")["connection"]


@pytest.mark.parametrize("sslmode", ["verify-ca", "verify-full"])
def test_every_pod_that_reaches_the_server_has_the_ca(sslmode: str) -> None:
    objects = _objects(sslmode, ca="a certificate")

    airflow, admin = _values(objects, "airflow"), _values(objects, ADMIN)
    url = airflow["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert f"?sslmode={sslmode}&sslrootcert=%2Fopt%2Fportal%2Fprograms%2Fdatabase-ca.pem" in url
    assert "?" not in airflow["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"]
    core = find(objects, "ConfigMap", "environment-core")["data"]
    assert core["PORTAL_DATABASE_CA"] == CA_FILE
    assert (admin["PGSSLMODE"], admin["PGSSLROOTCERT"]) == (sslmode, CA_FILE)
    reached = [
        container
        for manifest in objects
        for pod in pods_in(manifest)
        for container in containers_of(pod)
        if {_source(source) for source in container.get("envFrom", [])} & {"airflow", ADMIN}
    ]
    assert len(reached) >= 11
    for container in reached:
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert "/opt/portal/programs" in mounts
    for name in ("programs", "tidy-comet-programs"):
        assert find(objects, "ConfigMap", name)["data"]["database-ca.pem"] == "a certificate"


def test_another_ca_runs_the_jobs_again() -> None:
    def jobs(ca: str) -> set[str]:
        objects = _objects("verify-full", ca)
        names = [one["metadata"]["name"] for one in objects if one["kind"] == "Job"]
        return {name for name in names if "drop" not in name}

    assert len(jobs("one")) == 2
    assert not jobs("one") & jobs("two")


@pytest.mark.parametrize("sslmode", ["prefer", "require"])
def test_asynchronous_connections_keep_no_statements_where_a_pooler_may_be(sslmode: str) -> None:
    core = find(_objects(sslmode), "ConfigMap", "environment-core")["data"]
    own = manifests(render(spec=make_spec(), config=make_config()))

    assert core[ARGUMENTS] == "portal_database.ASYNC_ARGUMENTS"
    assert "PORTAL_DATABASE_CA" not in core
    assert ARGUMENTS not in find(own, "ConfigMap", "environment-core")["data"]


def _source(source: dict[str, Any]) -> str:
    name: str = source.get("secretRef", {}).get("name", "")
    return name
