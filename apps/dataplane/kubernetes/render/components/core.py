"""api-server, scheduler, dag-processor and triggerer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.kubernetes.render.components.log_cleanup import trim_parse_logs
from apps.dataplane.kubernetes.render.components.migration import database_program
from apps.dataplane.kubernetes.render.identity import read_at_start, reads_logs, with_identity
from apps.dataplane.kubernetes.render.places import PROGRAMS
from apps.dataplane.kubernetes.render.pods import access
from apps.dataplane.kubernetes.render.pods.configuration import Configuration
from apps.dataplane.kubernetes.render.pods.environment import DAY_SECONDS
from apps.dataplane.kubernetes.render.pods.placement import spread
from apps.dataplane.kubernetes.render.pods.pods import (
    WARM_SHUTDOWN,
    airflow_container,
    airflow_pod,
    pod_template,
    scratch_volume,
)
from apps.dataplane.kubernetes.render.sizes import Share
from apps.dataplane.kubernetes.render.target import API_PORT, API_SERVICE, Target

# From inside, because this server of Airflow's knows IPv4 alone: a pod has loopback in any cluster.
CHECK_HEALTH = (
    "exec 3<>/dev/tcp/127.0.0.1/8974 && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && "
    'read -r _ status _ <&3 && [ "$status" = 200 ]'
)
DAG_PROCESSOR = "dag-processor"
ROLLOUT_SECONDS = 900


@dataclass(frozen=True, kw_only=True)
class Component:
    """What makes one core component differ from the others."""

    name: str
    args: Sequence[str]
    share: Share
    replicas: int
    # KEDA says how many run, from `replicas` on.
    is_scaled: bool = False
    account: str = access.AIRFLOW
    grace_seconds: int = 30
    port: int = 0
    probes: dict[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_doubled(self) -> bool:
        """Whether there may be two of it."""
        return self.is_scaled or self.replicas > 1


def core(configuration: Configuration, extra: Sequence[Manifest]) -> tuple[Manifest, ...]:
    """Return the Deployments of the core and the api-server's Service. The pods are replaced when
    something in `extra` changes, too.
    """
    target = configuration.target
    components = (
        _api_server(target),
        _scheduler(target),
        _dag_processor(target),
        _triggerer(target),
    )
    return (
        _api_service(target),
        *(_deployment(configuration, component, extra) for component in components),
        *(budget(target, one.name) for one in components if one.is_doubled),
    )


def budget(target: Target, component: str) -> Manifest:
    """Keep all but one pod of a component through the draining of nodes."""
    spec = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": target.selector(component)},
    }
    return target.manifest(
        "policy/v1 PodDisruptionBudget", component, component=component, spec=spec
    )


def _deployment(
    configuration: Configuration, component: Component, extra: Sequence[Manifest]
) -> Manifest:
    target = configuration.target
    container = airflow_container(
        target,
        name=component.name,
        args=["airflow", *component.args],
        share=component.share,
        sources=configuration.of_core,
        env=component.env,
    )
    container |= component.probes
    if component.port:
        port = {"name": "http", "containerPort": component.port, "protocol": "TCP"}
        container["ports"] = [port]
    pod = {
        **airflow_pod(
            target,
            service_account=component.account,
            has_token=access.has_token(target, component.account),
        ),
        "terminationGracePeriodSeconds": component.grace_seconds,
        "initContainers": [
            database_program(configuration, "wait_for_migrations", share=sizes.PREPARATION)
        ],
        "containers": [container],
    }
    if component.is_doubled:
        pod["topologySpreadConstraints"] = spread(target, component.name)
    pod["volumes"].append(scratch_volume())
    if component.name == DAG_PROCESSOR:
        trim_parse_logs(target, pod)
    reads = [*configuration.of_core, *configuration.files, *extra]
    has_identity = component.account == access.TASKS or (
        component.name == API_SERVICE and reads_logs(target)
    )
    template = pod_template(
        target,
        component=component.name,
        spec=pod,
        reads=[*reads, *read_at_start(target)] if has_identity else reads,
    )
    if has_identity:
        template["metadata"] = with_identity(target, template["metadata"])
    spec = {
        **({} if component.is_scaled else {"replicas": component.replicas}),
        "minReadySeconds": 5,
        "progressDeadlineSeconds": ROLLOUT_SECONDS,
        "revisionHistoryLimit": 3,
        # The old pod runs until the new one is ready: a bad image stops nothing.
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        },
        "selector": {"matchLabels": target.selector(component.name)},
        "template": template,
    }
    return target.manifest(
        "apps/v1 Deployment", component.name, component=component.name, spec=spec
    )


def _api_server(target: Target) -> Component:
    # Neither queries the database: a database outage would otherwise stop the api-server, too, and
    # fail tasks that could have waited.
    alive = {"httpGet": {"path": f"{target.path}/api/v2/version", "port": API_PORT}}
    return Component(
        name=API_SERVICE,
        args=["api-server"],
        share=sizes.core_share("api-server", target.spec.settings),
        replicas=_replicas(target, "api-server"),
        account=access.account_of_api_server(target),
        grace_seconds=60,
        port=API_PORT,
        probes={
            "startupProbe": _probe(alive, period=3, timeout=5, failures=200),
            "readinessProbe": _probe(alive, period=10, timeout=10, failures=3),
            "livenessProbe": _probe(alive, period=20, timeout=15, failures=9),
        },
    )


def _scheduler(target: Target) -> Component:
    runs_tasks = target.spec.executor == "local"
    skips_logs = runs_tasks and target.has_shared_logs
    alive = {"exec": {"command": ["bash", "-c", CHECK_HEALTH]}}
    return Component(
        name="scheduler",
        args=["scheduler", *(["--skip-serve-logs"] if skips_logs else [])],
        share=sizes.scheduler_share(target.spec.settings, target.spec.executor),
        replicas=_replicas(target, "scheduler"),
        account=_account_of_scheduler(target),
        grace_seconds=DAY_SECONDS if runs_tasks else 60,
        env=WARM_SHUTDOWN if runs_tasks else {},
        probes={
            "startupProbe": _probe(alive, period=5, timeout=5, failures=120),
            "livenessProbe": _probe(alive, period=30, timeout=15, failures=10),
        },
    )


def _account_of_scheduler(target: Target) -> str:
    accounts = {"kubernetes": access.SCHEDULER, "local": access.TASKS}
    return accounts.get(target.spec.executor, access.AIRFLOW)


def _dag_processor(target: Target) -> Component:
    return Component(
        name=DAG_PROCESSOR,
        args=["dag-processor"],
        share=sizes.core_share(DAG_PROCESSOR, target.spec.settings),
        replicas=_replicas(target, DAG_PROCESSOR),
        probes=_heartbeat("DagProcessorJob"),
    )


def _triggerer(target: Target) -> Component:
    return Component(
        name="triggerer",
        args=["triggerer", *(["--skip-serve-logs"] if target.has_shared_logs else [])],
        share=sizes.core_share("triggerer", target.spec.settings),
        replicas=_replicas(target, "triggerer"),
        account=access.TASKS,
        is_scaled=target.scales_triggerers,
        grace_seconds=60,
        probes=_heartbeat("TriggererJob"),
    )


def _replicas(target: Target, component: str) -> int:
    is_kept = component == "api-server" and target.is_draining
    if target.spec.is_hibernating and not is_kept:
        return 0
    return sizes.replicas_of(component, target.spec.settings, target.spec.executor)


def _probe(action: dict[str, Any], *, period: int, timeout: int, failures: int) -> dict[str, Any]:
    return {
        **action,
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def _heartbeat(job_type: str) -> dict[str, Any]:
    command = {"command": ["python", f"{PROGRAMS}/check_heartbeat.py", job_type]}
    return {
        # A probe that starts too early causes warnings of the cluster.
        "startupProbe": {
            "exec": command,
            "initialDelaySeconds": 20,
            "periodSeconds": 10,
            "timeoutSeconds": 20,
            "failureThreshold": 88,
        },
        "livenessProbe": {
            "exec": command,
            "periodSeconds": 60,
            "timeoutSeconds": 20,
            "failureThreshold": 5,
        },
    }


def _api_service(target: Target) -> Manifest:
    port = {"name": "http", "port": API_PORT, "targetPort": API_PORT, "protocol": "TCP"}
    spec = {"selector": target.selector(API_SERVICE), "ports": [port]}
    return target.manifest("Service", API_SERVICE, component=API_SERVICE, spec=spec)
