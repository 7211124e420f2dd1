"""A cluster in which the portal may write in named namespaces only, with nothing but the rights of
the manifest for that: a real API server refuses everything else.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.dataplane.errors import DataPlaneError, Permanent
from apps.dataplane.hibernation.plans import HibernationPlan, Override, Schedule
from apps.dataplane.kubernetes.api.errors import Refused
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.names import DEPLOYMENT_LABEL, PORTAL_LABEL
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.kubernetes.registration import permissions
from apps.dataplane.status import Observation
from apps.observability.watching.cluster_watch import ClusterWatch
from tests.dataplane.local_world import eventually
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.deployments import remove, settle, small_spec

NIGHTS = Schedule(hibernate_at="0 19 * * *", wake_at="0 7 * * *", time_zone="Europe/Oslo")
READER = f"{permissions.ACCOUNT}-reader"


@pytest.fixture
def named(control_plane: ControlPlane) -> Iterator[tuple[str, str]]:
    """Two namespaces that their owner made, with an object of the owner's in each."""
    names = (f"team-{secrets.token_hex(3)}", f"team-{secrets.token_hex(3)}")
    for name in names:
        control_plane.kubectl("create", "namespace", name)
        control_plane.kubectl("create", "secret", "generic", "user-warehouse", "-n", name)
    yield names
    control_plane.kubectl("delete", "namespace", *names, "--wait=false")


@pytest.fixture
def access(control_plane: ControlPlane, named: tuple[str, str]) -> Iterator[str]:
    """Apply the manifest for an account that no other test has, and return its namespace."""
    name = f"access-{secrets.token_hex(3)}"
    text = permissions.manifest_for_namespaces(named).replace(permissions.NAMESPACE, name)
    text = text.replace(READER, f"{READER}-{name}")
    control_plane.kubectl("apply", "-f", "-", given=text)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")
    reading = (f"clusterrole/{READER}-{name}", f"clusterrolebinding/{READER}-{name}")
    control_plane.kubectl("delete", "--ignore-not-found", *reading)


@pytest.fixture
def config(
    control_plane: ControlPlane, cluster_config: ClusterConfig, named: tuple[str, str], access: str
) -> ClusterConfig:
    """The portal comes as the account of the manifest; `shop` took the first namespace."""
    token = control_plane.kubectl("create", "token", permissions.ACCOUNT, "-n", access).strip()
    connection = control_plane.connection_with(token=token)
    homes = {"shop": named[0]}
    return replace(cluster_config, connection=replace(connection, namespaces=named, homes=homes))


def marks(control_plane: ControlPlane, name: str) -> dict[str, str]:
    found = json.loads(control_plane.kubectl("get", "namespace", name, "-ojson"))
    labels: dict[str, str] = found["metadata"]["labels"]
    return labels


def test_a_deployment_lives_in_a_named_namespace_from_its_first_apply_to_its_end(
    control_plane: ControlPlane, config: ClusterConfig, named: tuple[str, str]
) -> None:
    plane = KubernetesPlane(config)
    plane.reach()
    check = plane.check()
    assert check.is_usable, check.findings
    assert [one.what for one in check.permissions if one.missing] == []
    assert check.identity
    assert check.may_scale
    plane = KubernetesPlane(replace(config, may_scale=True))

    settle(plane, small_spec("shop"))
    assert plane.observe(ref="shop").health == "healthy"
    assert [ref for ref, _ in plane.survey()] == ["shop"]
    labels = marks(control_plane, named[0])
    assert labels[DEPLOYMENT_LABEL] == "shop"
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert DEPLOYMENT_LABEL not in marks(control_plane, named[1])

    control_plane.kubectl(*("scale", "deployment", "triggerer", "-n", named[0], "--replicas=3"))
    assert [one.object for one in plane.drift(spec=small_spec("shop"))] == ["Deployment/triggerer"]
    settle(plane, small_spec("shop", revision=2))
    assert plane.drift(spec=small_spec("shop", revision=2)) == ()
    assert "scheduler" in plane.components(ref="shop")

    # The times of its schedule are kept there by an account that the portal may make.
    override = Override(is_hibernating=True, since=datetime.now(UTC))
    plan = HibernationPlan(schedules=(NIGHTS,), override=override, task_minutes=1)
    settle(plane, small_spec("shop", revision=3, hibernation=plan, is_hibernating=True))
    assert plane.observe(ref="shop").health == "stopped"
    assert control_plane.exists("cronjob", "wake-1", "-n", named[0])

    remove(plane, "shop")
    assert plane.observe(ref="shop").health == "stopped"
    left = control_plane.kubectl(
        *("get", "all,secret,configmap,pvc,role,rolebinding,networkpolicy,quota,limits,pdb"),
        *("-n", named[0], "-l", f"{PORTAL_LABEL}={config.portal_id}", "-oname"),
    )
    assert left.split() == []
    assert control_plane.exists("secret", "user-warehouse", "-n", named[0])
    labels = marks(control_plane, named[0])
    assert not {DEPLOYMENT_LABEL, PORTAL_LABEL} & set(labels)

    again = replace(config.connection, homes={"shop-2": named[0]})
    other = KubernetesPlane(replace(config, connection=again))
    settle(other, small_spec("shop-2"))
    assert other.observe(ref="shop-2").health == "healthy"


