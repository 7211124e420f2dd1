"""The test of a cluster asks an Airflow that is ready through the API server."""

import asyncio
import json
import socket

import pytest
from aiohttp import web

from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.names import namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.status import Finding
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.stand_in import own_address, standing_in

READY = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}


async def version(_: web.Request) -> web.Response:
    return web.json_response({"version": "3.3.2"})


def look(
    config: ClusterConfig,
    control_plane: ControlPlane,
    ref: str,
    *,
    port: int = 0,
    is_gone: bool = False,
) -> list[Finding]:
    """Test the cluster while an Airflow runs in it that says it is ready."""

    async def act() -> list[Finding]:
        app = web.Application()
        app.router.add_get(f"/{ref}/api/v2/version", version)
        async with standing_in(control_plane, ref, app):
            await asyncio.to_thread(_prepare, config, control_plane, ref, port)
            if is_gone:
                where = f"--namespace={namespace_of(ref)}"
                await asyncio.to_thread(
                    control_plane.kubectl, "delete", "service", "api-server", where
                )
            check = await asyncio.to_thread(KubernetesPlane(config).check)
            return [one for one in check.findings if one.title == "Way to Airflow"]

    return asyncio.run(act())


def _prepare(config: ClusterConfig, control_plane: ControlPlane, ref: str, port: int) -> None:
    where = f"--namespace={namespace_of(ref)}"
    labels = {
        "astro-portal.dev/portal": config.portal_id,
        "astro-portal.dev/deployment": ref,
        "app.kubernetes.io/component": "api-server",
    }
    given = json.dumps({"metadata": {"labels": labels}})
    control_plane.kubectl("patch", "pod", "stand-in", where, f"--patch={given}")
    control_plane.kubectl(
        "patch", "pod", "stand-in", where, "--subresource=status", f"--patch={json.dumps(READY)}"
    )
    if port:
        _lead_to(port, control_plane, where)


def _lead_to(port: int, control_plane: ControlPlane, where: str) -> None:
    """Let the Service lead to another port. Older API servers read Endpoints."""
    ports = [{"name": "http", "port": port}]
    subsets = [{"addresses": [{"ip": own_address()}], "ports": ports}]
    for kind, change in (("endpointslice", {"ports": ports}), ("endpoints", {"subsets": subsets})):
        patch = f"--patch={json.dumps(change)}"
        control_plane.kubectl("patch", kind, "api-server", where, "--type=merge", patch)


@pytest.mark.skipif(not own_address(), reason="this machine has no address but its own")
def test_what_the_api_server_says_itself_shows_no_way(
    cluster_config: ClusterConfig, control_plane: ControlPlane, ref: str
) -> None:
    assert look(cluster_config, control_plane, ref, is_gone=True) == []


@pytest.mark.skipif(not own_address(), reason="this machine has no address but its own")
def test_a_way_that_is_open_is_said(
    cluster_config: ClusterConfig, control_plane: ControlPlane, ref: str
) -> None:
    [finding] = look(cluster_config, control_plane, ref)

    assert finding.is_ok, finding


@pytest.mark.skipif(not own_address(), reason="this machine has no address but its own")
def test_a_ready_airflow_that_the_api_server_cannot_connect_to_names_the_port(
    cluster_config: ClusterConfig, control_plane: ControlPlane, ref: str
) -> None:
    with socket.socket() as unused:
        unused.bind((own_address(), 0))
        port = unused.getsockname()[1]

        [finding] = look(cluster_config, control_plane, ref, port=port)

    assert not finding.is_ok
    assert "cannot connect" in finding.detail
    assert "port 8080 of pods" in finding.remedy
