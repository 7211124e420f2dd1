"""Drop a Deployment's database on the cluster's server, knowing only its ref.

The Job for it was created suspended together with the database, in a namespace of the portal's own,
with all that it needs.
"""

from datetime import UTC, datetime

from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import JOB, Manifest
from apps.dataplane.kubernetes.observe.logs import component_name, last_lines_of_job
from apps.dataplane.kubernetes.observe.objects.kstatus import status_of
from apps.dataplane.kubernetes.render.components.database_jobs import NAMESPACE, REMOVAL

_MADE_BY_THE_CLUSTER = ("batch.kubernetes.io/", "controller-uid", "job-name")


def drop_database(api: Api, *, labels: str) -> str:
    """Start the Job; return a message until it is complete. Raises Permanent when it fails."""
    for job in api.list(JOB, namespace=NAMESPACE, labels=labels):
        if component_name(job) != REMOVAL:
            continue
        name = job["metadata"]["name"]
        if (job.get("spec") or {}).get("suspend"):
            api.merge(JOB, name, {"spec": {"suspend": False}}, namespace=NAMESPACE)
            return "The database is being dropped."
        status = status_of(job, now=datetime.now(UTC))
        if status.state == "failed":
            log = last_lines_of_job(api, namespace=NAMESPACE, job=name)
            _begin_again(api, job)
            raise Permanent(f"The database could not be dropped. {status.message}", log=log)
        if status.state != "current":
            return f"The database is being dropped. {status.message}"
    return ""


def _begin_again(api: Api, job: Manifest) -> None:
    """Replace a failed Job by a suspended copy: one that ended never runs again."""
    metadata, spec = job["metadata"], job["spec"]
    template = spec["template"]
    labels = {
        key: value
        for key, value in template["metadata"]["labels"].items()
        if not key.startswith(_MADE_BY_THE_CLUSTER)
    }
    api.delete(JOB, metadata["name"], namespace=NAMESPACE, uid=metadata["uid"])
    api.apply(
        {
            "apiVersion": JOB.api_version,
            "kind": JOB.name,
            "metadata": {
                "name": metadata["name"],
                "namespace": NAMESPACE,
                "labels": metadata["labels"],
            },
            "spec": {
                "suspend": True,
                "backoffLimit": spec.get("backoffLimit", 3),
                "activeDeadlineSeconds": spec.get("activeDeadlineSeconds", 1800),
                "template": {**template, "metadata": {"labels": labels}},
            },
        }
    )
