from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.clusters.connections.kept import remove_expired
from apps.clusters.connections.renewal import renew_tokens
from apps.clusters.connections.storage import JOB, run_storage_test


@shared_task(name="apps.clusters.tasks.sweep_kept_secrets")
def sweep_kept_secrets(**_newer: Any) -> None:
    remove_expired(now=timezone.now())


@shared_task(name="apps.clusters.tasks.renew_cluster_tokens", soft_time_limit=110, time_limit=120)
def renew_cluster_tokens(**_newer: Any) -> None:
    renew_tokens(now=timezone.now())


@shared_task(name=JOB, soft_time_limit=220, time_limit=240)
def test_storage(cluster_id: int, asked_at: str, **_newer: Any) -> None:
    run_storage_test(cluster_id=cluster_id, asked_at=asked_at, now=timezone.now())
