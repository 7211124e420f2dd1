"""What is secret is in Secrets alone, and each process has only those that it needs."""

import json
from base64 import b64decode
from typing import Any

import pytest

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import render
from apps.dataplane.spec import AirflowSecrets
from tests.dataplane.kubernetes_render.matrix import (
    CANARY,
    CASES,
    HEAVY,
    LONGEST,
    SERVER,
    STORE,
    VARIABLES,
    make_config,
    make_spec,
    manifests,
    manifests_of,
)
from tests.dataplane.kubernetes_render.pods import containers_of, find, pods_in
from tests.dataplane.specs import DEFAULT_QUEUE

FERNET, JWT, ROOT = f"fernet-{CANARY}", f"jwt-{CANARY}", f"root-{CANARY}"
SECRETS = AirflowSecrets(fernet_key=FERNET, jwt_secret=JWT, api_secret_key=ROOT)


def _render(**changes: Any) -> list[Manifest]:
    config = {key: changes.pop(key) for key in ("database", "object_store") if key in changes}
    spec = make_spec(secrets=SECRETS, variables=VARIABLES, **changes)
    return manifests(render(spec=spec, config=make_config(**config)))


def _values(secret: Manifest) -> dict[str, str]:
    return {key: b64decode(value).decode() for key, value in secret.get("data", {}).items()}


@pytest.mark.parametrize("executor", ["celery", "kubernetes", "local"])
def test_no_secret_is_outside_a_secret_object(executor: str) -> None:
    queues = (DEFAULT_QUEUE, HEAVY, LONGEST) if executor == "celery" else ()
    objects = _render(executor=executor, queues=queues, database=SERVER, object_store=STORE)
    passwords = {
        value.partition("@")[0].rpartition(":")[2]
        for manifest in objects
        if manifest["kind"] == "Secret"
        for value in _values(manifest).values()
        if "://" in value and "@" in value
    }
    assert passwords

    for manifest in objects:
        if manifest["kind"] != "Secret":
            text = json.dumps(manifest)
            assert CANARY not in text
            assert not [password for password in passwords if password in text]


def test_the_root_of_all_passwords_never_enters_the_cluster() -> None:
    for manifest in _render(object_store=STORE):
        if manifest["kind"] == "Secret":
            assert ROOT not in _values(manifest).values()


def test_the_server_s_password_is_in_the_portal_s_namespace_alone() -> None:
    with_password = {
        manifest["metadata"]["namespace"]
        for manifest in _render(database=SERVER)
        if manifest["kind"] == "Secret" and SERVER.password in _values(manifest).values()
    }

    assert with_password == {"astro-portal-databases"}


@pytest.mark.parametrize("executor", ["celery", "kubernetes"])
def test_what_runs_tasks_alone_knows_no_database_and_no_key(executor: str) -> None:
    objects = _render(executor=executor, queues=(DEFAULT_QUEUE,) if executor == "celery" else ())
    component = "worker" if executor == "celery" else "task"

    environment = _environment(objects, component)

    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in environment
    assert not {FERNET, JWT} & set(environment.values())
    assert "AIRFLOW__API__SECRET_KEY" not in environment
    assert "postgresql" not in json.dumps(environment)
    assert environment["TOKEN"] == f"{CANARY}-of-$(the)-user"


def test_a_worker_serves_the_logs_of_running_tasks_where_no_claim_is_shared() -> None:
    objects = _render(object_store=STORE)

    worker, api_server = _environment(objects, "worker"), _environment(objects, "api-server")

    assert worker["AIRFLOW__API__SECRET_KEY"] == api_server["AIRFLOW__API__SECRET_KEY"]
    (pod,) = [pod for m in objects for pod in pods_in(m) if _component(pod) == "worker"]
    assert "--skip-serve-logs" not in pod["spec"]["containers"][0]["args"]


def test_the_user_s_values_reach_processes_as_they_are() -> None:
    environment = _environment(_render(), "worker")

    assert environment["GREETING"] == "$(HOSTNAME) costs $5 and 100%\n…"
    assert environment["AIRFLOW__CORE__PARALLELISM"] == "7"
    assert environment["AIRFLOW__WORKERS__EXECUTION_API_RETRIES"] == "3"


def test_no_value_of_a_user_stands_in_a_pod_s_own_environment() -> None:
    # There Kubernetes would replace "$(X)".
    for manifest in _render():
        for pod in pods_in(manifest):
            for container in containers_of(pod):
                plain = [entry.get("value", "") for entry in container.get("env", [])]
                assert not [value for value in plain if "$(" in value]


def test_only_what_starts_task_pods_or_scales_gets_a_token() -> None:
    for case in CASES:
        with_token = {
            _component(pod)
            for manifest in manifests_of(case)
            for pod in pods_in(manifest)
            if pod["spec"].get("automountServiceAccountToken") is not False
        }
        spec, config = CASES[case]
        expected = {"scheduler", "api-server"} if spec.executor == "kubernetes" else set()
        if spec.settings.pod_operator:
            expected |= {"worker", "triggerer"}
        if config.may_scale:
            expected |= {"hibernation"}
        assert with_token == expected


def test_passwords_differ_between_deployments_and_purposes() -> None:
    def passwords(ref: str) -> list[str]:
        objects = manifests(render(spec=make_spec(ref=ref), config=make_config()))
        values = _values(find(objects, "Secret", "database-admin"))
        redis = _values(find(objects, "Secret", "redis"))["redis.conf"]
        return [*(values[key] for key in values if key.endswith("PASSWORD")), redis]

    found = {*passwords("first"), *passwords("second")}

    assert len(found) == 8  # POSTGRES_PASSWORD is PGPASSWORD


def _component(pod: Manifest) -> str:
    return str(pod["metadata"]["labels"]["app.kubernetes.io/component"])


def _environment(objects: list[Manifest], component: str) -> dict[str, str]:
    """Return what the container of a component finds in its environment."""
    (pod,) = [pod for m in objects for pod in pods_in(m) if _component(pod) == component]
    (container,) = pod["spec"]["containers"]
    environment: dict[str, str] = {}
    for source in container["envFrom"]:
        if "secretRef" in source:
            environment |= _values(find(objects, "Secret", source["secretRef"]["name"]))
        else:
            environment |= find(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    return environment | {entry["name"]: entry["value"] for entry in container.get("env", [])}
