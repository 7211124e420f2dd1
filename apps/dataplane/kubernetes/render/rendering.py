"""The stages of a Deployment, in the order in which they depend on each other."""

from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.render.components import data
from apps.dataplane.kubernetes.render.components.autoscaling import (
    authentication,
    scaled_object,
    scaled_triggerer,
)
from apps.dataplane.kubernetes.render.components.core import core
from apps.dataplane.kubernetes.render.components.database_jobs import server_stages
from apps.dataplane.kubernetes.render.components.history_cleanup import history_cleanup
from apps.dataplane.kubernetes.render.components.log_cleanup import log_cleanup
from apps.dataplane.kubernetes.render.components.migration import migration
from apps.dataplane.kubernetes.render.components.pgbouncer import pgbouncer
from apps.dataplane.kubernetes.render.components.task_pods import task_pod_template
from apps.dataplane.kubernetes.render.components.timekeeping import cron_jobs, program_and_plan
from apps.dataplane.kubernetes.render.components.workers import workers
from apps.dataplane.kubernetes.render.namespace import limits, namespace, quota
from apps.dataplane.kubernetes.render.network import policies
from apps.dataplane.kubernetes.render.pods.access import access
from apps.dataplane.kubernetes.render.pods.code import code_slots
from apps.dataplane.kubernetes.render.pods.configuration import Configuration
from apps.dataplane.kubernetes.render.prometheus.exporter import mappings, prometheus
from apps.dataplane.kubernetes.render.stages import Stage
from apps.dataplane.kubernetes.render.target import Target
from apps.dataplane.spec import DeploymentSpec


def render(
    *, spec: DeploymentSpec, config: ClusterConfig, is_draining: bool = False
) -> tuple[Stage, ...]:
    """Return everything that a Deployment is made of, in stages. While it hibernates no component
    of Airflow has a pod; the api-server has as long as it `is_draining`. Database and broker stay.

    Raises Permanent for what cannot run on Kubernetes (too much code, an unknown size, packages
    without an image), Temporary when the code archive cannot be read.
    """
    if spec.packages and not spec.packages.image:
        raise Permanent(
            f"There is no image with the packages of the project for runtime "
            f"{spec.runtime.version} on this cluster. Deploy the project again, which makes one."
        )
    target = Target(spec=spec, config=config, is_draining=is_draining)
    configuration = Configuration(target)
    task_pods = (task_pod_template(configuration),) if spec.executor == "kubernetes" else ()
    stages = (
        _stage("namespace", "Namespace", namespace(target)),
        _stage("limits", "Quota and limits", quota(target), limits(target)),
        _stage("access", "Accounts and rights", *access(target), free=True),
        _stage("network", "Network policies", *policies(target), free=True),
        _stage("secrets", "Secrets", *configuration.secrets(), free=True),
        _stage(
            "config",
            "Configuration and code",
            *configuration.config_maps(),
            *task_pods,
            *mappings(target),
            *code_slots(target),
            *program_and_plan(target),
            free=True,
        ),
        *(server_stages(target, config.database) if config.database else ()),
        _stage("data", "Storage, database and broker", *_data(configuration), waits=True),
        _stage("migration", "Database migration", migration(configuration), waits=True),
        _stage(
            "core",
            "Core components",
            *core(configuration, task_pods),
            *_beside(configuration),
            *cron_jobs(target),
        ),
        _stage("workers", "Workers", *_workers(configuration), free=True),
        _stage("autoscaling", "Autoscaling", *_autoscaling(target)),
    )
    return tuple(stage for stage in stages if stage.objects)


def _stage(
    key: str, title: str, *objects: Manifest, waits: bool = False, free: bool = False
) -> Stage:
    return Stage(key=key, title=title, objects=objects, waits=waits, free=free)


def _data(configuration: Configuration) -> list[Manifest]:
    target = configuration.target
    objects: list[Manifest] = []
    if target.has_shared_logs:
        objects.append(data.logs_claim(target))
    if target.spec.executor == "celery":
        objects += data.broker(configuration)
    if target.config.database is None:
        objects += data.database(configuration)
    if target.spec.settings.pgbouncer:
        objects += pgbouncer(configuration)
    return objects


def _beside(configuration: Configuration) -> list[Manifest]:
    target = configuration.target
    objects: list[Manifest] = []
    if target.has_shared_logs:
        objects.append(log_cleanup(target))
    if target.config.history_days:
        objects.append(history_cleanup(configuration))
    if target.spec.settings.has_exporter:
        objects += prometheus(target)
    return objects


def _workers(configuration: Configuration) -> list[Manifest]:
    queues = configuration.target.spec.queues
    return [manifest for queue in queues for manifest in workers(configuration, queue)]


def _autoscaling(target: Target) -> list[Manifest]:
    if not target.uses_keda:
        return []
    queues = [scaled_object(target, queue) for queue in target.spec.queues]
    triggerers = [scaled_triggerer(target)] if target.scales_triggerers else []
    return [authentication(target), *queues, *triggerers]
