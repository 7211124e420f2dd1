"""A DAG describes the pods of its tasks. A real API server refuses those that take more of the
Airflow's namespace than a task may have.
"""

import copy
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml

from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.config import ClusterConfig, ObjectStore
from apps.dataplane.kubernetes.names import (
    AUDIENCE_ANNOTATION,
    FIELD_MANAGER,
    JOB_LABEL,
    namespace_of,
)
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.kubernetes.registration import task_pod_policy
from apps.dataplane.kubernetes.registration.permissions import manifest
from apps.dataplane.kubernetes.render import render
from apps.dataplane.production import ProductionSpec, Toleration, WorkloadIdentity
from tests.dataplane.specs import make_spec
from tests.kubernetes.conftest import config_of
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.running import RunningControlPlane

Pod = dict[str, Any]
TWO = ("sts.amazonaws.com", "vault")
STORE = ObjectStore(url="s3://logs", access_key="a", secret_key="b")
POLICY = f"validatingadmissionpolicy/{task_pod_policy.NAME}"
BINDING = f"validatingadmissionpolicybinding/{task_pod_policy.NAME}"
PRIORITIES = f"validatingadmissionpolicy/{task_pod_policy.PRIORITIES}"
OF_PRIORITIES = f"validatingadmissionpolicybinding/{task_pod_policy.PRIORITIES}"


class Namespace:
    """An Airflow's namespace, in which its scheduler makes pods."""

    def __init__(self, plane: ControlPlane, ref: str, config: ClusterConfig, **chosen: Any) -> None:
        self.plane, self.name = plane, namespace_of(ref)
        settings = ProductionSpec(**chosen)
        spec = make_spec(ref, executor="kubernetes", queues=(), settings=settings)
        stages = render(spec=spec, config=config)
        objects = [m for stage in stages if stage.key != "core" for m in stage.objects]
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        manager = f"--field-manager={FIELD_MANAGER}"
        plane.kubectl("apply", "--server-side", manager, "-f", "-", given=json.dumps(listed))
        (template,) = [m for m in objects if m["metadata"]["name"] == "pod-template"]
        self.template: Pod = json.loads(template["data"]["pod.yaml"])

    def create(self, pod: Pod, *options: str, account: str = "scheduler") -> str:
        """Let the scheduler create a pod; return what kubectl says."""
        return self.plane.kubectl(
            *("create", "-n", self.name, "-f", "-", *options),
            f"--as=system:serviceaccount:{self.name}:{account}",
            given=json.dumps(pod),
            may_fail=True,
        )

    def tried_all(
        self, changes: dict[str, Callable[[Pod], object]], account: str = "scheduler"
    ) -> tuple[set[str], dict[str, str]]:
        """Try a pod for each change at once; return which are let in, and why others are not."""
        names = {f"pod-{number}": what for number, what in enumerate(changes)}
        said = self.create(
            {
                "apiVersion": "v1",
                "kind": "List",
                "items": list(map(self._changed, names, changes.values())),
            },
            "--dry-run=server",
            account=account,
        )
        let_in = {names[name] for name in re.findall(r"^pod/(\S+) created", said, re.MULTILINE)}
        lines = re.findall(r"^Error .*$", said, re.MULTILINE)
        whys = {found[1]: line for line in lines if (found := re.search(r'"(pod-\d+)"', line))}
        return let_in, {names[name]: line for name, line in whys.items()}

    def kept_of(self, change: Callable[[Pod], object], account: str) -> str:
        """Return the pod as the API server would keep it."""
        options = ("--dry-run=server", "-o", "json")
        return self.create(self._changed("pod", change), *options, account=account)

    def _changed(self, name: str, change: Callable[[Pod], object]) -> Pod:
        pod = copy.deepcopy(self.template)
        pod["metadata"]["name"] = name
        change(pod)
        return pod


@pytest.fixture
def namespace(control_plane: ControlPlane, cluster_config: ClusterConfig, ref: str) -> Namespace:
    return Namespace(control_plane, ref, cluster_config)


