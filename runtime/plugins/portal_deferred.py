"""Let a task go on that was deferred or rescheduled although its executor says late that the part
before has ended.

The process of a task that defers may take seconds to end, and its trigger may fire before that. The
scheduler then hears that the task ended well, sees that it is queued or runs, and fails it as
killed by others. That event is of the part before, so it is dropped: Airflow up to 3.3.2 does so
only for deferred tasks that are scheduled (apache/airflow#72716). A part that really was lost is
found by its heartbeat, as always.
"""

import logging
from types import ModuleType
from typing import Any

from portal_loading import when_loaded

RUNNER = "airflow.jobs.scheduler_job_runner"
GOES_ON = ("scheduled", "queued", "running", "restarting")

log = logging.getLogger(__name__)


def install() -> None:
    """Complete the scheduler of this process as soon as it is loaded."""
    when_loaded(RUNNER, _complete)


def _complete(module: ModuleType) -> None:
    runner = module.SchedulerJobRunner
    process = runner._process_executor_events

    def _process_executor_events(self: Any, executor: Any, session: Any) -> Any:
        drop_events_of_parts_before(executor.event_buffer, session)
        return process(self, executor=executor, session=session)

    runner._process_executor_events = _process_executor_events


def drop_events_of_parts_before(events: dict[Any, Any], session: Any) -> None:
    """Drop from what an executor reported the good ends of tasks that have gone on since."""
    ended = [
        key for key, (state, _) in events.items() if state == "success" and hasattr(key, "run_id")
    ]
    if not ended:
        return
    from airflow.models.taskinstance import TaskInstance  # noqa: PLC0415 - loaded by then
    from airflow.models.taskreschedule import TaskReschedule  # noqa: PLC0415 - as above
    from sqlalchemy import or_, select  # noqa: PLC0415 - as above

    columns = ("dag_id", "task_id", "run_id", "try_number", "map_index")
    goes_on = select(*(getattr(TaskInstance, name) for name in columns)).where(
        TaskInstance.filter_for_tis(ended),
        TaskInstance.state.in_(GOES_ON),
        or_(
            TaskInstance.next_method.is_not(None),
            select(TaskReschedule.id).where(TaskReschedule.ti_id == TaskInstance.id).exists(),
        ),
    )
    for row in session.execute(goes_on):
        # The key is a tuple of these.
        if events.pop(tuple(row), None) is not None:
            log.info("%s of %s goes on: its part before ended late.", row.task_id, row.run_id)
