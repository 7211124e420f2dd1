"""Backups of Deployments on clusters: the cluster sends the parts of a dump to the bucket itself,
by addresses that are good for them alone, and the portal makes one object of them.
"""

from contextlib import suppress

from apps.backups.models import Backup
from apps.backups.services import NO_BUCKET
from apps.clusters.connections.planes import plane_for
from apps.dataplane.base import SupportsBackupsToBuckets
from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.spec import DeploymentSpec, DumpTarget
from apps.dataplane.status import SentDump
from apps.deployments.models import Deployment, Revision
from apps.deployments.reconciling.compiler import compile_spec
from apps.object_stores import client
from apps.object_stores.client import Bucket, BucketFailed
from apps.object_stores.models import ObjectStore
from apps.object_stores.queries import opened, store_for

# 20 GiB, which is as much as a cluster writes to a node's disk.
PART_BYTES, MOST_PARTS = 64 * 1024**2, 320
GOOD_FOR_SECONDS = 2 * 3600
CHANGING = "Airflow is being upgraded on the cluster, so it was not backed up. Try again later."


def write_from_cluster(backup: Backup) -> None:
    """Let the cluster send a dump, and describe it on the row, which is not saved. Raises
    DataPlaneError or BucketFailed, and then no object is left.
    """
    deployment = backup.deployment
    store = store_for(deployment.workspace.organization_id, ObjectStore.Use.BACKUPS)
    plane = plane_for(deployment.cluster)
    if store is None or not isinstance(plane, SupportsBackupsToBuckets):
        raise Permanent(NO_BUCKET)
    spec = _spec(deployment)
    # Known before anything is there, so that removing a backup that failed removes it there, too.
    backup.store = store
    backup.save(update_fields=["store"])
    dump = _send(plane, spec, opened(store), backup.object_key, store.ca_certificate)
    if _spec(Deployment.objects.get(pk=deployment.pk)).runtime != spec.runtime:
        raise Temporary(CHANGING)
    backup.airflow_version, backup.postgres = dump.airflow_version, dump.postgres
    backup.size_bytes, backup.sha256 = dump.size_bytes, dump.sha256


def _spec(deployment: Deployment) -> DeploymentSpec:
    """Return what runs. Raises Temporary while another Airflow is about to."""
    applied: Revision | None = deployment.applied
    wanted = deployment.wanted
    if applied is None or wanted is None:
        raise Permanent("This Deployment has no metadata database yet.")
    if wanted.configuration.runtime != applied.configuration.runtime:
        raise Temporary(CHANGING)
    return compile_spec(deployment=deployment, revision=applied)


def _send(
    plane: SupportsBackupsToBuckets, spec: DeploymentSpec, bucket: Bucket, key: str, ca: str
) -> SentDump:
    upload = client.begin_upload(bucket, key)
    try:
        target = DumpTarget(
            part_urls=tuple(
                client.part_address(
                    bucket, key, upload=upload, number=number, good_for_seconds=GOOD_FOR_SECONDS
                )
                for number in range(1, MOST_PARTS + 1)
            ),
            part_bytes=PART_BYTES,
            ca_certificate=ca,
        )
        dump = plane.back_up_to(spec=spec, target=target)
        client.finish_upload(bucket, key, upload=upload, tags=list(dump.tags))
    except BaseException:
        with suppress(BucketFailed):
            client.cancel_upload(bucket, key, upload=upload)
        raise
    if client.size_of(bucket, key) != dump.size_bytes:
        with suppress(BucketFailed):
            client.delete(bucket, key)
        raise BucketFailed("What arrived in the bucket is not the whole backup. Try again.")
    return dump