def container(pod: Pod) -> Pod:
    found: Pod = pod["spec"]["containers"][0]
    return found


def volume(**source: Any) -> Callable[[Pod], object]:
    return lambda pod: pod["spec"]["volumes"].append({"name": "x", **source})


def takes(secret: str) -> Callable[[Pod], object]:
    return lambda pod: container(pod)["envFrom"].append({"secretRef": {"name": secret}})


def reads(secret: str, key: str = "x", *, container_of: Callable[[Pod], Pod] = container) -> Any:
    reference = {"secretKeyRef": {"name": secret, "key": key, "optional": True}}
    entry = {"name": "X", "valueFrom": reference}
    return lambda pod: container_of(pod).setdefault("env", []).append(entry)


def initial(pod: Pod) -> Pod:
    first = copy.deepcopy(container(pod)) | {"name": "first", "args": ["true"]}
    pod["spec"]["initContainers"] = [first]
    return first


def claim_like(**spec: Any) -> Pod:
    size = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"volumeClaimTemplate": {"spec": {**size, **spec}}}


def labelled(component: str) -> Callable[[Pod], object]:
    key = "app.kubernetes.io/component"
    return lambda pod: pod["metadata"]["labels"].update({key: component})


def also_labelled(key: str) -> Callable[[Pod], object]:
    return lambda pod: pod["metadata"]["labels"].update({key: "x"})


def token(pod: Pod) -> None:
    pod["spec"] |= {"serviceAccountName": "tasks", "automountServiceAccountToken": True}


def token_for(audience: str, **more: Any) -> Callable[[Pod], object]:
    """A projected token as the webhook of a cloud adds it, or as a DAG would describe it."""
    source = {"serviceAccountToken": {"path": "token", "audience": audience, **more}}
    return volume(projected={"sources": [source]})


def spec(**fields: Any) -> Callable[[Pod], object]:
    return lambda pod: pod["spec"].update(fields)


def of_metadata(**fields: Any) -> Callable[[Pod], object]:
    return lambda pod: pod["metadata"].update(fields)


def of_container(**fields: Any) -> Callable[[Pod], object]:
    return lambda pod: container(pod).update(fields)


def tolerates(*tolerations: Pod) -> Callable[[Pod], object]:
    return spec(tolerations=list(tolerations))


def keeps_away(**term: Any) -> Pod:
    everything = {"labelSelector": {}, "topologyKey": "topology.kubernetes.io/zone"}
    return {"requiredDuringSchedulingIgnoredDuringExecution": [{**everything, **term}]}


def prefers(**term: Any) -> Pod:
    (hard,) = keeps_away(**term).values()
    weighed = [{"weight": 100, "podAffinityTerm": hard[0]}]
    return {"preferredDuringSchedulingIgnoredDuringExecution": weighed}


