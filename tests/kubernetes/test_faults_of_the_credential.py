"""A credential that is revoked, expired or replaced, and a CA that changed: fault 22."""

import json
import time
from dataclasses import replace

import pytest

from apps.dataplane.errors import Unreachable
from apps.dataplane.kubernetes.api.errors import CredentialRefused
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.plane import KubernetesPlane
from tests.dataplane.local_world import eventually
from tests.kubernetes.conftest import config_of
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.deployments import settle, small_spec
from tests.kubernetes.fault_proxy import FaultProxy

ALL = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]


def is_refused(plane: KubernetesPlane) -> bool:
    try:
        plane.reach()
    except CredentialRefused:
        return True
    return False


def test_a_client_certificate_is_a_credential_too(control_plane: ControlPlane, ref: str) -> None:
    plane = KubernetesPlane(config_of(control_plane.connection_by_certificate("valid")))

    settle(plane, small_spec(ref))

    assert plane.observe(ref=ref).health == "healthy"


def test_an_expired_certificate_is_told_from_a_cluster_that_is_away(
    control_plane: ControlPlane,
) -> None:
    plane = KubernetesPlane(config_of(control_plane.connection_by_certificate("expired")))

    with pytest.raises(CredentialRefused, match="rejects the portal's credential"):
        plane.reach()


def test_a_revoked_token_is_told_at_every_door_and_never_tried_twice(
    control_plane: ControlPlane, faulty: FaultProxy, ref: str
) -> None:
    control_plane.service_account(ref, rules=ALL)
    control_plane.create({"kind": "Secret", "metadata": {"name": ref, "namespace": "default"}})
    bound = ("--bound-object-kind=Secret", f"--bound-object-name={ref}")
    token = control_plane.kubectl("create", "token", ref, *bound).strip()
    config = config_of(replace(faulty.connection, token=token))
    plane = KubernetesPlane(config)
    settle(plane, small_spec(ref))

    control_plane.kubectl("delete", "secret", ref, "-n", "default")
    eventually(lambda: is_refused(plane), seconds=30)
    for act in (
        lambda: plane.apply(spec=small_spec(ref, revision=2)),
        lambda: plane.observe(ref=ref),
        lambda: plane.delete(ref=ref),
        lambda: list(plane.survey()),
    ):
        faulty.forget_calls()
        with pytest.raises(CredentialRefused) as raised:
            act()
        assert token not in repr(raised.value)
        assert {call.status for call in faulty.calls} == {401}
        paths = [call.path for call in faulty.calls]
        assert len(paths) == len(set(paths))

    new = control_plane.token_of(ref)
    started = time.monotonic()
    settle(
        KubernetesPlane(replace(config, connection=replace(config.connection, token=new))),
        small_spec(ref, revision=2),
    )

    assert time.monotonic() - started < 30


def test_another_ca_is_not_trusted_until_it_is_registered(
    faulty: FaultProxy, faulty_config: ClusterConfig, faulty_plane: KubernetesPlane
) -> None:
    faulty_plane.reach()

    faulty.show_other_certificate()

    with pytest.raises(Unreachable, match="the registered CA did not sign"):
        faulty_plane.reach()
    KubernetesPlane(replace(faulty_config, connection=faulty.connection)).reach()


def test_a_name_that_the_certificate_lacks_is_refused(faulty: FaultProxy) -> None:
    elsewhere = replace(faulty.connection, tls_server_name="somewhere.test")

    with pytest.raises(Unreachable, match="certificate"):
        KubernetesPlane(config_of(elsewhere)).reach()
    KubernetesPlane(config_of(replace(elsewhere, tls_server_name="localhost"))).reach()


def test_no_credential_is_in_what_is_printed(control_plane: ControlPlane) -> None:
    connection = control_plane.connection
    by_certificate = control_plane.connection_by_certificate("valid")
    plane = KubernetesPlane(config_of(connection))

    printed = f"{connection!r} {by_certificate!r} {plane.config!r} {json.dumps(str(plane))}"

    assert connection.token not in printed
    assert by_certificate.client_key not in printed
