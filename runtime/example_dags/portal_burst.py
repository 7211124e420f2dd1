"""Many tasks at once, to watch the workers of a queue scale up and go away again.

Trigger it and look at the worker queues of the Deployment. Half the tasks are shell commands.
"""

import time

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param, task

with DAG(
    dag_id="scaling_demo",
    schedule=None,
    catchup=False,
    tags=["example"],
    params={"seconds": Param(15, type="integer", minimum=1, maximum=600)},
    doc_md=__doc__,
) as dag:

    @task
    def wait(number: int, params: dict[str, int] | None = None) -> int:
        time.sleep((params or {}).get("seconds", 15))
        return number

    wait.expand(number=[1, 2, 3, 4])
    for number in range(1, 5):
        BashOperator(task_id=f"shell_{number}", bash_command="sleep {{ params.seconds }}")