METADATA_OF_NODES = {"host": "169.254.169.254", "port": 80, "path": "/"}
# Newer Kubernetes refuses these by Pod Security, before it asks the policy.
ASKED_BY_THE_NODE: dict[str, Callable[[Pod], object]] = {
    "a probe elsewhere": of_container(livenessProbe={"httpGet": METADATA_OF_NODES}),
    "a port of another host": of_container(
        startupProbe={"tcpSocket": {"host": "10.0.0.1", "port": 5432}}
    ),
    "a hook elsewhere": of_container(lifecycle={"postStart": {"httpGet": METADATA_OF_NODES}}),
    "a probe elsewhere before the task": lambda pod: initial(pod).update(
        restartPolicy="Always", readinessProbe={"httpGet": METADATA_OF_NODES}
    ),
}
HOSTILE: dict[str, Callable[[Pod], object]] = {
    "database URL and keys": takes("airflow"),
    "one of the keys": reads("airflow", "AIRFLOW__CORE__FERNET_KEY"),
    "a key before the task": reads("airflow", container_of=initial),
    "all keys before the task": lambda pod: initial(pod)["envFrom"].append(
        {"secretRef": {"name": "airflow"}}
    ),
    "the database's administrator": takes("database-admin"),
    "the autoscaler's sign-in": takes("keda-database"),
    "the key of the api-server": takes("logs"),
    "the registry's sign-in": reads("registry", ".dockerconfigjson"),
    "a mounted secret": volume(secret={"secretName": "airflow"}),
    "a projected secret": volume(projected={"sources": [{"secret": {"name": "airflow"}}]}),
    "the database's files": volume(persistentVolumeClaim={"claimName": "data-postgres"}),
    "a copy of the database": volume(
        ephemeral=claim_like(
            dataSource={"kind": "PersistentVolumeClaim", "name": "data-postgres", "apiGroup": ""}
        )
    ),
    "a copy by reference": volume(
        ephemeral=claim_like(
            dataSourceRef={"kind": "PersistentVolumeClaim", "name": "data-postgres"}
        )
    ),
    "the database's volume": volume(ephemeral=claim_like(volumeName="pv-1")),
    "secrets by a driver": volume(
        csi={"driver": "x.test", "nodePublishSecretRef": {"name": "airflow"}}
    ),
    "the scheduler's account": lambda pod: pod["spec"].update(serviceAccountName="scheduler"),
    "the api-server's account": lambda pod: pod["spec"].update(serviceAccountName="api-server"),
    "the scheduler's account by its old field": lambda pod: (
        pod["spec"].pop("serviceAccountName"),
        pod["spec"].update(serviceAccount="scheduler"),
    ),
    "no account": lambda pod: pod["spec"].pop("serviceAccountName"),
    "a token": token,
    "a projected token": volume(
        projected={"sources": [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]}
    ),
    "a token for a cloud that the Deployment has no identity in": token_for("sts.amazonaws.com"),
    "requests meant for the api-server": labelled("api-server"),
    "a way to the database": labelled("scheduler"),
    "the end of a Job": also_labelled("batch.kubernetes.io/controller-uid"),
    "the end of a Job by its old label": also_labelled("controller-uid"),
    "the log of a Job": also_labelled("batch.kubernetes.io/job-name"),
    "the answer of a project's Job": also_labelled(JOB_LABEL),
    "no labels": lambda pod: pod["metadata"].pop("labels"),
    "a place before all others": spec(priorityClassName="system-cluster-critical"),
    "a place before all others on its node": spec(priorityClassName="system-node-critical"),
    "the priority of another service": spec(priorityClassName="shop"),
    "another runtime": spec(runtimeClassName="bare-metal"),
    "a node": spec(nodeName="node-a"),
    "another scheduler": spec(schedulerName="mine"),
    "every node": tolerates({"operator": "Exists"}),
    "nodes of the control plane": tolerates(
        {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}
    ),
    "nodes that are emptied": tolerates(
        {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}
    ),
    "nodes of another team": tolerates({"key": "team", "value": "shop", "effect": "NoSchedule"}),
    "nodes with devices for a task that needs none": tolerates(
        {"key": "nvidia.com/gpu", "operator": "Exists"}
    ),
    "zones without the pods of others": spec(
        affinity={"podAntiAffinity": keeps_away(namespaceSelector={})}
    ),
    "a zone without the shop": spec(affinity={"podAntiAffinity": keeps_away(namespaces=["shop"])}),
    "a preference against others": spec(
        affinity={"podAntiAffinity": prefers(namespaceSelector={})}
    ),
    "the company of others": spec(affinity={"podAffinity": keeps_away(namespaces=["shop"])}),
    "a month to end in": spec(terminationGracePeriodSeconds=30 * 24 * 3600),
    "no end": of_metadata(finalizers=["example.org/never"]),
    "a network around the policies": of_metadata(
        annotations={"k8s.v1.cni.cncf.io/networks": "host-net"}
    ),
    "a petabyte": volume(
        ephemeral=claim_like(resources={"requests": {"storage": "1Pi"}}),
    ),
    "devices that others claimed": spec(
        resourceClaims=[{"name": "x", "resourceClaimName": "shop"}]
    ),
    "files of an image": volume(image={"reference": "mine.test/x:1"}),
    **ASKED_BY_THE_NODE,
}
# Kubernetes 1.33 does not have these fields and drops them: a word that is in no such pod then.
DROPPED_BY_OLDER = {
    "devices that others claimed": "resourceClaimName",
    "files of an image": "mine.test/x:1",
}
FRIENDLY: dict[str, Callable[[Pod], object]] = {
    "nothing of its own": lambda pod: None,
    "a variable": lambda pod: container(pod)["env"].append({"name": "X", "value": "airflow"}),
    "its own name": lambda pod: container(pod)["env"].append(
        {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    ),
    "secret variables": reads("variables"),
    "a secret of users": takes("user-warehouse"),
    "a mounted secret of users": volume(secret={"secretName": "user-warehouse"}),
    "a claim of users": volume(persistentVolumeClaim={"claimName": "user-models"}),
    "an account of users": lambda pod: pod["spec"].update(serviceAccountName="user-bucket"),
    "a configuration": volume(configMap={"name": "settings"}),
    "room of its own": volume(ephemeral=claim_like()),
    "a small folder": volume(emptyDir={"medium": "Memory"}),
    "an image, more memory and labels": lambda pod: (
        container(pod).update(image="mine.test/x:1"),
        pod["metadata"]["labels"].update(team="blue"),
        pod["metadata"].setdefault("annotations", {}).update(note="x"),
    ),
    "something to do first": initial,
    "a helper beside it": lambda pod: initial(pod).update(restartPolicy="Always"),
    "the priority of all": spec(priorityClassName="usual"),
    "the usual scheduler": spec(schedulerName="default-scheduler"),
    "nodes for tasks": tolerates({"key": "user-tasks", "operator": "Exists"}),
    "nodes that may go": tolerates(
        {"key": "kubernetes.azure.com/scalesetpriority", "value": "spot", "effect": "NoSchedule"}
    ),
    "a device": lambda pod: (
        container(pod)["resources"]["limits"].update({"nvidia.com/gpu": "1"}),
        tolerates({"key": "nvidia.com/gpu", "operator": "Exists"})(pod),
    ),
    "room beside its own": spec(affinity={"podAntiAffinity": keeps_away()}),
    "nodes of a kind": spec(nodeSelector={"kubernetes.io/arch": "amd64"}),
    "a quick end": spec(terminationGracePeriodSeconds=5),
    "a probe of its own": of_container(livenessProbe={"httpGet": {"port": 80, "path": "/"}}),
    "another runtime of users": spec(runtimeClassName="user-sandbox"),
    "names of its own": spec(
        hostAliases=[{"ip": "10.1.2.3", "hostnames": ["warehouse"]}],
        dnsConfig={"searches": ["example.org"]},
        shareProcessNamespace=True,
    ),
}
CLASSES = [
    {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "usual"},
        "value": 500,
        "globalDefault": True,
    },
    {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "shop"},
        "value": 1000,
    },
    *(
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": name},
            "handler": "runc",
        }
        for name in ("bare-metal", "user-sandbox")
    ),
]


