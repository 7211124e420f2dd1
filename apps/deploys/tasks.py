from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.deploys import jobs
from apps.deploys.branches import following
from apps.deploys.commit_states import reporting, tracking
from apps.deploys.deliveries import cleanup, queue
from apps.deploys.git.tasks import poll, sweep
from apps.deploys.incoming import blobs
from apps.deploys.previews import checking
from apps.deploys.previews.services import remove_old
from apps.deploys.promotion import copying
from apps.deploys.promotion.services import expire_old
from apps.package_indexes.cleanup import remove_of_deleted_deployments

# Celery looks for jobs in this module alone.
__all__ = [
    "begin_deploys",
    "begin_next_deploy",
    "check_preview",
    "copy_packages",
    "follow_branches",
    "poll",
    "report_commits",
    "sweep",
    "sweep_archives",
    "sweep_previews",
]

# The longest steps are the installation and the reading of DAG files, with ten minutes and five.
CHECK_SECONDS = 1_200


@shared_task(name="apps.deploys.tasks.sweep_archives")
def sweep_archives(**_newer: Any) -> None:
    remove_old(now=timezone.now())
    expire_old(now=timezone.now())
    cleanup.remove_unused_archives(now=timezone.now())
    blobs.remove_old(now=timezone.now())
    reporting.remove_old(now=timezone.now())
    remove_of_deleted_deployments()


@shared_task(name=jobs.CHECK, soft_time_limit=CHECK_SECONDS, time_limit=CHECK_SECONDS + 30)
def check_preview(preview_id: int, **_newer: Any) -> None:
    checking.check(preview_id=preview_id, now=timezone.now())


@shared_task(name=jobs.COPY, soft_time_limit=CHECK_SECONDS, time_limit=CHECK_SECONDS + 30)
def copy_packages(promotion_id: int, **_newer: Any) -> None:
    copying.copy(promotion_id=promotion_id, now=timezone.now())


@shared_task(name="apps.deploys.tasks.sweep_previews")
def sweep_previews(**_newer: Any) -> None:
    for preview_id in checking.due(now=timezone.now()):
        jobs.request_check(preview_id)
    for promotion_id in copying.due(now=timezone.now()):
        jobs.request_copy(promotion_id)


@shared_task(name="apps.deploys.tasks.begin_deploys")
def begin_deploys(**_newer: Any) -> None:
    for deployment_id in queue.due():
        jobs.request_next(deployment_id)


@shared_task(name=jobs.BEGIN, soft_time_limit=60, time_limit=90)
def begin_next_deploy(deployment_id: int, **_newer: Any) -> None:
    queue.begin_next(deployment_id=deployment_id, now=timezone.now())


@shared_task(name="apps.deploys.tasks.report_commits", soft_time_limit=250, time_limit=270)
def report_commits(**_newer: Any) -> None:
    tracking.follow_pending(now=timezone.now())
    reporting.send_due(now=timezone.now())


@shared_task(name="apps.deploys.tasks.follow_branches", soft_time_limit=250, time_limit=270)
def follow_branches(**_newer: Any) -> None:
    following.look_at_due(now=timezone.now())
