"""Settings of production in the manifests: sizes, replicas, nodes, labels, quotas, proxies."""

import json
import re
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.config import ObjectStore
from apps.dataplane.kubernetes.render.components.autoscaling import capacity_of
from apps.dataplane.kubernetes.render.prometheus import exporter
from apps.dataplane.kubernetes.render.sizes import pool_of
from apps.dataplane.kubernetes.render.target import Target
from apps.dataplane.production import (
    Mount,
    NodeRequirement,
    ProductionSpec,
    SecretVariable,
    Size,
    Toleration,
)
from apps.dataplane.spec import VariableSpec
from tests.dataplane.kubernetes_render.matrix import (
    SERVER,
    make_config,
    make_spec,
    manifests,
    manifests_of,
    render,
)
from tests.dataplane.kubernetes_render.pods import find, pods_in

AFFINITY = (
    NodeRequirement(key="arch", operator="NotIn", values=("arm64",)),
    NodeRequirement(key="zone", operator="Exists"),
)
WANTED = {
    "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [
            {
                "matchExpressions": [
                    {"key": "arch", "operator": "NotIn", "values": ["arm64"]},
                    {"key": "zone", "operator": "Exists"},
                ]
            }
        ]
    }
}
LARGE = Size(cpu_millis=4000, memory_mib=8192)


def rendered(executor: str = "celery", **settings: Any) -> dict[tuple[str, str], Manifest]:
    queues = {} if executor == "celery" else {"queues": ()}
    spec = make_spec(executor=executor, settings=ProductionSpec(**settings), **queues)
    stages = render(spec=spec, config=make_config())
    return {(one["kind"], one["metadata"]["name"]): one for one in manifests(stages)}


def container(found: dict[tuple[str, str], Manifest], name: str) -> dict[str, Any]:
    return found["Deployment", name]["spec"]["template"]["spec"]["containers"][0]


def test_a_size_is_what_the_component_gets() -> None:
    found = rendered(scheduler_size=LARGE, dag_processor_size=LARGE, api_server_size=LARGE)

    assert container(found, "scheduler")["resources"]["limits"]["memory"] == "8Gi"
    assert container(found, "scheduler")["resources"]["requests"]["cpu"] == "1"
    assert container(found, "triggerer")["resources"]["limits"]["memory"] == "1Gi"
    environment = found["ConfigMap", "environment"]["data"]
    assert environment["AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES"] == "4"
    assert environment["AIRFLOW__API__WORKERS"] == "2"


def test_a_disk_is_what_the_component_may_fill_whatever_its_size() -> None:
    disks = {"scheduler_disk_gib": 20, "dag_processor_disk_gib": 30}
    found = rendered(**disks, dag_processor_size=LARGE)

    names = ("scheduler", "dag-processor", "api-server", "triggerer")
    limits = [container(found, name)["resources"]["limits"] for name in names]
    assert [one["ephemeral-storage"] for one in limits] == ["20Gi", "30Gi", "2Gi", "2Gi"]
    assert limits[1]["memory"] == "8Gi"


@pytest.mark.parametrize(("chosen", "disk"), [(2, "10Gi"), (40, "40Gi")])
def test_where_tasks_run_in_the_scheduler_its_disk_is_that_of_a_worker_at_least(
    chosen: int, disk: str
) -> None:
    scheduler = container(rendered("local", scheduler_disk_gib=chosen), "scheduler")

    assert scheduler["resources"]["limits"]["ephemeral-storage"] == disk


def test_high_availability_runs_two_in_different_zones_and_keeps_one_while_nodes_are_drained() -> (
    None
):
    usual, found = rendered(), rendered(high_availability=True, triggerer_replicas=3)

    replicas = {
        name: one["spec"]["replicas"]
        for (kind, name), one in found.items()
        if kind == "Deployment" and "replicas" in one["spec"]
    }
    assert replicas == {"scheduler": 2, "api-server": 2, "dag-processor": 1, "triggerer": 3}
    pod = found["Deployment", "scheduler"]["spec"]["template"]["spec"]
    assert [one["topologyKey"] for one in pod["topologySpreadConstraints"]] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    assert {one["whenUnsatisfiable"] for one in pod["topologySpreadConstraints"]} == {
        "ScheduleAnyway"
    }
    assert found["PodDisruptionBudget", "scheduler"]["spec"]["maxUnavailable"] == 1
    assert ("PodDisruptionBudget", "dag-processor") not in found
    assert ("PodDisruptionBudget", "scheduler") not in usual


