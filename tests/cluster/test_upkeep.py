"""What keeps an Airflow for years, on the node: a backup into a bucket by Jobs and its restore, and
hibernation by the cluster's own CronJobs. It goes on with the Airflow of `test_tasks_in_pods.py`.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from moto.server import ThreadedMotoServer

from apps.core.outbound.guarded_http import Reach
from apps.dataplane.base import SupportsBackupsToBuckets
from apps.dataplane.hibernation.plans import HibernationPlan, Schedule
from apps.dataplane.kubernetes.names import COMPONENT_LABEL, JOB_LABEL, namespace_of
from apps.dataplane.spec import DumpTarget, RestoreSpec
from apps.object_stores import client
from tests.cluster.node import Node
from tests.dataplane.world import World, eventually
from tests.object_stores.servers import BUCKET, REGION, Server

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

KEY, GOOD_FOR_SECONDS = "still-comet/1.dump", 3600
WAKE_SECONDS = 90


@pytest.fixture(scope="module")
def server(node: Node) -> Iterator[Server]:
    """A server that speaks S3, at an address that pods reach."""
    moto = ThreadedMotoServer(ip_address=node.layout.host_address, port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    found = Server(f"http://{host}:{port}")
    found.client().create_bucket(Bucket=BUCKET)
    yield found
    moto.stop()


def test_a_backup_by_jobs_comes_back(world: World, node: Node, server: Server) -> None:
    assert world.spec
    assert isinstance(world.plane, SupportsBackupsToBuckets)
    bucket, s3 = _bucket(server), server.client()
    _set(world, "kept", "as it was: \u00fc")
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=KEY)["UploadId"]
    address = client.part_address(
        bucket, KEY, upload=upload, number=1, good_for_seconds=GOOD_FOR_SECONDS
    )

    began = time.monotonic()
    dump = world.plane.back_up_to(
        spec=world.spec, target=DumpTarget(part_urls=(address,), part_bytes=64 * 2**20)
    )
    backed_up = time.monotonic() - began
    parts = [{"PartNumber": 1, "ETag": dump.tags[0]}]
    s3.complete_multipart_upload(
        Bucket=BUCKET, Key=KEY, UploadId=upload, MultipartUpload={"Parts": parts}
    )
    _set(world, "kept", "changed since")
    _set(world, "since", "lost")
    restored = world.apply(
        restore=RestoreSpec(
            key="11111111-a",
            dump_path="",
            sha256=dump.sha256,
            airflow_version=dump.airflow_version,
            url=client.object_address(bucket, KEY, good_for_seconds=GOOD_FOR_SECONDS),
            size_bytes=dump.size_bytes,
            postgres=dump.postgres,
        )
    )

    found = world.airflow("GET", "/api/v2/variables")["variables"]
    assert {one["key"]: one["value"] for one in found} == {"kept": "as it was: \u00fc"}
    namespace = namespace_of(world.spec.ref)
    jobs = ("get", "jobs,pods,secrets", "-n", namespace, "-l", JOB_LABEL, "-o", "name")
    eventually(lambda: not node.kubectl(*jobs).strip(), seconds=60)
    print(f"backed up in {backed_up:.0f} s, restored and healthy in {restored:.0f} s")


def test_cron_jobs_put_it_to_sleep_and_wake_it(world: World, node: Node) -> None:
    assert world.spec
    begin = (datetime.now(UTC) + timedelta(seconds=90)).replace(second=0, microsecond=0)
    end = begin + timedelta(minutes=2)
    schedule = Schedule(hibernate_at=_cron(begin), wake_at=_cron(end))
    world.apply(hibernation=HibernationPlan(schedules=(schedule,), task_minutes=1))
    assert _components(world, node) >= {"api-server", "scheduler", "dag-processor"}

    # Nothing of the portal runs from here on.
    _wait_until(begin)
    eventually(lambda: not _components(world, node) - {"postgres"}, seconds=115)
    asleep = (datetime.now(UTC) - begin).total_seconds()
    _wait_until(end)
    world.airflow("GET", "/api/v2/variables")
    eventually(lambda: {"api-server", "scheduler"} <= _ready(world, node), seconds=120)
    awake = (datetime.now(UTC) - end).total_seconds()

    print(f"asleep after {asleep:.0f} s, awake after {awake:.0f} s")
    assert awake <= WAKE_SECONDS


def _bucket(server: Server) -> client.Bucket:
    return client.Bucket(
        endpoint=server.url,
        name=BUCKET,
        region=REGION,
        is_path_style=True,
        access_key_id=server.key_id,
        secret=server.secret,
        reach=Reach(networks=(), setting="", allows_http=True),
    )


def _set(world: World, key: str, value: str) -> None:
    path, body = "/api/v2/variables", {"key": key, "value": value}
    known = {one["key"] for one in world.airflow("GET", path)["variables"]}
    if key in known:
        world.airflow("PATCH", f"{path}/{key}", body)
    else:
        world.airflow("POST", path, body)


def _cron(at: datetime) -> str:
    return f"{at.minute} {at.hour} * * *"


def _wait_until(at: datetime) -> None:
    time.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))


def _components(world: World, node: Node) -> set[str]:
    return {pod["metadata"]["labels"].get(COMPONENT_LABEL, "") for pod in _pods(world, node)}


def _ready(world: World, node: Node) -> set[str]:
    return {
        pod["metadata"]["labels"].get(COMPONENT_LABEL, "")
        for pod in _pods(world, node)
        if any(
            one["type"] == "Ready" and one["status"] == "True"
            for one in pod["status"].get("conditions", ())
        )
    }


def _pods(world: World, node: Node) -> list[dict]:
    """Return the pods that are to stay: those of Jobs end by themselves."""
    assert world.spec
    return [
        pod
        for pod in node.objects("pods", namespace_of(world.spec.ref))
        if "job-name" not in pod["metadata"]["labels"]
        and pod["status"].get("phase") not in ("Succeeded", "Failed")
    ]
