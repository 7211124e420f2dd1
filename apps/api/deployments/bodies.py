"""What clients send about a Deployment, turned into a configuration.

An update holds the whole Deployment, most of it as the client read it. A secret comes back without
its value, which means: keep it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.utils import timezone
from pydantic import Field

from apps.accounts.models import User
from apps.api.deployments.own_settings import (
    identity_asked_for,
    identity_name_of,
    is_highly_available,
    machine_of,
    scheduler_size_of,
)
from apps.api.hibernation import ScalingSpecBody
from apps.api.wire.errors import NotOffered
from apps.api.wire.shapes import Shape
from apps.clusters.models import Cluster
from apps.core.errors import Invalid
from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.options import DeploymentOptions, deployment_options
from apps.deployments.configuration.schema import (
    DEFAULT_QUEUE,
    Configuration,
    SettingValue,
    Variable,
)
from apps.deployments.configuration.validation import Problem, check_value
from apps.deployments.editing.drafts import store_secret
from apps.deployments.editing.revisions import InvalidConfiguration
from apps.layers.kinds.amounts import MemoryKind
from apps.layers.kinds.kind import Kind
from apps.layers.kinds.labels import LabelsKind, TolerationsKind
from apps.organizations.models import Workspace

# The client knows no other executor that comes without worker queues.
SETTING_WORDS = {
    "high_availability": "high availability",
    "scheduler_size": "other sizes of schedulers",
    "workload_identity": "workload identities",
}
EXECUTORS = {"CELERY": "celery", "KUBERNETES": "kubernetes", "LOCAL": "local"}


class VariableBody(Shape):
    key: str
    value: str | None = None
    is_secret: bool = False


class QueueBody(Shape):
    name: str
    astro_machine: str | None = None
    min_worker_count: int | None = None
    max_worker_count: int | None = None
    worker_concurrency: int | None = None
    pod_ephemeral_storage: str | None = None
    node_selector: dict[str, str] | None = None
    tolerations: list[str] | None = None
    gpus: int | None = None


class DeploymentBody(Shape):
    """What both creating and changing take. Of an option that this portal does not have only the
    value is taken that says “without”.
    """

    name: str = Field(min_length=1, max_length=200)
    description: str | None = None
    executor: str | None = None
    environment_variables: list[VariableBody] | None = None
    worker_queues: list[QueueBody] | None = None
    contact_emails: list[str] | None = None
    scheduler_size: str | None = None
    is_cicd_enforced: bool | None = None
    is_dag_deploy_enabled: bool | None = None
    is_development_mode: bool | None = None
    is_high_availability: bool | None = None
    workload_identity: str | None = None
    corrects_drift: bool | None = None
    scaling_spec: ScalingSpecBody | None = None
    settings: dict[str, str] | None = None
    astro_runtime_version: str | None = None


class NewDeployment(DeploymentBody):
    workspace_id: str
    cluster_id: str | None = None
    type: str | None = None


class DeploymentChange(DeploymentBody):
    workspace_id: str | None = None


def options_of(cluster: Cluster, workspace: Workspace) -> DeploymentOptions:
    return deployment_options(cluster=cluster, today=timezone.now().date(), workspace=workspace)


def refuse_what_is_not_here(body: DeploymentBody) -> None:
    """Raise NotOffered for the first option that the portal does not have."""
    refusals = {
        "contact emails": bool(body.contact_emails),
    }
    for what, is_asked in refusals.items():
        if is_asked:
            raise NotOffered(f"This portal does not have {what}. Leave the option out.")


def new_configuration(
    body: NewDeployment, *, actor: User, workspace: Workspace, cluster: Cluster
) -> Configuration:
    """Return the configuration of a new Deployment: what the client leaves out is as usual.

    Seals the values of secrets; they belong to `actor` until a revision takes them.
    """
    options = options_of(cluster, workspace)
    usual = options.new_configuration()
    return _configuration(
        body,
        usual,
        options,
        runtime=body.astro_runtime_version or usual.runtime,
        actor=actor,
        workspace=workspace,
    )


def changed_configuration(
    body: DeploymentChange,
    *,
    before: Configuration,
    actor: User,
    workspace: Workspace,
    cluster: Cluster,
) -> Configuration:
    """Return the configuration that an update asks for; what it leaves out stays."""
    return _configuration(
        body,
        before,
        options_of(cluster, workspace),
        runtime=body.astro_runtime_version or before.runtime,
        actor=actor,
        workspace=workspace,
    )


def with_variables(
    before: Configuration, variables: Sequence[VariableBody], *, actor: User, workspace: Workspace
) -> tuple[Variable, ...]:
    """Turn variables into those of a configuration. Raises InvalidConfiguration for a secret that
    is new and has no value.
    """
    known = {variable.key: variable for variable in before.variables}
    problems, found = [], []
    for index, one in enumerate(variables):
        old = known.get(one.key)
        if not one.is_secret:
            found.append(Variable(key=one.key, value=one.value or ""))
        elif one.value:
            secret = store_secret(workspace=workspace, value=one.value, actor=actor)
            found.append(Variable(key=one.key, secret_id=str(secret.pk)))
        elif old is not None and old.is_secret:
            found.append(old)
        else:
            path = f"environmentVariables.{index}.value"
            problems.append(Problem(path, f"Send a value for the new secret {one.key}."))
    if problems:
        raise InvalidConfiguration(problems)
    return tuple(found)


def _configuration(
    body: DeploymentBody,
    before: Configuration,
    options: DeploymentOptions,
    *,
    runtime: str,
    actor: User,
    workspace: Workspace,
) -> Configuration:
    _refuse_values(body.environment_variables or [], options)
    executor = _executor(body.executor, before)
    variables = before.variables
    if body.environment_variables is not None:
        variables = with_variables(
            before, body.environment_variables, actor=actor, workspace=workspace
        )
    return replace(
        before,
        description=before.description if body.description is None else body.description,
        runtime=runtime,
        executor=executor,  # type: ignore[arg-type]  # its name is checked with the rest
        queues=_queues(executor, body.worker_queues, before, options),
        variables=variables,
        settings=_settings(body, before, options),
        corrects_drift=_or_before(body.corrects_drift, before.corrects_drift),
    )


def _settings(
    body: DeploymentBody, before: Configuration, options: DeploymentOptions
) -> tuple[SettingValue, ...]:
    """Return what the Deployment is to set itself: all of `settings` if it was sent. The three that
    clients know by other names count where they differ from what was read.
    """
    own = before.own_settings if body.settings is None else dict(body.settings)
    size, is_doubled = scheduler_size_of(before), is_highly_available(before)
    if body.scheduler_size and body.scheduler_size.upper() != size:
        own["scheduler_size"] = body.scheduler_size
    if body.is_high_availability is not None and body.is_high_availability != is_doubled:
        own["high_availability"] = "on" if body.is_high_availability else "off"
    if body.workload_identity is not None and body.workload_identity != identity_name_of(before):
        own.pop("workload_identity", None)
        if body.workload_identity:
            own["workload_identity"] = identity_asked_for(body.workload_identity, options)
    offered = {setting.name: setting for setting in options.settings}
    unknown = [name for name in own if name not in offered]
    if unknown:
        what = SETTING_WORDS.get(unknown[0], f"the setting {unknown[0]}")
        raise NotOffered(f"Deployments on this cluster do not have {what}. Leave the option out.")
    problems, found = [], []
    for name, text in own.items():
        try:
            found.append(SettingValue(name=name, value=offered[name].tidy(text)))
        except Invalid as error:
            problems.append(Problem(f"settings.{name}", f"{offered[name].label}: {error.message}"))
    if problems:
        raise InvalidConfiguration(problems)
    return tuple(found)


def _executor(asked: str | None, before: Configuration) -> str:
    if not asked:
        return before.executor
    return EXECUTORS.get(asked.upper(), asked.lower())


def _queues(
    executor: str,
    asked: list[QueueBody] | None,
    before: Configuration,
    options: DeploymentOptions,
) -> tuple[WorkerQueue, ...]:
    if executor != "celery":
        return ()
    if asked is None:
        return before.queues or (options.new_queue(DEFAULT_QUEUE),)
    return tuple(_queue(one, before, options) for one in asked)


def _queue(body: QueueBody, before: Configuration, options: DeploymentOptions) -> WorkerQueue:
    usual = before.queue(body.name) or options.new_queue(body.name)
    sizes = {machine_of(size.name): size.name for size in options.sizes}
    size = usual.size if body.astro_machine is None else body.astro_machine.upper()
    return WorkerQueue(
        name=body.name,
        size=sizes.get(size.upper(), size),
        concurrency=_or(body.worker_concurrency, usual.concurrency),
        min_workers=_or(body.min_worker_count, usual.min_workers),
        max_workers=_or(body.max_worker_count, usual.max_workers),
        node_selector=_parsed(LabelsKind(), _labels(body), usual.node_selector),
        tolerations=_parsed(TolerationsKind(), body.tolerations, usual.tolerations),
        disk_gib=_disk_gib(body.pod_ephemeral_storage, usual.disk_gib),
        gpus=_or(body.gpus, usual.gpus),
    )


def _labels(body: QueueBody) -> list[str] | None:
    if body.node_selector is None:
        return None
    return [f"{name}={value}" for name, value in body.node_selector.items()]


def _parsed(kind: Kind, lines: list[str] | None, usual: Any) -> Any:
    """Read what a client lists as people write it, one a line. Raises Invalid for a wrong line."""
    return usual if lines is None else kind.parse("\n".join(lines))


def _disk_gib(text: str | None, usual: int) -> int:
    if not text:
        return usual
    mebibytes = MemoryKind().parse(text)
    return mebibytes // 1024 if mebibytes else usual


def _or_before(asked: bool | None, before: bool) -> bool:
    return before if asked is None else asked


def _or(asked: int | None, usual: int) -> int:
    return usual if asked is None else asked


def _refuse_values(variables: list[VariableBody], options: DeploymentOptions) -> None:
    """Check the values of secrets while they can be read."""
    problems = [
        problem
        for index, one in enumerate(variables)
        if one.is_secret
        for problem in check_value(f"environmentVariables.{index}.value", one.value or "", options)
    ]
    if problems:
        raise InvalidConfiguration(problems)
