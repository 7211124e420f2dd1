"""The pod that the KubernetesExecutor makes for a task."""

import json

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.kubernetes.render.components.workers import GRACE_SECONDS, STAYS
from apps.dataplane.kubernetes.render.identity import with_identity
from apps.dataplane.kubernetes.render.pods import access
from apps.dataplane.kubernetes.render.pods.configuration import Configuration
from apps.dataplane.kubernetes.render.pods.placement import TASK, pod_metadata
from apps.dataplane.kubernetes.render.pods.pods import WARM_SHUTDOWN, airflow_container, airflow_pod


def task_pod_template(configuration: Configuration) -> Manifest:
    """Return the ConfigMap with the template; the executor puts the command in."""
    target = configuration.target
    container = airflow_container(
        target,
        name="base",  # the name that the executor looks for
        args=[],
        share=sizes.TASK,
        sources=configuration.of_tasks,
        env=WARM_SHUTDOWN,
    )
    metadata = with_identity(target, pod_metadata(target, TASK, annotations=STAYS))
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": TASK, **metadata},
        "spec": {
            **airflow_pod(
                target,
                service_account=access.TASKS,
                has_token=access.has_token(target, access.TASKS),
            ),
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "containers": [container],
        },
    }
    # JSON is YAML, and the same text every time.
    data = {"pod.yaml": json.dumps(pod, indent=1, sort_keys=True)}
    return target.manifest("ConfigMap", "pod-template", component=TASK, data=data)