@pytest.fixture(scope="module", autouse=True)
def classes(control_plane: ControlPlane) -> Iterator[None]:
    """Classes as a cluster has them; the default priority ends with these tests."""
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": CLASSES})
    control_plane.kubectl("apply", "--server-side", "-f", "-", given=listed)
    _wait_until_judged(control_plane)
    yield
    control_plane.kubectl("delete", "-f", "-", "--wait=false", given=listed)


def _wait_until_judged(plane: ControlPlane) -> None:
    """Types of the policies have been checked once they are in effect."""
    deadline = time.monotonic() + 30
    path = "jsonpath={.status.typeChecking}"
    for policy in (POLICY, PRIORITIES):
        while not plane.kubectl("get", policy, "-o", path):
            assert time.monotonic() < deadline
            time.sleep(0.2)


def assert_refused(
    namespace: Namespace, hostile: dict[str, Callable[[Pod], object]], account: str
) -> None:
    let_in, refused = namespace.tried_all(hostile, account=account)

    assert let_in <= DROPPED_BY_OLDER.keys()
    for what in let_in:
        assert DROPPED_BY_OLDER[what] not in namespace.kept_of(hostile[what], account)
    for what in hostile.keys() - let_in:
        said = refused[what]
        if what in ASKED_BY_THE_NODE and "violates PodSecurity" in said:
            continue
        assert "ValidatingAdmissionPolicy 'astro-portal-task-pod" in said, what
        assert "A task pod" in said, what


