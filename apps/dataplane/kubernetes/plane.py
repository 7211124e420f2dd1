"""The Kubernetes data plane: an Airflow per namespace, applied and observed through the API.

All state is in the cluster itself; this object holds only a configuration, and one connection with
one credential serves everything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from apps.dataplane.airflow_token import PORTAL, AirflowUser
from apps.dataplane.base import DataPlane
from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import DEPLOYMENT, POD, QUOTA, STATEFUL_SET, Manifest
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.api.transport import forget
from apps.dataplane.kubernetes.apply import hibernating
from apps.dataplane.kubernetes.apply.apply_pass import ApplyPass
from apps.dataplane.kubernetes.apply.deletion import delete_pass
from apps.dataplane.kubernetes.apply.pod_deletion_cost import mark_busy_workers
from apps.dataplane.kubernetes.backups.dumping import back_up_to
from apps.dataplane.kubernetes.backups.restoring import Restoration
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.observe import logs
from apps.dataplane.kubernetes.observe.live_metrics import read_live_metrics
from apps.dataplane.kubernetes.observe.objects.drift import drift_of
from apps.dataplane.kubernetes.observe.objects.live_objects import selector
from apps.dataplane.kubernetes.observe.observation import component_names
from apps.dataplane.kubernetes.observe.quotas import full_quota
from apps.dataplane.kubernetes.observe.scaling import read_scaling_decisions
from apps.dataplane.kubernetes.observe.survey import observe_deployment, survey
from apps.dataplane.kubernetes.projects import work
from apps.dataplane.kubernetes.proxy.airflow_api import call_airflow
from apps.dataplane.kubernetes.registration import task_pod_policy
from apps.dataplane.kubernetes.registration.checks import check_cluster
from apps.dataplane.kubernetes.registration.images.image_copy import copy_image
from apps.dataplane.kubernetes.registration.images.image_removal import remove_image
from apps.dataplane.kubernetes.registration.storage_trial import try_storage
from apps.dataplane.kubernetes.registration.token_renewal import renewed_token
from apps.dataplane.kubernetes.render import Stage, render
from apps.dataplane.kubernetes.render.sizes import limits_of
from apps.dataplane.project import InstalledPackages, PackageLock, ParsedProject
from apps.dataplane.spec import DeploymentSpec, DumpTarget, RestoreSpec
from apps.dataplane.status import (
    AirflowResponse,
    Drift,
    Finding,
    LiveMetrics,
    LogPage,
    Observation,
    PlaneCheck,
    Progress,
    ScalingDecision,
    SentDump,
    Usage,
)

MAX_LINES = 5000


class KubernetesPlane:
    """`DataPlane`, `SupportsBulkObserve`, `SupportsMetrics`, `SupportsScalingHistory`,
    `SupportsQuotas`, `SupportsProjects`, `SupportsBackupsToBuckets` and `SupportsStorageTest` of
    one cluster.
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self.api = Api(config.connection)

    def check(self) -> PlaneCheck:
        """Test the cluster: is it reachable, what it has, what it lacks. Nothing is raised."""
        return check_cluster(self.api, self.config)

    def try_storage(self) -> tuple[Finding, ...]:
        """Let pods write to volumes; see `storage_trial`. Takes up to three minutes."""
        return try_storage(self.api, self.config)

    def renewed_token(self) -> str:
        """Ask for the next token of the portal's own account. Raises DataPlaneError."""
        return renewed_token(self.api, self.config.connection.token)

    def reach(self) -> None:
        """Send one cheap request that needs the credential, without a retry. Raises Unreachable."""
        self.api.reach(labels=selector(portal_id=self.config.portal_id))

    def apply(self, *, spec: DeploymentSpec) -> Progress:
        """Do one pass; see `apply_pass.ApplyPass`."""
        if spec.executor == "kubernetes" or spec.settings.pod_operator:
            task_pod_policy.require(self.api)
        if spec.restore is not None:
            progress = self._restoration(spec, spec.restore).step()
            if progress is not None:
                return progress
        if not spec.is_hibernating:
            return self._apply(spec)
        pods = hibernating.pods_with_tasks(self.api, spec=spec, portal_id=self.config.portal_id)
        progress = self._apply(spec, is_draining=bool(pods))
        if not pods:
            return progress
        return hibernating.wait_for(self.api, pods, spec=spec, progress=progress)

    def observe(self, *, ref: str) -> Observation:
        """Observe the Deployment without changing it."""
        return observe_deployment(self.api, config=self.config, ref=ref)

    def survey(self) -> Iterator[tuple[str, Observation]]:
        """Observe all Deployments; see `survey.survey`."""
        return survey(self.api, config=self.config)

    def drift(self, *, spec: DeploymentSpec) -> tuple[Drift, ...]:
        """Return which objects differ from `spec`, and in which fields. Changes nothing."""
        manifests = [manifest for stage in self._rendered(spec) for manifest in stage.objects]
        return drift_of(self.api, manifests, portal_id=self.config.portal_id, ref=spec.ref)

    def mark_busy_workers(self, *, spec: DeploymentSpec) -> int:
        """Mark the busy workers; see `pod_deletion_cost`. Returns how many marks changed."""
        return mark_busy_workers(self.api, spec=spec, portal_id=self.config.portal_id)

    def live_metrics(self, *, spec: DeploymentSpec) -> LiveMetrics:
        """Measure what changes by the second; see `live_metrics`."""
        return read_live_metrics(self.api, spec=spec, portal_id=self.config.portal_id)

    def limits(self, *, spec: DeploymentSpec, counts: Mapping[str, int]) -> Mapping[str, Usage]:
        """Return the limits of the pods of each component, by how many of them run."""
        return limits_of(spec, counts)

    def full_quota(self, *, ref: str) -> str:
        """Return which quota of the namespace is used up; see `quotas`."""
        found = self.api.list(QUOTA, namespace=self.api.home(ref), may_be_forbidden=True)
        return full_quota(found)

    def scaling_decisions(
        self, *, spec: DeploymentSpec, since: datetime
    ) -> tuple[ScalingDecision, ...]:
        """Return what KEDA and the autoscaler decide now; see `scaling`."""
        return read_scaling_decisions(
            self.api,
            spec=spec,
            portal_id=self.config.portal_id,
            cooldown_seconds=max(30, self.config.scale_down_seconds),
        )

    def delete(self, *, ref: str) -> Progress:
        """Do one pass; see `deletion`."""
        return delete_pass(self.api, portal_id=self.config.portal_id, ref=ref)

    def components(self, *, ref: str) -> tuple[str, ...]:
        """Name the components that have logs, in the order people want to read them."""
        lists = in_parallel(
            lambda kind: self.api.list(
                kind,
                namespace=self.api.home(ref),
                labels=selector(portal_id=self.config.portal_id, ref=ref),
                metadata_only=True,
            ),
            (DEPLOYMENT, STATEFUL_SET),
        )
        return component_names(item for items in lists for item in items)

    def logs(
        self, *, ref: str, component: str, cursor: str = "", contains: str = "", limit: int = 500
    ) -> LogPage:
        """Read a component's log: the last `limit` lines, or those after `cursor`; `contains`
        ignores case.
        """
        pods = [pod for pod in self._pods(ref) if logs.component_name(pod) == component]
        if not pods and component not in self.components(ref=ref):
            raise Permanent(f"This Deployment has no component called {component}.")
        return logs.read_page(
            self.api,
            namespace=self.api.home(ref),
            pods=pods,
            cursor=cursor,
            contains=contains,
            limit=max(1, min(limit, MAX_LINES)),
        )

    def airflow(
        self,
        *,
        spec: DeploymentSpec,
        method: str,
        path: str,
        json: Mapping[str, object] | None = None,
        user: AirflowUser = PORTAL,
    ) -> AirflowResponse:
        """Call that Airflow's REST API (`path` like `/api/v2/dags`) as the portal itself, role
        admin, or as another user.
        """
        return call_airflow(self.api, spec=spec, method=method, path=path, json=json, user=user)

    def lock_packages(
        self,
        *,
        spec: DeploymentSpec,
        requirements: tuple[str, ...],
        preferred: Mapping[str, str],
    ) -> PackageLock:
        """Choose the packages that the runtime lacks, in a Job; see `projects.work`."""
        return work.lock_packages(
            self.api, self.config, spec=spec, requirements=requirements, preferred=preferred
        )

    def install_packages(self, *, spec: DeploymentSpec) -> InstalledPackages:
        """Build the image with `spec.packages` in a Job, unless the registry has it."""
        return work.install_packages(self.api, self.config, spec=spec)

    def parse_project(self, *, spec: DeploymentSpec) -> ParsedProject:
        """Read the DAG files in a Job with the image that they are to run in."""
        return work.parse_project(self.api, self.config, spec=spec)

    def back_up_to(self, *, spec: DeploymentSpec, target: DumpTarget) -> SentDump:
        """Dump the metadata database into a bucket, in a Job; see `backups.dumping`."""
        config = self.config.for_database_on(spec.database_server)
        return back_up_to(self.api, config, spec=spec, target=target)

    def remove_image(self, *, image: str) -> None:
        """Delete an image with packages from the registry of the cluster."""
        remove_image(self.config, image=image)

    def copy_image(self, *, image: str, source: DataPlane) -> str:
        """Copy an image with packages from the registry of another cluster into this one's."""
        if not isinstance(source, KubernetesPlane):
            raise Permanent("The image is on no cluster, so it cannot be copied.")
        return copy_image(source.config, self.config, image=image)

    def close(self) -> None:
        """Close the connections of this process to the cluster."""
        forget(self.config.connection)

    def _apply(self, spec: DeploymentSpec, *, is_draining: bool = False) -> Progress:
        return ApplyPass(
            api=self.api,
            portal_id=self.config.portal_id,
            spec=spec,
            stages=self._rendered(spec, is_draining=is_draining),
        ).run()

    def _restoration(self, spec: DeploymentSpec, wanted: RestoreSpec) -> Restoration:
        # Without a pooler, whose sessions would outlive those of Airflow.
        settings = replace(spec.settings, pgbouncer=False)
        still = replace(spec, is_hibernating=True, settings=settings)
        stages = (stage for stage in self._rendered(still) if stage.key != "migration")
        portal_id = self.config.portal_id
        return Restoration(
            api=self.api,
            config=self.config.for_database_on(spec.database_server),
            spec=spec,
            wanted=wanted,
            apply_without_airflow=lambda: ApplyPass(
                api=self.api, portal_id=portal_id, spec=still, stages=tuple(stages)
            ).run(),
        )

    def _rendered(self, spec: DeploymentSpec, *, is_draining: bool = False) -> tuple[Stage, ...]:
        config = self.config.for_database_on(spec.database_server)
        return render(spec=spec, config=config, is_draining=is_draining)

    def _pods(self, ref: str) -> list[Manifest]:
        return self.api.list(
            POD,
            namespace=self.api.home(ref),
            labels=selector(portal_id=self.config.portal_id, ref=ref),
        )
