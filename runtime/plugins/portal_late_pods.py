"""With the Kubernetes executor, create no pod for a task that waited longer than its token lasts.

While a quota is full the executor keeps what it could not create. After ten minutes the scheduler
takes such a task back and queues it again with a new token, but the executor still has the old job,
whose pod would fail for the old token. So it is dropped; the new one, or the next time that the
task is taken back, starts it.
"""

import logging
from time import time
from types import ModuleType
from typing import Any

from portal_loading import when_loaded
from portal_workloads import has_ended

CREATING = "airflow.providers.cncf.kubernetes.executors.kubernetes_executor_utils"

log = logging.getLogger(__name__)


def install() -> None:
    """Complete the executor of this process as soon as it is loaded."""
    when_loaded(CREATING, _complete)


def _complete(module: ModuleType) -> None:
    creator = module.AirflowKubernetesScheduler
    run_next = creator.run_next

    def run_next_in_time(self: Any, next_job: Any) -> None:
        if _is_late(next_job):
            log.warning("%s waited for longer than its token lasts: no pod of it.", next_job.key)
            return
        run_next(self, next_job)

    creator.run_next = run_next_in_time


def _is_late(job: Any) -> bool:
    from airflow.configuration import conf  # noqa: PLC0415 - loaded by then

    [workload, *_] = job.command or [None]
    as_sent = getattr(workload, "model_dump_json", None)
    leeway = conf.getfloat("api_auth", "jwt_leeway", fallback=0.0)
    return as_sent is not None and has_ended(as_sent(), now=time(), leeway=leeway)