def test_a_task_pod_that_asks_for_more_than_it_may_is_refused(namespace: Namespace) -> None:
    assert_refused(namespace, HOSTILE, "scheduler")


def test_a_task_pod_that_keeps_to_its_own_is_let_in(
    control_plane: ControlPlane, namespace: Namespace
) -> None:
    account = {"kind": "ServiceAccount", "metadata": {"name": "user-bucket"}}
    given = json.dumps({"apiVersion": "v1", "automountServiceAccountToken": False, **account})
    control_plane.kubectl("apply", "-n", namespace.name, "-f", "-", given=given)

    let_in, refused = namespace.tried_all(FRIENDLY)

    assert refused == {}
    assert let_in == FRIENDLY.keys()


def test_a_task_pod_has_the_token_of_its_deployments_identity_and_no_other(
    control_plane: ControlPlane, cluster_config: ClusterConfig, ref: str
) -> None:
    """What the webhooks of clouds add is judged after them: the API server has no other order."""
    role = "arn:aws:iam::123456789012:role/etl"
    identity = WorkloadIdentity(kind="irsa", name=role)
    namespace = Namespace(control_plane, ref, cluster_config, workload_identity=identity)
    both = [{"serviceAccountToken": {"path": str(n), "audience": one}} for n, one in enumerate(TWO)]
    hostile: dict[str, Callable[[Pod], object]] = {
        "another cloud": token_for("api://AzureADTokenExchange"),
        "the other kind of the same cloud": token_for("pods.eks.amazonaws.com"),
        "the API server": volume(projected={"sources": [{"serviceAccountToken": {"path": "t"}}]}),
        "the API server by its name": token_for("https://kubernetes.default.svc"),
        "a second one beside it": volume(projected={"sources": both}),
        "as the scheduler": lambda pod: (
            token_for("sts.amazonaws.com")(pod),
            pod["spec"].update(serviceAccountName="scheduler"),
        ),
    }

    let_in, refused = namespace.tried_all(
        {"its own": token_for("sts.amazonaws.com", expirationSeconds=86400), **hostile}
    )

    assert let_in == {"its own"}
    for what in hostile:
        assert "ValidatingAdmissionPolicy 'astro-portal-task-pods'" in refused[what], what
    account = control_plane.kubectl(
        "get", "serviceaccount", "tasks", "-n", namespace.name, "-ojson"
    )
    annotations = json.loads(account)["metadata"]["annotations"]
    assert annotations["eks.amazonaws.com/role-arn"] == role
    policies = control_plane.kubectl("get", "networkpolicy", "-n", namespace.name, "-oname")
    assert "networkpolicy.networking.k8s.io/identity" not in policies


def test_the_scheduler_cannot_say_for_whom_tokens_of_task_pods_may_be(
    control_plane: ControlPlane, namespace: Namespace
) -> None:
    mark = f"{AUDIENCE_ANNOTATION}=sts.amazonaws.com"

    said = control_plane.kubectl(
        *("annotate", "namespace", namespace.name, mark),
        f"--as=system:serviceaccount:{namespace.name}:scheduler",
        may_fail=True,
    )

    assert "cannot patch resource" in said or "cannot get resource" in said
    assert namespace.tried_all({"a token": token_for("sts.amazonaws.com")})[0] == set()


def test_a_task_pod_may_have_the_object_store_of_its_logs(
    control_plane: ControlPlane, cluster_config: ClusterConfig, ref: str
) -> None:
    namespace = Namespace(control_plane, ref, replace(cluster_config, object_store=STORE))

    assert {"secretRef": {"name": "task-logs"}} in container(namespace.template)["envFrom"]
    assert "created" in namespace.create(namespace.template, "--dry-run=server")


