"""With the permissions that the portal asks for and no others, everything works."""

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest
import yaml

from apps.dataplane.errors import Permanent, Unreachable
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.kubernetes.registration.permissions import manifest
from tests.dataplane.specs import make_spec
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.deployments import remove, settle, small_spec


def plane_of(config: ClusterConfig, control_plane: ControlPlane, token: str) -> KubernetesPlane:
    return KubernetesPlane(replace(config, connection=control_plane.connection_with(token=token)))


@pytest.fixture
def least(cluster_config: ClusterConfig, control_plane: ControlPlane) -> Iterator[KubernetesPlane]:
    """The plane of an account that has what the manifest gives, under a name of its own."""
    (role,) = [item for item in yaml.safe_load_all(manifest()) if item["kind"] == "ClusterRole"]
    name = f"least-{secrets.token_hex(3)}"
    token = control_plane.service_account(name, rules=role["rules"])
    plane = plane_of(cluster_config, control_plane, token)
    yield plane
    plane.close()


@pytest.mark.parametrize("executor", ["celery", "kubernetes"])
def test_a_deployment_lives_with_the_least_permissions(
    least: KubernetesPlane, ref: str, executor: str
) -> None:
    spec = make_spec(ref) if executor == "celery" else make_spec(ref, executor=executor, queues=())

    settle(least, spec)
    observation = least.observe(ref=ref)

    assert observation.health == "healthy"
    assert dict(least.survey()).keys() == {ref}
    assert least.drift(spec=spec) == ()
    least.reach()

    remove(least, ref)


def test_the_check_finds_nothing_missing(least: KubernetesPlane) -> None:
    check = least.check()

    assert check.is_usable
    assert check.version.startswith("v1.")
    assert check.identity
    assert check.has_keda
    assert not [one for one in check.permissions if one.missing]


def test_the_check_names_every_permission_that_is_missing(
    cluster_config: ClusterConfig, control_plane: ControlPlane
) -> None:
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]}]
    token = control_plane.service_account(f"poor-{secrets.token_hex(3)}", rules=rules)

    check = plane_of(cluster_config, control_plane, token).check()

    missing = {one.what: one.missing for one in check.permissions if one.missing}
    assert not check.is_usable
    assert missing["deployments.apps"] == ("watch", "create", "patch", "delete")
    assert "secrets" in missing
    finding = next(one for one in check.findings if one.title == "Permissions")
    assert not finding.is_ok
    assert finding.remedy


def test_a_permission_that_is_missing_stops_with_the_object_and_the_remedy(
    cluster_config: ClusterConfig, control_plane: ControlPlane, ref: str
) -> None:
    rules = [
        {"apiGroups": [""], "resources": ["namespaces", "configmaps"], "verbs": ["*"]},
    ]
    token = control_plane.service_account(f"some-{secrets.token_hex(3)}", rules=rules)

    with pytest.raises(Permanent) as raised:
        settle(plane_of(cluster_config, control_plane, token), small_spec(ref))

    assert "is not allowed to" in raised.value.message
    assert "role to apply" in raised.value.message
    assert token not in raised.value.message


def test_a_credential_that_nobody_knows_is_said_and_not_given_up(
    cluster_config: ClusterConfig, control_plane: ControlPlane, ref: str
) -> None:
    plane = plane_of(cluster_config, control_plane, "canary-token")

    with pytest.raises(Unreachable, match="rejects the portal's credential") as raised:
        plane.apply(spec=small_spec(ref))
    with pytest.raises(Unreachable):
        plane.reach()
    check = plane.check()

    assert "canary" not in str(raised.value)
    assert not check.is_usable
    assert "credential" in check.findings[0].detail
