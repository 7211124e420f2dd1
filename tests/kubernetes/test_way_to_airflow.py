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
    config: ClusterConfig, control_plane: ControlPlane, ref: str, *, patch: str = ""
) -> list[Finding]:
    """Test the cluster while an Airflow runs in it that says it is ready."""

    async def act() -> list[Finding]:
        app = web.Application()
        app.router.add_get(f"/{ref}/api/v2/version", version)
        async with standing_in(control_plane, ref, app):
            await asyncio.to_thread(_prepare, config, control_plane, ref, patch)
            check = await asyncio.to_thread(KubernetesPlane(config).check)
            return [one for one in check.findings if one.title == "Way to Airflow"]

    return asyncio.run(act())


def _prepare(config: ClusterConfig, control_plane: ControlPlane, ref: str, patch: str) -> None:
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
    if patch:
        control_plane.kubectl("patch", "endpointslice", "api-server", where, f"--patch={patch}")
        control_plane.kubectl("delete", "endpoints", "api-server", where)


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
        closed = json.dumps({"ports": [{"name": "http", "port": port}]})

        [finding] = look(cluster_config, control_plane, ref, patch=closed)

    assert not finding.is_ok
    assert "cannot connect" in finding.detail
    assert "port 8080 of pods" in finding.remedy