def test_the_scheduler_marks_pods_of_tasks_and_changes_no_other(
    control_plane: ControlPlane, namespace: Namespace
) -> None:
    pod = copy.deepcopy(namespace.template)
    core = copy.deepcopy(pod)
    core["metadata"] |= {"name": "core", "labels": {"app.kubernetes.io/component": "api-server"}}
    core["spec"]["serviceAccountName"] = "api-server"
    namespace.create(pod)
    control_plane.kubectl("create", "-n", namespace.name, "-f", "-", given=json.dumps(core))

    def patched(name: str, change: Pod) -> str:
        return control_plane.kubectl(
            *("patch", "pod", name, "-n", namespace.name, "-p", json.dumps(change)),
            f"--as=system:serviceaccount:{namespace.name}:scheduler",
            may_fail=True,
        )

    evil = {"spec": {"containers": [{"name": "base", "image": "evil.test/x:1"}]}}
    assert "patched" in patched("task", {"metadata": {"labels": {"airflow_executor_done": "True"}}})
    assert "ValidatingAdmissionPolicy" in patched("core", evil)
    disguise = {"metadata": {"labels": {"app.kubernetes.io/component": "api-server"}}}
    assert "ValidatingAdmissionPolicy" in patched("task", disguise)


@pytest.mark.parametrize("account", ["scheduler", "tasks"])
def test_a_pod_that_waits_does_not_become_more_than_it_might_be(
    control_plane: ControlPlane, operating: Namespace, account: str
) -> None:
    """It is let in with a gate, is given more, and is placed when the gate is gone."""
    pod = copy.deepcopy(operating.template)
    without_token(pod)
    pod["spec"]["schedulingGates"] = [{"name": "example.org/wait"}]
    assert "created" in operating.create(pod, account=account)
    kept = json.loads(control_plane.kubectl("get", "pod", "task", "-n", operating.name, "-ojson"))

    def patched(change: Pod) -> str:
        return control_plane.kubectl(
            *("patch", "pod", "task", "-n", operating.name, "--type=merge"),
            *("-p", json.dumps(change), f"--as=system:serviceaccount:{operating.name}:{account}"),
            may_fail=True,
        )

    def tolerating(*more: Pod) -> Pod:
        return {"spec": {"tolerations": [*kept["spec"]["tolerations"], *more]}}

    hostile = {
        "every node": tolerating({"operator": "Exists"}),
        "the control plane": tolerating(
            {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}
        ),
        "no end": {"metadata": {"finalizers": ["example.org/never"]}},
        "a network": {"metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": "host-net"}}},
    }
    for what, change in hostile.items():
        assert "ValidatingAdmissionPolicy 'astro-portal-task-pods'" in patched(change), what
    assert "patched" in patched(tolerating({"key": "user-tasks", "operator": "Exists"}))
    assert "patched" in patched({"metadata": {"annotations": {"note": "x"}}})
    assert "patched" in patched({"spec": {"schedulingGates": None}})


def test_task_pods_have_the_nodes_and_the_priority_of_their_settings(
    control_plane: ControlPlane, cluster_config: ClusterConfig, ref: str
) -> None:
    spot, gpu = Toleration(key="spot", value="true", effect="NoSchedule"), Toleration(key="gpu")
    namespace = Namespace(
        control_plane, ref, cluster_config, tolerations=(spot, gpu), priority_class="shop"
    )
    hostile: dict[str, Callable[[Pod], object]] = {
        "another value": tolerates({"key": "spot", "value": "no", "effect": "NoSchedule"}),
        "any value": tolerates({"key": "spot", "operator": "Exists"}),
        "another key": tolerates({"key": "team", "operator": "Exists"}),
        "another class": spec(priorityClassName="system-cluster-critical"),
    }

    let_in, refused = namespace.tried_all({"as it is rendered": lambda pod: None, **hostile})

    assert let_in == {"as it is rendered"}, refused
    assert refused.keys() == hostile.keys()