def test_what_changes_in_a_named_namespace_is_seen_by_watches_at_once(
    control_plane: ControlPlane, config: ClusterConfig, named: tuple[str, str]
) -> None:
    settle(KubernetesPlane(config), small_spec("shop"))
    watch = ClusterWatch(config)
    seen: dict[str, Observation] = {}

    def look() -> dict[str, Observation]:
        seen.update({ref: one for ref, one, _ in watch.cache.observations(now=datetime.now(UTC))})
        return seen

    watch.start()
    try:
        eventually(lambda: watch.cache.is_fresh, seconds=20)
        eventually(lambda: "shop" in look(), seconds=5)
        assert seen["shop"].health == "healthy"
        assert not seen["shop"].is_drifted

        control_plane.kubectl("scale", "deployment/triggerer", "-n", named[0], "--replicas=3")
        eventually(lambda: look()["shop"].is_drifted, seconds=3)
        assert [one.object for one in seen["shop"].drift] == ["Deployment/triggerer"]

        label = f"{DEPLOYMENT_LABEL}-"
        control_plane.kubectl("label", "namespace", named[0], label)
        eventually(lambda: not look()["shop"].exists, seconds=15)
    finally:
        watch.stop()


def test_rights_that_can_be_done_without_do_not_end_what_is_seen(
    control_plane: ControlPlane, config: ClusterConfig, named: tuple[str, str]
) -> None:
    plane = KubernetesPlane(config)
    settle(plane, small_spec("shop"))
    role = json.loads(
        control_plane.kubectl("get", "role", permissions.ACCOUNT, "-n", named[0], "-ojson")
    )
    optional = ("keda.sh", "autoscaling", "metrics.k8s.io")
    kept = [one for one in role["rules"] if one["apiGroups"][0] not in optional]
    control_plane.kubectl("replace", "-f", "-", given=json.dumps({**role, "rules": kept}))
    eventually(lambda: any(one.missing for one in plane.check().permissions), seconds=10)
    watch = ClusterWatch(config)

    watch.start()
    try:
        assert [ref for ref, _ in plane.survey()] == ["shop"]
        assert plane.observe(ref="shop").health == "healthy"
        eventually(lambda: watch.cache.is_fresh, seconds=20)
    finally:
        watch.stop()
    with pytest.raises(Refused, match="does not list"):
        remove(plane, "shop")


def test_the_portal_gets_no_further_than_the_manifest_says(
    control_plane: ControlPlane, config: ClusterConfig, named: tuple[str, str], access: str
) -> None:
    unaware = replace(config.connection, homes={}, namespaces=())

    with pytest.raises(Refused):
        KubernetesPlane(replace(config, connection=unaware)).apply(spec=small_spec("elsewhere"))
    with pytest.raises(DataPlaneError):
        KubernetesPlane(config).apply(spec=small_spec("elsewhere"))
    assert not control_plane.exists("namespace", "airflow-elsewhere")
    itself = f"--as=system:serviceaccount:{access}:{permissions.ACCOUNT}"
    for asked in (
        ("list", "secrets", "-n", "kube-system"),
        ("list", "secrets", "--all-namespaces"),
        ("list", "namespaces"),
        ("create", "namespaces"),
        ("delete", f"namespace/{named[0]}", "-n", named[0]),
        ("create", "pods", "-n", "default"),
    ):
        said = control_plane.kubectl("auth", "can-i", *asked, itself, may_fail=True)
        assert said.split()[-1] == "no" or "no\n" in said, asked


def test_a_namespace_in_which_others_run_is_left_alone(
    control_plane: ControlPlane, config: ClusterConfig, named: tuple[str, str]
) -> None:
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "theirs"},
        "spec": {"containers": [{"name": "x", "image": "x"}]},
    }
    control_plane.kubectl("create", "-n", named[0], "-f", "-", given=json.dumps(pod))

    with pytest.raises(Permanent, match="has pods of others, like .*theirs"):
        KubernetesPlane(config).apply(spec=small_spec("shop"))

    assert DEPLOYMENT_LABEL not in marks(control_plane, named[0])
    policies = control_plane.kubectl("get", "networkpolicy,quota", "-n", named[0], "-oname")
    assert policies.split() == []


def test_a_right_that_is_missing_is_named_with_its_namespace_and_what_it_costs(
    control_plane: ControlPlane, config: ClusterConfig, named: tuple[str, str], access: str
) -> None:
    control_plane.kubectl("delete", "clusterrolebinding", f"{READER}-{access}")
    plane = KubernetesPlane(config)
    eventually(lambda: not plane.check().identity, seconds=10)

    without_reads = plane.check()
    control_plane.kubectl("delete", "rolebinding", permissions.ACCOUNT, "-n", named[1])
    eventually(lambda: not plane.check().is_usable, seconds=10)
    without_one = plane.check()

    assert without_reads.is_usable, "cluster-wide reads can be done without"
    (finding,) = [one for one in without_reads.findings if one.title == "Permissions"]
    assert "without it the cluster's default one" in finding.detail
    assert "without it another one under the same address is not noticed" in finding.detail
    missing = [one.what for one in without_one.permissions if one.missing]
    assert f"secrets in {named[1]}" in missing
    assert f"secrets in {named[0]}" not in missing
