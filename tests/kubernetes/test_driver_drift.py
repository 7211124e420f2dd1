"""What others change by hand: seen, named, and put right or left alone as the policy says."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.hibernation.plans import HibernationPlan, Override, Schedule, plan_to_json
from apps.dataplane.kubernetes.config import ClusterConfig, DatabaseServer
from apps.dataplane.kubernetes.names import namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.spec import DeploymentSpec, VariableSpec
from tests.dataplane.specs import make_spec
from tests.kubernetes.conftest import config_of, own_name
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.deployments import differences, settle, small_spec, workload

INITIAL = "spec.template.spec.initContainers[wait-for-migrations]"


@pytest.fixture(scope="module")
def cluster_config(control_plane: ControlPlane) -> ClusterConfig:
    """One portal for all tests of this module: a Deployment belongs to it."""
    return config_of(control_plane.connection)


@pytest.fixture(scope="module")
def shared_ref(control_plane: ControlPlane) -> Iterator[str]:
    with own_name(control_plane) as name:
        yield name


@pytest.fixture
def spec(kubernetes_plane: KubernetesPlane, shared_ref: str) -> DeploymentSpec:
    """A Deployment that tests share, as it is wanted: whatever a test left on it is put right."""
    wanted = small_spec(shared_ref)
    settle(kubernetes_plane, wanted)
    return wanted


def patch(control_plane: ControlPlane, ref: str, what: str, change: dict) -> None:
    where = ("-n", namespace_of(ref), "--type=strategic", "-p", json.dumps(change))
    control_plane.kubectl("patch", *what.split("/"), *where)


def with_image(image: str, container: str = "scheduler") -> dict:
    return {"spec": {"template": {"spec": {"containers": [{"name": container, "image": image}]}}}}


def assert_put_right(
    control_plane: ControlPlane, config: ClusterConfig, plane: KubernetesPlane, spec: DeploymentSpec
) -> None:
    """Let the plane do what it does about drift, and let kubectl find no difference."""
    settle(plane, spec)

    assert not plane.observe(ref=spec.ref).is_drifted
    assert differences(control_plane, config, spec) == ""


def test_a_change_by_hand_is_named_field_by_field_and_put_right(
    control_plane: ControlPlane,
    cluster_config: ClusterConfig,
    kubernetes_plane: KubernetesPlane,
    spec: DeploymentSpec,
) -> None:
    patch(control_plane, spec.ref, "deployment/scheduler", with_image("evil.test/x:1"))

    observation = kubernetes_plane.observe(ref=spec.ref)
    (drift,) = kubernetes_plane.drift(spec=spec)

    assert observation.is_drifted
    assert [one.object for one in observation.drift] == ["Deployment/scheduler"]
    assert drift.object == "Deployment/scheduler"
    assert "spec.template.spec.containers[scheduler].image" in drift.fields

    assert_put_right(control_plane, cluster_config, kubernetes_plane, spec)


def test_a_change_is_left_alone_where_the_policy_says_so(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    spec = small_spec(ref, corrects_drift=False)
    settle(kubernetes_plane, spec)
    patch(control_plane, ref, "deployment/scheduler", with_image("mine.test/x:1"))

    settle(kubernetes_plane, spec)

    containers = workload(control_plane, ref, "scheduler")["spec"]["template"]["spec"]["containers"]
    assert containers[0]["image"] == "mine.test/x:1"
    assert kubernetes_plane.observe(ref=ref).is_drifted
    assert kubernetes_plane.drift(spec=spec)


def test_what_is_deleted_by_hand_comes_back(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, spec: DeploymentSpec
) -> None:
    where = ("-n", namespace_of(spec.ref))
    control_plane.kubectl("delete", "service", "api-server", *where)
    control_plane.kubectl("delete", "deployment", "scheduler", *where)

    drift = {one.object for one in kubernetes_plane.drift(spec=spec)}

    assert drift == {"Service/api-server", "Deployment/scheduler"}

    settle(kubernetes_plane, spec)

    assert control_plane.exists("service", "api-server", *where)
    assert kubernetes_plane.observe(ref=spec.ref).health == "healthy"


def test_what_hibernates_has_no_pod_is_no_drift_and_wakes(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    awake = small_spec(ref)
    settle(kubernetes_plane, awake)
    override = Override(is_hibernating=True, since=datetime.now(UTC))
    plan = HibernationPlan(override=override, task_minutes=5)
    asleep = replace(awake, hibernation=plan, is_hibernating=True)

    first = kubernetes_plane.apply(spec=asleep)

    # LocalExecutor's scheduler may run tasks, which report to the api-server.
    assert not first.is_done
    assert first.steps[-1].title == "Let running tasks end"
    assert workload(control_plane, ref, "api-server")["spec"]["replicas"] == 1

    settle(kubernetes_plane, asleep)

    pods = control_plane.objects("pods", namespace_of(ref))
    left = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods}
    assert not left & {"api-server", "scheduler", "dag-processor", "triggerer"}, left
    assert "postgres" in left
    observation = kubernetes_plane.observe(ref=ref)
    assert (observation.health, observation.is_drifted) == ("stopped", False)

    scaled = {"spec": {"replicas": 1}}
    patch(control_plane, ref, "deployment/scheduler", scaled)
    assert kubernetes_plane.observe(ref=ref).is_drifted
    settle(kubernetes_plane, asleep)
    assert workload(control_plane, ref, "scheduler")["spec"]["replicas"] == 0

    settle(kubernetes_plane, replace(awake, hibernation=HibernationPlan()))

    assert kubernetes_plane.observe(ref=ref).health == "healthy"


def test_a_task_that_never_ends_is_ended_when_its_time_is_over(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    awake = small_spec(ref)
    settle(kubernetes_plane, awake)
    where = ("-n", namespace_of(ref))
    busy = ("pod", "-l", "app.kubernetes.io/component=scheduler")
    finalizers = json.dumps({"metadata": {"finalizers": ["tests.example/stays"]}})
    (name,) = control_plane.kubectl("get", *busy, *where, "-o", "name").split()
    control_plane.kubectl("patch", name, *where, "--type=merge", "-p", finalizers)
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    plan = HibernationPlan(override=Override(is_hibernating=True, since=long_ago))

    progress = kubernetes_plane.apply(spec=replace(awake, hibernation=plan, is_hibernating=True))

    assert not progress.is_done
    said = json.loads(control_plane.kubectl("get", name, *where, "-o", "json"))
    assert said["metadata"]["deletionGracePeriodSeconds"] == 0
    control_plane.kubectl(
        "patch", name, *where, "--type=merge", "-p", '{"metadata": {"finalizers": null}}'
    )
    settle(kubernetes_plane, replace(awake, hibernation=plan, is_hibernating=True))


def test_a_secret_that_somebody_changed_is_put_right_and_not_quoted(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, spec: DeploymentSpec
) -> None:
    key = "AIRFLOW__CORE__FERNET_KEY"
    change = {"stringData": {key: "canary-value"}}
    control_plane.kubectl(
        *("patch", "secret", "airflow", "-n", namespace_of(spec.ref)),
        *("--type=merge", "-p", json.dumps(change)),
    )

    (drift,) = kubernetes_plane.drift(spec=spec)

    assert drift.object == "Secret/airflow"
    assert drift.fields == (f"data.{key}",)
    assert drift.values == {}

    settle(kubernetes_plane, spec)

    assert kubernetes_plane.drift(spec=spec) == ()


def test_an_autoscaler_is_nobody_who_drifts(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    spec = make_spec(ref)
    settle(kubernetes_plane, spec)
    control_plane.kubectl(
        "scale", "deployment", "worker-default", "--replicas=3", "-n", namespace_of(ref)
    )

    assert not kubernetes_plane.observe(ref=ref).is_drifted
    assert kubernetes_plane.apply(spec=spec).is_done
    assert workload(control_plane, ref, "worker-default")["spec"]["replicas"] == 3


def test_somebody_who_scales_the_scheduler_away_drifts(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, spec: DeploymentSpec
) -> None:
    control_plane.kubectl(
        "scale", "deployment", "scheduler", "--replicas=0", "-n", namespace_of(spec.ref)
    )

    assert kubernetes_plane.observe(ref=spec.ref).is_drifted

    settle(kubernetes_plane, spec)

    assert workload(control_plane, spec.ref, "scheduler")["spec"]["replicas"] == 1


def test_what_others_add_beside_our_fields_is_theirs(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    spec = small_spec(ref, corrects_drift=False)
    settle(kubernetes_plane, spec)
    where = ("-n", namespace_of(ref))
    control_plane.kubectl("annotate", "service", "api-server", "theirs=yes", *where)

    settle(kubernetes_plane, replace(spec))

    service = json.loads(control_plane.kubectl("get", "service", "api-server", *where, "-o=json"))
    assert service["metadata"]["annotations"]["theirs"] == "yes"
    assert not kubernetes_plane.observe(ref=ref).is_drifted


def test_labels_and_annotations_of_ours_are_put_back(
    control_plane: ControlPlane,
    cluster_config: ClusterConfig,
    kubernetes_plane: KubernetesPlane,
    spec: DeploymentSpec,
) -> None:
    home = f"namespace/{namespace_of(spec.ref)}"
    changes = [
        ("networkpolicy/deny-all", "label", "app.kubernetes.io/name=x"),
        ("cronjob/log-cleanup", "label", "app.kubernetes.io/managed-by-"),
        ("deployment/scheduler", "label", "app.kubernetes.io/instance=x"),
        ("resourcequota/deployment", "label", "app.kubernetes.io/component-"),
        (home, "label", "pod-security.kubernetes.io/enforce=privileged"),
        (home, "label", "pod-security.kubernetes.io/warn-"),
        (home, "annotate", "astro-portal.dev/revision=7"),
        (home, "annotate", "astro-portal.dev/name-"),
    ]
    for what, verb, key in changes:
        control_plane.kubectl(verb, "--overwrite", what, key, "-n", namespace_of(spec.ref))

    seen = {one.object.lower() for one in kubernetes_plane.observe(ref=spec.ref).drift}
    surveyed = {one.object.lower() for one in dict(kubernetes_plane.survey())[spec.ref].drift}
    drift = kubernetes_plane.drift(spec=spec)

    assert seen == surveyed == {what for what, _, _ in changes}
    fields = {f"{one.object.lower()} {field}" for one in drift for field in one.fields}
    assert fields == {
        f"{what} metadata.{verb.replace('annotate', 'annotation')}s.{key.split('=')[0].rstrip('-')}"
        for what, verb, key in changes
    }

    assert_put_right(control_plane, cluster_config, kubernetes_plane, spec)


def test_a_label_of_ours_is_left_alone_where_the_policy_says_so(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    spec = small_spec(ref, corrects_drift=False)
    settle(kubernetes_plane, spec)
    where = ("deployment/scheduler", "-n", namespace_of(ref))
    control_plane.kubectl("label", "--overwrite", *where, "app.kubernetes.io/name=mine")

    settle(kubernetes_plane, spec)

    labels = workload(control_plane, ref, "scheduler")["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "mine"
    assert kubernetes_plane.observe(ref=ref).is_drifted


def test_labels_of_others_are_nobodys_drift(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, spec: DeploymentSpec
) -> None:
    space = namespace_of(spec.ref)
    for what in ("deployment/scheduler", "networkpolicy/deny-all", f"namespace/{space}"):
        control_plane.kubectl("label", what, "theirs=yes", "-n", space)
        control_plane.kubectl("annotate", what, "theirs.test/x=yes", "-n", space)

    assert not kubernetes_plane.observe(ref=spec.ref).is_drifted
    assert not dict(kubernetes_plane.survey())[spec.ref].is_drifted


def test_a_database_on_the_clusters_server_is_nobodys_drift(
    cluster_config: ClusterConfig, ref: str
) -> None:
    server = DatabaseServer(host="db.test", port=5432, user="maker", password="secret")
    plane, spec = KubernetesPlane(replace(cluster_config, database=server)), small_spec(ref)

    settle(plane, spec)

    assert plane.observe(ref=ref).drift == ()
    assert dict(plane.survey())[ref].drift == ()


def set_env(control_plane: ControlPlane, ref: str, *variables: str) -> None:
    where = ("-n", namespace_of(ref))
    control_plane.kubectl("set", "env", "deployment/scheduler", *variables, *where)


def env_of(control_plane: ControlPlane, ref: str) -> dict[str, str]:
    (container,) = workload(control_plane, ref, "scheduler")["spec"]["template"]["spec"][
        "containers"
    ]
    return {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}


def test_what_others_add_inside_our_objects_is_named_with_its_author_and_taken_out(
    control_plane: ControlPlane,
    cluster_config: ClusterConfig,
    kubernetes_plane: KubernetesPlane,
    spec: DeploymentSpec,
) -> None:
    before = workload(control_plane, spec.ref, "scheduler")
    set_env(control_plane, spec.ref, "FOO=canary-bar")

    seen = kubernetes_plane.observe(ref=spec.ref)
    (drift,) = kubernetes_plane.drift(spec=spec)

    assert seen.is_drifted
    path = "spec.template.spec.containers[scheduler].env[FOO]"
    assert drift.object == "Deployment/scheduler"
    assert set(drift.fields) == {path, f"{INITIAL}.env[FOO]"}
    by, at = drift.authors[path]
    assert by == "kubectl-set"
    assert datetime.fromisoformat(at) - datetime.now(UTC) < timedelta(minutes=5)
    assert "canary" not in str(drift)
    assert drift.described(path) == f"{path} (by kubectl-set)"

    assert_put_right(control_plane, cluster_config, kubernetes_plane, spec)

    after = workload(control_plane, spec.ref, "scheduler")
    assert "FOO" not in env_of(control_plane, spec.ref)
    assert after["spec"] == before["spec"]
    # Added and removed: nothing was rolled out besides.
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 2
    assert kubernetes_plane.drift(spec=spec) == ()
    assert not dict(kubernetes_plane.survey())[spec.ref].is_drifted


def test_what_is_added_by_the_name_of_the_portal_is_taken_out_as_well(
    control_plane: ControlPlane,
    cluster_config: ClusterConfig,
    kubernetes_plane: KubernetesPlane,
    spec: DeploymentSpec,
) -> None:
    set_env(control_plane, spec.ref, "FOO=bar", "--field-manager=astro-portal")

    (drift,) = kubernetes_plane.drift(spec=spec)

    path = "spec.template.spec.containers[scheduler].env[FOO]"
    assert drift.authors[path][0] == "astro-portal"

    assert_put_right(control_plane, cluster_config, kubernetes_plane, spec)

    assert "FOO" not in env_of(control_plane, spec.ref)
    assert kubernetes_plane.drift(spec=spec) == ()


def test_what_others_add_is_left_and_shown_where_the_policy_says_so(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    spec = small_spec(ref, corrects_drift=False)
    settle(kubernetes_plane, spec)
    set_env(control_plane, ref, "FOO=bar")

    settle(kubernetes_plane, spec)

    assert env_of(control_plane, ref)["FOO"] == "bar"
    assert kubernetes_plane.observe(ref=ref).is_drifted

    variable = VariableSpec(key="MORE", value="1", is_secret=False)
    newer = replace(spec, revision=2, variables=(variable,))
    settle(kubernetes_plane, newer)

    assert env_of(control_plane, ref)["FOO"] == "bar"
    assert kubernetes_plane.observe(ref=ref).is_drifted
    (drift,) = kubernetes_plane.drift(spec=newer)
    assert f"{INITIAL}.env[FOO]" in drift.fields

    set_env(control_plane, ref, "FOO-")
    settle(kubernetes_plane, newer)

    assert not kubernetes_plane.observe(ref=ref).is_drifted


def test_whatever_others_add_and_however_it_is_taken_out(
    control_plane: ControlPlane,
    cluster_config: ClusterConfig,
    kubernetes_plane: KubernetesPlane,
    spec: DeploymentSpec,
) -> None:
    """A helper beside a component, settings, a secret, a port, and what another tool applies."""
    namespace = namespace_of(spec.ref)
    helper = {"name": "helper", "image": "mine.test/x:1", "command": ["sleep"]}
    template = {"spec": {"containers": [helper], "nodeSelector": {"disk": "fast"}}}
    patch(control_plane, spec.ref, "deployment/triggerer", {"spec": {"template": template}})
    patch(control_plane, spec.ref, "configmap/environment", {"data": {"EXTRA": "x"}})
    patch(control_plane, spec.ref, "secret/airflow", {"stringData": {"EXTRA": "canary-x"}})
    port = {"name": "more", "port": 9000, "protocol": "TCP"}
    patch(control_plane, spec.ref, "service/api-server", {"spec": {"ports": [port]}})
    patch(control_plane, spec.ref, "networkpolicy/deny-all", {"spec": {"ingress": [{}]}})
    hard = {"hard": {"limits.memory": "900Gi", "count/jobs.batch": "1"}}
    patch(control_plane, spec.ref, "resourcequota/deployment", {"spec": hard})
    applied = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "dag-processor", "namespace": namespace},
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {"name": "dag-processor", "env": [{"name": "SEEN", "value": "x"}]}
                    ]
                }
            }
        },
    }
    control_plane.kubectl(
        *("apply", "--server-side", "--field-manager=argocd-controller", "-f", "-"),
        given=json.dumps(applied),
    )

    drift = {one.object: one for one in kubernetes_plane.drift(spec=spec)}

    triggerer = drift["Deployment/triggerer"]
    pod = "spec.template.spec"
    assert {f"{pod}.containers[helper]", f"{pod}.nodeSelector"} <= set(triggerer.fields)
    assert "data.EXTRA" in drift["ConfigMap/environment"].fields
    assert drift["Secret/airflow"].fields == ("data.EXTRA",)
    assert "spec.ports[9000]" in drift["Service/api-server"].fields
    assert drift["NetworkPolicy/deny-all"].fields == ("spec.ingress",)
    assert set(drift["ResourceQuota/deployment"].fields) == {
        "spec.hard.limits.memory",
        "spec.hard.count/jobs.batch",
    }
    surveyed = {one.object for one in dict(kubernetes_plane.survey())[spec.ref].drift}
    assert surveyed == set(drift)
    (path,) = drift["Deployment/dag-processor"].fields
    assert drift["Deployment/dag-processor"].authors[path][0] == "argocd-controller"
    assert "canary" not in str(drift)

    assert_put_right(control_plane, cluster_config, kubernetes_plane, spec)

    assert kubernetes_plane.drift(spec=spec) == ()
    for what in ("deployment/triggerer", "configmap/environment", "secret/airflow"):
        text = control_plane.kubectl("get", what, "-n", namespace, "-o", "yaml")
        assert not [word for word in ("helper", "EXTRA", "disk") if word in text]


def test_a_changed_field_is_shown_with_its_author(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, spec: DeploymentSpec
) -> None:
    image = ("scheduler=mine.test/x:1", "-n", namespace_of(spec.ref))
    control_plane.kubectl("set", "image", "deployment/scheduler", *image)

    (drift,) = kubernetes_plane.drift(spec=spec)

    (path,) = drift.fields
    assert drift.authors[path][0] == "kubectl-set"


def test_a_restart_by_hand_and_replicas_are_no_additions(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    spec = make_spec(ref)
    settle(kubernetes_plane, spec)
    where = ("-n", namespace_of(ref))
    control_plane.kubectl("rollout", "restart", "deployment/scheduler", *where)
    edited = ("deployment/worker-default", "--type=merge", "-p", '{"spec": {"replicas": 2}}')
    control_plane.kubectl("patch", *edited, *where)

    assert kubernetes_plane.drift(spec=spec) == ()

    settle(kubernetes_plane, spec)

    template = workload(control_plane, ref, "scheduler")["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert workload(control_plane, ref, "worker-default")["spec"]["replicas"] == 2


def test_a_cluster_lets_it_hibernate_and_wake_while_the_portal_is_away(
    control_plane: ControlPlane, cluster_config: ClusterConfig, ref: str, tmp_path: Path
) -> None:
    config = replace(cluster_config, may_scale=True)
    plane, namespace = KubernetesPlane(config), namespace_of(ref)
    awake = make_spec(ref, hibernation=turned(is_hibernating=False))
    settle(plane, awake)
    keeper = Timekeeper(control_plane, namespace, tmp_path)
    told = keeper.plan()
    # No KEDA is here, which has workers stop once they are paused at none.
    named = ("deployment/worker-default", "--replicas=0", "-n", namespace)
    control_plane.kubectl("scale", *named)

    # As it is once the time has come, without a word of the portal.
    keeper.tell(told | {"plan": plan_to_json(turned(is_hibernating=True))})
    keeper.run()

    assert {replicas(control_plane, ref, name) for name in CORE} == {0}
    assert paused(control_plane, namespace) == "0"
    assert keeper.run() == ""

    keeper.tell(told)
    assert "scheduler: 0 to 1" in keeper.run()

    assert {replicas(control_plane, ref, name) for name in CORE} == {1}
    assert paused(control_plane, namespace) is None

    # It did so once more, and the portal comes back and wakes it: no pause stays.
    keeper.tell(told | {"plan": plan_to_json(turned(is_hibernating=True))})
    keeper.run()
    asleep = replace(awake, hibernation=turned(is_hibernating=True), is_hibernating=True)
    settle(plane, asleep)
    assert not plane.observe(ref=ref).is_drifted
    settle(plane, awake)
    assert paused(control_plane, namespace) is None
    assert {replicas(control_plane, ref, name) for name in CORE} == {1}
    assert not plane.observe(ref=ref).is_drifted

    # The account may do this and nothing else.
    may = "auth", "can-i", "--quiet", "-n", namespace, f"--as={keeper.user}"
    for what in (
        ("patch", "deployments", "scheduler"),
        ("patch", "deployments", "postgres", "--subresource=scale"),
        ("get", "secrets"),
        ("create", "pods"),
        ("update", "configmaps", "hibernation"),
        ("get", "configmaps", "environment"),
    ):
        verb, kind, *rest = what
        named = [f"{kind}/{rest[0]}", *rest[1:]] if rest else [kind]
        answer = control_plane.kubectl(*may[:2], verb, *named, *may[3:], may_fail=True)
        assert answer.startswith("no"), what


CORE = ("api-server", "scheduler", "dag-processor", "triggerer")


def turned(*, is_hibernating: bool) -> HibernationPlan:
    """A plan whose schedule is far away, and whose override says what is to be now."""
    until = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=36_500)
    return HibernationPlan(
        schedules=(Schedule(hibernate_at="0 0 1 1 *", wake_at="0 1 1 1 *"),),
        override=Override(
            is_hibernating=is_hibernating, since=datetime(2026, 1, 1, tzinfo=UTC), until=until
        ),
    )


class Timekeeper:
    """The pod of a CronJob, on this machine: its files, its account, its command."""

    def __init__(self, control_plane: ControlPlane, namespace: str, folder: Path) -> None:
        self.control_plane, self.namespace = control_plane, namespace
        self.files, self.account = folder / "files", folder / "account"
        self.user = f"system:serviceaccount:{namespace}:hibernation"
        self.where = ("-n", namespace)
        (cron_job,) = [one for one in control_plane.objects("cronjobs", namespace) if _is_wake(one)]
        pod = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == "hibernation"
        (volume,) = pod["volumes"]
        sources = self._config_map(volume["configMap"]["name"])
        for item in volume["configMap"]["items"]:
            path = self.files / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(sources[item["key"]])
        (mount,) = pod["containers"][0]["volumeMounts"]
        _, program = pod["containers"][0]["args"]
        self.program = self.files / program.removeprefix(f"{mount['mountPath']}/")
        self.account.mkdir()
        token = control_plane.kubectl("create", "token", "hibernation", *self.where).strip()
        (self.account / "token").write_text(token)
        (self.account / "namespace").write_text(namespace)
        (self.account / "ca.crt").write_text(control_plane.connection.ca_certificate)

    def plan(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._config_map("hibernation")["plan.json"])
        return found

    def tell(self, plan: dict[str, Any]) -> None:
        change = json.dumps({"data": {"plan.json": json.dumps(plan)}})
        named = ("configmap", "hibernation", *self.where)
        self.control_plane.kubectl("patch", *named, "--type=merge", "-p", change)

    def run(self) -> str:
        """Let it run to its end; return what it logged."""
        server = self.control_plane.connection.server
        command = [sys.executable, "-P", str(self.program), server, str(self.account)]
        # Without the portal's own modules: those of the ConfigMap alone.
        environment = {"PATH": "/usr/bin", "PYTHONPATH": str(self.files)}
        done = subprocess.run(
            command, env=environment, cwd="/", capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _config_map(self, name: str) -> dict[str, str]:
        text = self.control_plane.kubectl("get", "configmap", name, *self.where, "-o", "json")
        data: dict[str, str] = json.loads(text)["data"]
        return data


def _is_wake(cron_job: dict[str, Any]) -> bool:
    return bool(cron_job["metadata"]["name"] == "wake-1")


def replicas(control_plane: ControlPlane, ref: str, name: str) -> int:
    found: int = workload(control_plane, ref, name)["spec"]["replicas"]
    return found


def paused(control_plane: ControlPlane, namespace: str) -> str | None:
    (scaler,) = control_plane.objects("scaledobjects", namespace)
    annotations = scaler["metadata"].get("annotations", {})
    found: str | None = annotations.get("autoscaling.keda.sh/paused-replicas")
    return found