@pytest.fixture
def operating(control_plane: ControlPlane, cluster_config: ClusterConfig, ref: str) -> Namespace:
    """A namespace in which tasks may start pods."""
    return Namespace(control_plane, ref, cluster_config, pod_operator=True)


def without_token(pod: Pod) -> None:
    pod["spec"]["automountServiceAccountToken"] = False


def of_an_operator(changes: dict[str, Callable[[Pod], object]]) -> Any:
    """Pods as an operator describes them: like those of tasks, without a token."""

    def after(change: Callable[[Pod], object]) -> Callable[[Pod], object]:
        return lambda pod: (without_token(pod), change(pod))

    return {name: after(change) for name, change in changes.items()}


def test_a_pod_that_a_task_starts_may_have_no_more_than_a_task_pod(operating: Namespace) -> None:
    assert_refused(operating, of_an_operator(HOSTILE), "tasks")


def test_a_pod_that_a_task_starts_and_that_keeps_to_its_own_is_let_in(
    control_plane: ControlPlane, operating: Namespace
) -> None:
    account = {"kind": "ServiceAccount", "metadata": {"name": "user-bucket"}}
    given = json.dumps({"apiVersion": "v1", "automountServiceAccountToken": False, **account})
    control_plane.kubectl("apply", "-n", operating.name, "-f", "-", given=given)

    let_in, refused = operating.tried_all(of_an_operator(FRIENDLY), account="tasks")

    assert refused == {}
    assert let_in == FRIENDLY.keys()


def test_a_task_has_the_token_that_starts_pods_and_these_pods_have_none(
    control_plane: ControlPlane, operating: Namespace
) -> None:
    account = {"kind": "ServiceAccount", "metadata": {"name": "user-admin"}}
    given = json.dumps({"apiVersion": "v1", **account})
    control_plane.kubectl("apply", "-n", operating.name, "-f", "-", given=given)
    as_it_is = {"as it is rendered": lambda pod: None}
    hostile: dict[str, Callable[[Pod], object]] = {
        "of an administrator's account": spec(serviceAccountName="user-admin"),
        "for another server": token_for("vault"),
    }

    by_scheduler = operating.tried_all({**as_it_is, **hostile})
    by_task = operating.tried_all({**as_it_is, **hostile}, account="tasks")

    assert operating.template["spec"]["automountServiceAccountToken"] is True
    assert by_scheduler[0] == as_it_is.keys()
    assert by_task[0] == set()
    assert "no secret, claim or token" in by_task[1]["as it is rendered"]


def test_a_task_that_starts_pods_removes_its_own_and_nothing_else(
    control_plane: ControlPlane, operating: Namespace
) -> None:
    pod = copy.deepcopy(operating.template)
    without_token(pod)
    core = copy.deepcopy(pod)
    core["metadata"] |= {"name": "core", "labels": {"app.kubernetes.io/component": "scheduler"}}
    assert "created" in operating.create(pod, account="tasks")
    control_plane.kubectl("create", "-n", operating.name, "-f", "-", given=json.dumps(core))

    def said(*command: str) -> str:
        who = f"--as=system:serviceaccount:{operating.name}:tasks"
        return control_plane.kubectl("-n", operating.name, who, *command, may_fail=True)

    disguise = json.dumps({"metadata": {"labels": {"app.kubernetes.io/component": "task"}}})
    assert "all that tasks change or remove" in said("delete", "pod", "core", "--wait=false")
    assert "all that tasks change or remove" in said("patch", "pod", "core", "-p", disguise)
    assert "patched" in said("patch", "pod", "task", "-p", '{"metadata": {"labels": {"a": "b"}}}')
    assert "deleted" in said("delete", "pod", "task", "--wait=false")
    for refused in (
        ("get", "secrets"),
        ("get", "configmaps"),
        ("exec", "core", "--", "env"),
        ("attach", "core"),
        ("create", "token", "scheduler"),
        ("create", "serviceaccount", "user-mine"),
        ("get", "pods", "--all-namespaces"),
        ("delete", "pods", "--all"),
        ("annotate", "namespace", operating.name, "astro-portal.dev/tolerated=team="),
    ):
        assert "orbidden" in said(*refused), refused