def test_the_local_executor_has_one_scheduler_because_it_is_the_worker() -> None:
    found = rendered("local", high_availability=True, scheduler_replicas=3)

    assert found["Deployment", "scheduler"]["spec"]["replicas"] == 1


def test_every_pod_goes_to_the_nodes_that_are_chosen() -> None:
    for executor in ("celery", "kubernetes"):
        found = rendered(
            executor,
            node_selector=(("pool", "airflow"),),
            tolerations=(Toleration(key="spot", value="true", effect="NoSchedule"),),
            node_affinity=AFFINITY,
            priority_class="high",
        )

        pods = [pod["spec"] for one in found.values() for pod in pods_in(one)]

        assert len(pods) > 6
        assert all(pod["nodeSelector"] == {"pool": "airflow"} for pod in pods)
        assert all(pod["priorityClassName"] == "high" for pod in pods)
        assert all(pod["affinity"]["nodeAffinity"] == WANTED for pod in pods)
        assert all(
            pod["tolerations"]
            == [{"key": "spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}]
            for pod in pods
        )


def test_a_queue_has_nodes_disk_and_gpus_of_its_own() -> None:
    pod = find(manifests_of("production"), "Deployment", "worker-gpu")["spec"]["template"]["spec"]
    usual = find(manifests_of("production"), "Deployment", "worker-default")["spec"]["template"]

    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert [one["key"] for one in pod["tolerations"]] == ["gpu", "spot", "nvidia.com/gpu"]
    limits = pod["containers"][0]["resources"]["limits"]
    assert (limits["nvidia.com/gpu"], limits["ephemeral-storage"]) == ("1", "50Gi")
    assert usual["spec"]["nodeSelector"] == {"pool": "airflow"}
    # Its nodes are not also those of the others; workers stay apart in any case.
    assert usual["spec"]["affinity"].keys() == {"nodeAffinity", "podAntiAffinity"}
    assert pod["affinity"].keys() == {"podAntiAffinity"}


def test_own_secrets_and_volumes_reach_what_runs_code_of_users_and_nothing_else() -> None:
    secret = SecretVariable(variable="PASSWORD", secret="user-a", key="k")
    mount = Mount(kind="claim", name="user-data", path="/mnt/data")
    for executor in ("celery", "kubernetes"):
        found = rendered(executor, secret_variables=(secret,), mounts=(mount,))

        pods = [pod for one in found.values() for pod in pods_in(one)]

        having = {
            pod["metadata"]["labels"]["app.kubernetes.io/component"]
            for pod in pods
            if any(
                one["name"] == "PASSWORD"
                for container in pod["spec"]["containers"]
                for one in container.get("env", [])
            )
        }
        runs_tasks = "worker" if executor == "celery" else "task"
        assert having == {"api-server", "scheduler", "dag-processor", "triggerer", runs_tasks}
        claims = [
            pod["metadata"]["labels"]["app.kubernetes.io/component"]
            for pod in pods
            for volume in pod["spec"]["volumes"]
            if volume.get("persistentVolumeClaim", {}).get("claimName") == "user-data"
        ]
        assert set(claims) == having


def test_only_what_runs_tasks_gets_a_token_to_start_pods_and_the_quota_has_room_for_them() -> None:
    for executor, runs in (("celery", "worker"), ("kubernetes", "task"), ("local", "scheduler")):
        usual, found = rendered(executor), rendered(executor, pod_operator=True)

        before, after = ({*_with_token(usual)}, {*_with_token(found)})
        assert after - before == {("tasks", runs), ("tasks", "triggerer")}
        assert ("Role", "tasks") not in usual
        verbs = {
            resource: rule["verbs"]
            for rule in found["Role", "tasks"]["rules"]
            for resource in rule["resources"]
        }
        assert verbs.keys() == {"pods", "pods/log", "events"}
        assert verbs["pods/log"] == ["get"]
        pods = [
            int(one["ResourceQuota", "deployment"]["spec"]["hard"]["pods"])
            for one in (usual, found)
        ]
        assert pods[1] == pods[0] + 2 * 64


def test_a_prometheus_reaches_the_exporter_by_labels_that_the_cluster_names() -> None:
    for named, labels in (
        ((), {"app.kubernetes.io/name": "prometheus"}),
        ((("app", "vmagent"),), {"app": "vmagent"}),
    ):
        found = rendered(prometheus=True, prometheus_pods=named)

        policy = found["NetworkPolicy", "to-statsd"]["spec"]
        senders, scrapers = policy["ingress"]
        assert [port["port"] for port in senders["ports"]] == [9125]
        assert [list(peer) for peer in senders["from"]] == [["podSelector"]]
        assert scrapers["ports"] == [{"port": 9102, "protocol": "TCP"}]
        [peer] = scrapers["from"]
        assert peer["podSelector"] == {"matchLabels": labels}
        [only] = peer["namespaceSelector"]["matchExpressions"]
        assert (only["key"], only["operator"]) == ("astro-portal.dev/portal", "DoesNotExist")
    pod = found["Deployment", "statsd"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert "envFrom" not in pod["containers"][0]
    [outside] = found["NetworkPolicy", "outside"]["spec"]["podSelector"]["matchExpressions"]
    assert "statsd" not in outside["values"]


def test_an_exporter_sleeps_with_its_deployment_whoever_puts_it_to_sleep() -> None:
    settings = ProductionSpec(prometheus=True)
    spec = make_spec(settings=settings, is_hibernating=True)

    found = manifests(render(spec=spec, config=make_config()))

    [exporter] = [
        one for one in found if (one["kind"], one["metadata"]["name"]) == ("Deployment", "statsd")
    ]
    assert exporter["spec"]["replicas"] == 0
    assert Target(spec=make_spec(settings=settings), config=make_config()).awake["statsd"] == 1


def test_metrics_go_to_a_collector_and_then_there_is_no_exporter() -> None:
    found = rendered(prometheus=True, otel_metrics="http://otel.test:4318/v1/metrics")

    assert ("Deployment", "statsd") not in found
    assert ("NetworkPolicy", "to-statsd") not in found
    assert "AIRFLOW__METRICS__STATSD_ON" not in found["ConfigMap", "environment"]["data"]


def _with_token(found: dict[tuple[str, str], Manifest]) -> list[tuple[str, str]]:
    return [
        (
            pod["spec"]["serviceAccountName"],
            pod["metadata"]["labels"]["app.kubernetes.io/component"],
        )
        for one in found.values()
        for pod in pods_in(one)
        if pod["spec"].get("automountServiceAccountToken")
    ]


def test_labels_of_people_never_replace_those_of_the_portal() -> None:
    found = rendered(
        pod_labels=(("app.kubernetes.io/name", "other"), ("team", "data")),
        pod_annotations=(("astro-portal.dev/checksum", "same"), ("a.org/b", "c")),
    )

    metadata = found["Deployment", "scheduler"]["spec"]["template"]["metadata"]

    assert metadata["labels"]["team"] == "data"
    assert metadata["labels"]["app.kubernetes.io/name"] == "airflow"
    assert metadata["annotations"]["a.org/b"] == "c"
    assert metadata["annotations"]["astro-portal.dev/checksum"] != "same"
    assert "team" not in found["Deployment", "scheduler"]["spec"]["selector"]["matchLabels"]


def test_jobs_are_kept_out_of_a_mesh_and_components_are_not() -> None:
    found = rendered(mesh_opt_out=True)

    outside = {
        one["kind"]
        for one in found.values()
        for pod in pods_in(one)
        if pod["metadata"]["labels"].get("sidecar.istio.io/inject") == "false"
        and pod["metadata"]["annotations"].get("linkerd.io/inject") == "disabled"
    }
    assert outside == {"Job", "CronJob"}
    jobs = [one for one in found.values() if one["kind"] in ("Job", "CronJob")]
    assert len(jobs) == sum(
        "sidecar.istio.io/inject" in pod["metadata"]["labels"]
        for one in jobs
        for pod in pods_in(one)
    )


def test_the_quota_grows_with_the_sizes_and_is_what_is_set() -> None:
    def hard(executor: str = "kubernetes", **settings: Any) -> dict[str, str]:
        quota: dict[str, str] = rendered(executor, **settings)["ResourceQuota", "deployment"][
            "spec"
        ]["hard"]
        return quota

    assert hard()["requests.memory"] == "80768Mi"
    assert int(hard(task_pods=100)["pods"]) > int(hard()["pods"])
    grown = hard(scheduler_size=LARGE, scheduler_replicas=2)
    assert int(grown["requests.memory"].removesuffix("Mi")) > 80768
    fixed = hard(quota_cpu=16_500, quota_memory=65_536)
    assert (fixed["requests.cpu"], fixed["limits.memory"]) == ("16500m", "64Gi")
    environment = rendered("kubernetes", task_pods=100)["ConfigMap", "environment"]["data"]
    assert environment["AIRFLOW__CORE__PARALLELISM"] == "100"


def test_a_proxy_never_stands_between_airflows_own_components() -> None:
    found = rendered(https_proxy="http://proxy.test:3128", no_proxy=".corp.test")

    environment = found["ConfigMap", "environment"]["data"]

    assert environment["https_proxy"] == environment["HTTPS_PROXY"] == "http://proxy.test:3128"
    hosts = environment["NO_PROXY"].split(",")
    assert {"api-server", ".svc", ".corp.test"} <= set(hosts)


def test_the_cas_of_a_company_reach_every_process_of_airflow_beside_the_public_ones() -> None:
    for executor in ("celery", "kubernetes"):
        found = rendered(executor, ca_bundle="the company's")

        bundle = found["ConfigMap", "trust"]["data"]["ca-bundle.pem"]
        assert bundle.startswith("the company's\n")
        assert bundle.count("BEGIN CERTIFICATE") > 100
        assert found["ConfigMap", "environment"]["data"]["SSL_CERT_FILE"].endswith("ca-bundle.pem")
        having = {
            pod["metadata"]["labels"]["app.kubernetes.io/component"]
            for one in found.values()
            for pod in pods_in(one)
            for container in pod["spec"]["containers"]
            if any(mount["name"] == "trust" and mount["readOnly"] for mount in _mounts(container))
        }
        runs_tasks = "worker" if executor == "celery" else "task"
        assert having == {"api-server", "scheduler", "dag-processor", "triggerer", runs_tasks}
    assert ("ConfigMap", "trust") not in rendered()


def _mounts(container: dict[str, Any]) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = container.get("volumeMounts", [])
    return mounts


def test_a_mirror_serves_every_image_of_docker_hub() -> None:
    for executor, database in (("celery", None), ("kubernetes", None), ("celery", SERVER)):
        queues = {} if executor == "celery" else {"queues": ()}
        settings = ProductionSpec(pgbouncer=True, prometheus=True)
        spec = make_spec(executor=executor, settings=settings, **queues)
        config = make_config(image_mirror="mirror.test:5000/hub", database=database)

        images = {
            container["image"]
            for one in manifests(render(spec=spec, config=config))
            for pod in pods_in(one)
            for key in ("containers", "initContainers")
            for container in pod["spec"].get(key, [])
        }

        assert {image.partition("/")[0] for image in images} == {"mirror.test:5000"}
        assert "mirror.test:5000/hub/library/postgres:15-bookworm" in images
        assert "mirror.test:5000/hub/prom/statsd-exporter:v0.29.0" in images
        assert f"mirror.test:5000/hub/{spec.runtime.image}" in images


def test_the_exporters_image_is_of_the_release_that_is_tested_as_source() -> None:
    # The project tags an image for each of its releases, under the same name.
    modules = Path(__file__).parents[2] / "kubernetes" / "go" / "metrics" / "go.mod"
    (tested,) = re.findall(r"prometheus/statsd_exporter (v[0-9.]+)", modules.read_text())

    assert f"prom/statsd-exporter:{tested}" == exporter.IMAGE


def test_images_of_other_registries_stay_where_they_are() -> None:
    config = make_config(image_mirror="mirror.test/hub")

    assert config.mirrored("ghcr.io/acme/etl@sha256:5e") == "ghcr.io/acme/etl@sha256:5e"
    assert config.mirrored("localhost/etl:1") == "localhost/etl:1"
    assert config.mirrored("registry:5000/etl:1") == "registry:5000/etl:1"
    assert config.mirrored("docker.io/acme/etl:1") == "mirror.test/hub/acme/etl:1"
    assert config.mirrored("redis:7.2") == "mirror.test/hub/library/redis:7.2"
    assert make_config().mirrored("redis:7.2") == "redis:7.2"


def test_pgbouncer_serves_the_core_and_what_needs_a_session_goes_past_it() -> None:
    for server in (None, SERVER):
        spec = make_spec(settings=ProductionSpec(pgbouncer=True))
        found = {
            (one["kind"], one["metadata"]["name"]): one
            for one in manifests(render(spec=spec, config=make_config(database=server)))
        }

        def address(name: str, found: Any = found) -> str:
            data = found["Secret", name]["data"]["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
            return b64decode(data).decode().rpartition("@")[2]

        assert address("airflow").startswith("pgbouncer.airflow-tidy-comet.svc:6432/")
        past = "postgres.airflow-tidy-comet.svc:5432" if server is None else str(server)
        assert address("airflow-direct").startswith(past)
        for one in found.values():
            for pod in pods_in(one):
                _check_who_reads_which(pod)
        keda = b64decode(found["Secret", "keda-database"]["data"]["connection"]).decode()
        assert past in keda
        assert ("NetworkPolicy", "to-pgbouncer") in found
    assert ("Deployment", "pgbouncer") not in rendered()
    assert ("Secret", "airflow-direct") not in rendered()


def _check_who_reads_which(pod: dict[str, Any]) -> None:
    for key in ("containers", "initContainers"):
        for container in pod["spec"].get(key, []):
            read = {one.get("secretRef", {}).get("name") for one in container.get("envFrom", [])}
            programs = ("migrate", "wait-for-migrations", "clean-database")
            wanted = "airflow-direct" if container["name"] in programs else "airflow"
            assert read & {"airflow", "airflow-direct"} <= {wanted}


def test_pools_grow_with_what_connects() -> None:
    def pool(**settings: Any) -> tuple[int, int]:
        return pool_of(ProductionSpec(pgbouncer=True, **settings), "celery")

    clients, connections = pool()
    assert (clients, connections) == (200, 16)
    assert pool(scheduler_replicas=4, api_server_replicas=8) == (710, 66)
    # Two share what one opens.
    assert pool(high_availability=True) == (320, 15)


def _logs(store: ObjectStore) -> tuple[dict[str, str], dict[str, Any]]:
    objects = manifests(render(spec=make_spec(), config=make_config(object_store=store)))
    data = find(objects, "Secret", "task-logs")["data"]["AIRFLOW_CONN_PORTAL_LOGS"]
    environment = find(objects, "ConfigMap", "environment")["data"]
    options = {name: value for name, value in environment.items() if "REMOTE" in name}
    return options, json.loads(b64decode(data))


def test_logs_go_to_google_with_the_key_of_a_service_account_or_without() -> None:
    options, connection = _logs(ObjectStore(url="gs://logs/prod/", secret_key='{"type": "x"}'))
    _, without = _logs(ObjectStore(url="gs://logs"))

    assert options["AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER"] == "gs://logs/prod/tidy-comet"
    assert options["AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID"] == "portal_logs"
    assert connection["conn_type"] == "google_cloud_platform"
    assert connection["extra"] == {"keyfile_dict": '{"type": "x"}'}
    assert without["extra"] == {}


def test_logs_go_to_a_container_of_azure() -> None:
    url = "wasbs://logs@account.blob.core.windows.net"
    options, connection = _logs(ObjectStore(url=f"{url}/prod", secret_key="key"))
    whole, _ = _logs(ObjectStore(url=url))

    assert options["AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER"] == "wasb://prod/tidy-comet"
    assert whole["AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER"] == "wasb://tidy-comet"
    assert options["AIRFLOW__AZURE_REMOTE_LOGGING__REMOTE_WASB_LOG_CONTAINER"] == "logs"
    assert connection == {
        "conn_type": "wasb",
        "host": "https://account.blob.core.windows.net",
        "login": "account",
        "password": "key",
        "extra": {},
    }


def _elastic(**store: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the options and the secrets of logs in Elasticsearch."""
    url = store.pop("url", "https://elastic.test:9200/airflow")
    spec = make_spec(settings=ProductionSpec(ca_bundle=store.pop("ca_bundle", "")))
    config = make_config(object_store=ObjectStore(url=url, **store))
    objects = manifests(render(spec=spec, config=config))
    plain = find(objects, "ConfigMap", "environment")["data"]
    secret = find(objects, "Secret", "task-logs")["data"]
    return plain, {name: b64decode(value).decode() for name, value in secret.items()}


def test_logs_go_to_an_index_of_elasticsearch_of_the_deployments_own() -> None:
    options, secrets = _elastic(access_key="airflow", secret_key="pass:wörd")
    section = "AIRFLOW__ELASTICSEARCH__"

    assert options[f"{section}HOST"] == "https://elastic.test:9200"
    assert options[f"{section}TARGET_INDEX"] == "airflow-tidy-comet"
    # Where Airflow reads: with the default it would find logs of others.
    assert options[f"{section}INDEX_PATTERNS"] == "airflow-tidy-comet"
    assert (options[f"{section}WRITE_TO_ES"], options[f"{section}JSON_FORMAT"]) == ("True", "True")
    assert options["AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER"] == ""
    pair = b64encode("airflow:pass:wörd".encode()).decode()
    assert secrets["AIRFLOW__ELASTICSEARCH_CONFIGS__BASIC_AUTH"] == pair
    assert "AIRFLOW_CONN_PORTAL_LOGS" not in secrets
    assert pair not in json.dumps(options)
    assert "AIRFLOW__ELASTICSEARCH_CONFIGS__CA_CERTS" not in options


def test_elasticsearch_takes_an_api_key_or_none_and_the_cas_of_a_company() -> None:
    _, with_key = _elastic(secret_key="bW9yZSB0aGFuIHR3ZW50eQ==")
    options, without = _elastic(url="https://elastic.test/logs/", ca_bundle="PEM")

    assert with_key["AIRFLOW__ELASTICSEARCH_CONFIGS__API_KEY"] == "bW9yZSB0aGFuIHR3ZW50eQ=="
    assert set(without) == {"AIRFLOW__API__SECRET_KEY"}
    assert options["AIRFLOW__ELASTICSEARCH__HOST"] == "https://elastic.test:443"
    assert options["AIRFLOW__ELASTICSEARCH__TARGET_INDEX"] == "logs-tidy-comet"
    assert options["AIRFLOW__ELASTICSEARCH_CONFIGS__CA_CERTS"] == "/opt/portal/trust/ca-bundle.pem"


def test_a_namespace_that_gives_user_ids_gets_pods_without() -> None:
    for database in (None, SERVER):
        for executor in ("celery", "kubernetes"):
            queues = {} if executor == "celery" else {"queues": ()}
            spec = make_spec(executor=executor, settings=ProductionSpec(pgbouncer=True), **queues)
            usual = render(spec=spec, config=make_config(database=database))
            found = render(spec=spec, config=make_config(database=database, gives_user_ids=True))

            assert _user_ids(manifests(usual)) > {"runAsUser", "fsGroup"}
            assert _user_ids(manifests(found)) == set()


def _user_ids(objects: list[Manifest]) -> set[str]:
    text = json.dumps([pod for one in objects for pod in pods_in(one)])
    return {name for name in ("runAsUser", "runAsGroup", "fsGroup") if f'"{name}":' in text}


def test_keda_runs_as_many_triggerers_as_deferred_tasks_need() -> None:
    for executor in ("celery", "kubernetes"):
        found = rendered(executor, triggerer_most_replicas=5, high_availability=True)

        rule = found["ScaledObject", "triggerer"]["spec"]
        assert (rule["minReplicaCount"], rule["maxReplicaCount"]) == (2, 5)
        assert "count(*)::decimal / 1000)" in rule["triggers"][0]["metadata"]["query"]
        assert "replicas" not in found["Deployment", "triggerer"]["spec"]
        assert ("PodDisruptionBudget", "triggerer") in found
        assert ("Secret", "keda-database") in found
        assert "keda-operator" in json.dumps(found["NetworkPolicy", "to-postgres"])
    assert ("ScaledObject", "triggerer") not in rendered(triggerer_most_replicas=1)
    assert ("Secret", "keda-database") not in rendered("kubernetes")


def test_without_keda_triggerers_stay_at_their_replicas() -> None:
    spec = make_spec(settings=ProductionSpec(triggerer_most_replicas=5))
    objects = manifests(render(spec=spec, config=make_config(has_keda=False)))

    assert find(objects, "Deployment", "triggerer")["spec"]["replicas"] == 1
    assert not [one for one in objects if one["kind"] == "ScaledObject"]


def test_a_triggerer_that_runs_fewer_triggers_is_needed_sooner() -> None:
    for value, capacity in (("250", 250), ("0", 1), ("many", 1000), ("9" * 9, 1000)):
        said = VariableSpec(key="AIRFLOW__TRIGGERER__CAPACITY", value=value, is_secret=False)

        target = Target(spec=make_spec(variables=(said,)), config=make_config())

        assert capacity_of(target) == capacity
