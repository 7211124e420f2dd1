"""Restoring a dump in passes: `step` does what can be done now, and all state is in the cluster.

The Job gets the dump while Airflow runs on, and then waits until Airflow's sessions are gone. It
replaces the database in one transaction, so that every end of it leaves the old or the new one. The
inventory remembers which wish was fulfilled; a pass that is killed is simply repeated.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import CONFIG_MAP, JOB, POD, Manifest, object_id
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.apply import hibernating
from apps.dataplane.kubernetes.apply.rollout import HEALTHY
from apps.dataplane.kubernetes.backups.errors import failure_of, problems_in, reason_in
from apps.dataplane.kubernetes.backups.manifests import SECONDS, SHARE, DumpJob
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.observe.objects.inventory import Inventory, inventory_in, manifest_of
from apps.dataplane.kubernetes.observe.objects.live_objects import owned_namespace
from apps.dataplane.kubernetes.observe.reasons import containers_of, reasons_of
from apps.dataplane.kubernetes.projects import manifests
from apps.dataplane.kubernetes.projects.answers import read_answer
from apps.dataplane.kubernetes.render.components.data import DATABASE_MAJOR
from apps.dataplane.spec import DeploymentSpec, RestoreSpec
from apps.dataplane.status import Progress, Step

NOTHING_YET = Progress(steps=(), is_done=False)
KEY, TITLE = "restore", "Restore the backup"
SEND_KEY, SEND_TITLE = "send", "Put the database into the bucket"
# Three attempts, each of an hour at most.
SEND_SECONDS = 4 * 3600
WAIT_SECONDS = 2.0
GETTING = "Getting the backup from its bucket. Airflow runs on meanwhile."
STOPPING = "Stopping Airflow. The backup is there."
REPLACING = "Replacing the metadata database."
UNCHANGED = "The backup could not be restored, so nothing was changed."
STOPPED = (
    "The backup could not be restored: the metadata database is as it was, and Airflow is stopped. "
    "Restore again, or roll back to the revision before."
)


class Restoration:
    """What a pass does of one restore. `apply_without_airflow` is a pass that applies everything
    with no component of Airflow, and no migration.
    """

    def __init__(
        self,
        *,
        api: Api,
        config: ClusterConfig,
        spec: DeploymentSpec,
        wanted: RestoreSpec,
        apply_without_airflow: Callable[[], Progress],
    ) -> None:
        self.api = api
        self.config = config
        self.spec = spec
        self.wanted = wanted
        self.apply_without_airflow = apply_without_airflow
        self.job = _job(config, spec, wanted)
        self.namespace = self.job.namespace

    def step(self) -> Progress | None:
        """Do one pass; return None once the dump is restored. Raises Permanent when it cannot be,
        and nothing of the database was changed then.
        """
        inventory = self._inventory()
        if inventory.restored == self.wanted.key:
            return None
        # A new Deployment has no database yet, and no Airflow to stop.
        if inventory.revision == 0:
            progress = self.apply_without_airflow()
            return self._with_step(progress, "Waiting for the metadata database.")
        job = self.api.find(JOB, self.job.name, namespace=self.namespace)
        if job is None or (job.get("spec") or {}).get("suspend"):
            if self.wanted.waiting:
                return replace(NOTHING_YET, steps=_sending(self.wanted))
            self._begin(inventory, job)
            return self._with_step(NOTHING_YET, GETTING)
        return self._follow(job)

    def _follow(self, job: Manifest) -> Progress | None:
        pod, is_restored = self._pod(), _has(job, "Complete")
        if _has(job, "Failed"):
            self._fail(pod)
        if not is_restored and not _is_fetched(pod):
            return self._with_step(NOTHING_YET, " ".join([GETTING, *self._reasons()]))
        progress = self.apply_without_airflow()
        self._end_tasks()
        if not progress.is_done:
            return self._with_step(progress, STOPPING)
        if not is_restored:
            return self._with_step(progress, REPLACING)
        self._remember()
        return None

    def _begin(self, inventory: Inventory, found: Manifest | None) -> None:
        """Create the Job with what it reads; a pass that was killed may have begun it."""
        self._write(replace(inventory, restoring=self.wanted.key))
        made = found or self.api.apply(manifests.job(self.job, is_suspended=True))
        uid = str(made["metadata"]["uid"])
        in_parallel(self.api.apply, manifests.owned(self.job, uid=uid))
        self.api.apply(manifests.job(self.job, is_suspended=False))

    def _remember(self) -> None:
        self._write(replace(self._inventory(), restoring="", restored=self.wanted.key))
        self._delete()

    def _fail(self, pod: Manifest | None) -> None:
        is_running = pod is not None and not _is_fetched(pod)
        reason, lines = self._why(pod)
        self._delete()
        message = f"{UNCHANGED if is_running else STOPPED} {reason}".strip()
        raise Permanent(message, component=KEY, log=lines)

    def _why(self, pod: Manifest | None) -> tuple[str, tuple[str, ...]]:
        if pod is None:
            return "The Job was interrupted, or took longer than an hour.", ()
        if not _is_fetched(pod):
            answer = read_answer(self._log(pod, "project"))
            if answer.failed:
                return failure_of(answer).message, ()
        lines = problems_in(self._log(pod, "database"))
        if lines:
            return reason_in(lines[0]), lines
        status = pod.get("status") or {}
        return str(status.get("message", ""))[:300] or "The Job was interrupted.", ()

    def _log(self, pod: Manifest, container: str) -> str:
        path = POD.path(namespace=self.namespace, name=pod["metadata"]["name"], part="log")
        try:
            query = {"container": container, "limitBytes": "1000000"}
            return self.api.text(path, query=query, seconds=30.0)
        except DataPlaneError:
            return ""

    def _reasons(self) -> list[str]:
        one = object_id(manifests.job(self.job, is_suspended=False))
        now = datetime.now(UTC)
        return reasons_of(self.api, namespace=self.namespace, workloads=[one], now=now)

    def _end_tasks(self) -> None:
        """Let workers go, which would otherwise have a day for their tasks."""
        pods = hibernating.pods_with_tasks(
            self.api, spec=self.spec, portal_id=self.config.portal_id
        )
        hibernating.end(self.api, pods)

    def _with_step(self, progress: Progress, detail: str) -> Progress:
        step = Step(
            key=KEY, title=TITLE, state="running", detail=detail, allowed_seconds=SECONDS + 600
        )
        steps = [one for one in progress.steps if one.key != HEALTHY.key]
        return replace(
            NOTHING_YET,
            steps=(*steps, *_sending(self.wanted), step),
            retry_after_seconds=WAIT_SECONDS,
        )

    def _delete(self) -> None:
        found = self.api.find(JOB, self.job.name, namespace=self.namespace)
        if found is not None:
            uid = found["metadata"]["uid"]
            with suppress(Temporary):
                self.api.delete(JOB, self.job.name, uid=uid, namespace=self.namespace)

    def _pod(self) -> Manifest | None:
        pods = self.api.list(POD, namespace=self.namespace, labels=self.job.pods)
        return pods[0] if pods else None

    def _inventory(self) -> Inventory:
        portal_id, ref = self.config.portal_id, self.spec.ref
        if owned_namespace(self.api, portal_id=portal_id, ref=ref) is None:
            return Inventory()
        return inventory_in(self.api.find(CONFIG_MAP, names.INVENTORY, namespace=self.namespace))

    def _write(self, inventory: Inventory) -> None:
        labels = {
            names.PORTAL_LABEL: self.config.portal_id,
            names.DEPLOYMENT_LABEL: self.spec.ref,
        }
        manifest = manifest_of(inventory, namespace=self.namespace, labels=labels)
        self.api.apply(manifest, metadata_only=True)


def _job(config: ClusterConfig, spec: DeploymentSpec, wanted: RestoreSpec) -> DumpJob:
    return DumpJob(
        name=names.restore_job(wanted.key),
        spec=spec,
        config=config,
        image=spec.runtime.image,
        program="fetch_dump",
        script="restore_dump",
        postgres=max(wanted.postgres, DATABASE_MAJOR),
        is_written=False,
        pauses_dags=wanted.pauses_dags,
        task={
            "size": wanted.size_bytes,
            "sha256": wanted.sha256,
            "ca": f"{wanted.ca_certificate}{spec.settings.ca_bundle}",
        },
        credential={"dump": wanted.url},
        share=SHARE,
        seconds=SECONDS,
        kept_seconds=24 * 3600,
    )


def _is_fetched(pod: Manifest | None) -> bool:
    return any(
        _ended(one).get("exitCode") == 0
        for one in containers_of(pod or {})
        if one.get("name") == "project"
    )


def _ended(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return (container.get("state") or {}).get("terminated") or {}


def _has(job: Manifest, condition: str) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(one.get("type") == condition and one.get("status") == "True" for one in conditions)


def _sending(wanted: RestoreSpec) -> tuple[Step, ...]:
    """Return the step of what the portal does before, where it has to do something."""
    if wanted.waiting is None:
        return ()
    step = Step(
        key=SEND_KEY,
        title=SEND_TITLE,
        state="running" if wanted.waiting else "done",
        detail=wanted.waiting,
        allowed_seconds=SEND_SECONDS,
    )
    return (step,)