def test_a_task_starts_no_pod_where_the_settings_do_not_say_so(namespace: Namespace) -> None:
    said = namespace.create(namespace.template, account="tasks")

    assert "cannot create resource" in said


def test_pods_that_no_scheduler_of_the_portal_makes_are_not_judged(
    control_plane: ControlPlane, ref: str
) -> None:
    other = f"other-{ref}"
    control_plane.kubectl("create", "namespace", other)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "free"},
        "spec": {
            "containers": [
                {"name": "x", "image": "x", "envFrom": [{"secretRef": {"name": "airflow"}}]}
            ],
        },
    }
    account = f"system:serviceaccount:{other}:scheduler"
    launch = ("create", "clusterrolebinding", other, "--clusterrole=edit")
    control_plane.kubectl(*launch, f"--serviceaccount={other}:scheduler")

    said = control_plane.kubectl(
        *("create", "-n", other, "--dry-run=server", "-f", "-", f"--as={account}"),
        given=json.dumps(pod),
        may_fail=True,
    )

    assert "ValidatingAdmissionPolicy" not in said
    control_plane.kubectl("delete", "clusterrolebinding", other)
    control_plane.kubectl("delete", "namespace", other, "--wait=false")


def test_without_the_whole_policy_nothing_with_task_pods_is_applied(
    own_control_plane: RunningControlPlane,
) -> None:
    """Taken away, weakened in each of its parts, and applied again."""
    plane = KubernetesPlane(config_of(own_control_plane.connection))
    spec = make_spec("still-comet", executor="kubernetes", queues=())
    assert task_pod_policy.is_enforced(plane.api)
    everything = {"matchLabels": {"nobody": "has-this"}}
    weaker = {
        BINDING: [
            {"spec": {"validationActions": ["Audit"]}},
            {"spec": {"matchResources": {"namespaceSelector": everything}}},
        ],
        OF_PRIORITIES: [
            {"spec": {"paramRef": {"parameterNotFoundAction": "Allow"}}},
            {"spec": {"paramRef": {"selector": everything}}},
        ],
        POLICY: [
            {"spec": {"failurePolicy": "Ignore"}},
            {"spec": {"validations": [{"expression": "true", "message": "x"}]}},
            {"spec": {"matchConstraints": {"objectSelector": everything}}},
            {"spec": {"matchConditions": [{"name": "never", "expression": "false"}]}},
        ],
    }

    for name, changes in weaker.items():
        for change in changes:
            kubectl = own_control_plane.kubectl
            kubectl("patch", name, "--type=merge", "-p", json.dumps(change))
            assert not task_pod_policy.is_enforced(plane.api), change
            _put_back(own_control_plane)
            assert task_pod_policy.is_enforced(plane.api)

    own_control_plane.kubectl("delete", PRIORITIES, OF_PRIORITIES)
    assert not task_pod_policy.is_enforced(plane.api), "as the manifest of an older portal left it"

    with pytest.raises(Permanent, match="applies the manifest"):
        plane.apply(spec=spec)
    assert not own_control_plane.exists("namespace", namespace_of("still-comet"))
    finding = next(one for one in plane.check().findings if one.title == "Policies for task pods")
    assert not finding.is_ok
    assert plane.check().is_usable

    apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    own_control_plane.kubectl(*apply, given=manifest())

    assert not plane.apply(spec=spec).is_done
    plane.close()


def _put_back(plane: ControlPlane) -> None:
    """Replace what was changed; the API server itself may write to a policy at the same time."""
    policies = yaml.safe_dump_all(task_pod_policy.manifests())
    deadline = time.monotonic() + 10
    while "Conflict" in plane.kubectl("replace", "-f", "-", given=policies, may_fail=True):
        assert time.monotonic() < deadline


def test_the_api_server_understands_every_rule(control_plane: ControlPlane) -> None:
    path = "jsonpath={.status.typeChecking}"

    for policy in (POLICY, PRIORITIES):
        assert control_plane.kubectl("get", policy, "-o", path) == "{}"
