"""The rules of a configuration. Each broken one is a message at the field that breaks it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from packaging.version import Version

from apps.core.errors import Invalid
from apps.dataplane.kubernetes.render.sizes import least_requests, most_requests
from apps.dataplane.production import ProductionSpec
from apps.dataplane.spec import WorkerQueue
from apps.dataplane.variables import NAME, refusal_of
from apps.deployments.configuration.options import Bounds, DeploymentOptions, RuntimeOption
from apps.deployments.configuration.requested import cpu_in_words, memory_in_words
from apps.deployments.configuration.schema import DEFAULT_QUEUE, Configuration, Variable
from apps.layers.catalogue import production_of
from apps.layers.setting import Setting

NAME_LENGTH = 60
DESCRIPTION_LENGTH = 500
QUEUE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
QUEUE_NAME_LENGTH = 63
VARIABLE_NAME_LENGTH = 255


@dataclass(frozen=True)
class Problem:
    """A broken rule. `field` is a path like `name`, `queues.1.max_workers` or `variables.0.key`."""

    field: str
    message: str


def validate_name(name: str) -> list[Problem]:
    """Validate the display name of a Deployment, except that it is not taken."""
    if not name.strip():
        return [Problem("name", "Enter a name for the Deployment.")]
    if len(name) > NAME_LENGTH:
        return [
            Problem(
                "name",
                f"The name can have at most {NAME_LENGTH} characters; this one has {len(name)}.",
            )
        ]
    if not name.isprintable():
        return [Problem("name", "The name contains a character that cannot be displayed.")]
    return []


@dataclass(frozen=True, kw_only=True)
class Present:
    """What a Deployment has, whatever is wanted of it: `runtimes` that may stay although they are
    no longer offered, the Airflow that its metadata database is at, empty while there is none, and
    the `settings` that it sets itself, which may stay although they were locked since. `ref` is its
    own.
    """

    runtimes: frozenset[str]
    database_airflow: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    ref: str = ""


def validate(
    *, configuration: Configuration, options: DeploymentOptions, present: Present | None = None
) -> list[Problem]:
    """Return every broken rule of a configuration, in the order of the form. `present` is None for
    a new Deployment.
    """
    return [
        *_check_basics(configuration),
        *_check_runtime(configuration, options, present),
        *_check_image(configuration, options),
        *_check_executor(configuration, options),
        *_check_queues(configuration, options),
        *check_settings(configuration, options, present),
        *_check_variables(configuration.variables, options),
    ]


def _check_basics(configuration: Configuration) -> Iterator[Problem]:
    length = len(configuration.description)
    if length > DESCRIPTION_LENGTH:
        yield Problem(
            "description",
            f"The description can have at most {DESCRIPTION_LENGTH} characters; "
            f"this one has {length}.",
        )
    if "\x00" in configuration.description:
        yield Problem("description", "The description contains a character that cannot be stored.")


def _check_runtime(
    configuration: Configuration, options: DeploymentOptions, present: Present | None
) -> Iterator[Problem]:
    chosen = options.runtime(configuration.runtime)
    if chosen is None:
        yield Problem("runtime", f"There is no runtime {configuration.runtime}.")
        return
    if not chosen.is_offered and not _is_kept(chosen, present):
        yield Problem("runtime", f"Runtime {chosen.version} is not available. {chosen.note}")
    if present and _is_downgrade(chosen, present):
        yield Problem(
            "runtime",
            f"Airflow cannot be downgraded from {present.database_airflow} to "
            f"{chosen.airflow_version}: its database has been migrated.",
        )


def _check_image(configuration: Configuration, options: DeploymentOptions) -> Iterator[Problem]:
    image, runtime = configuration.image, options.runtime(configuration.runtime)
    if image is None:
        return
    if not options.has_images:
        yield Problem(
            "image",
            "Images of your own run on Kubernetes clusters only. Here, deploy a project with its "
            "requirements instead.",
        )
    elif not image.digest:
        yield Problem("image", f"The image {image.name} was not looked up in its registry yet.")
    elif runtime and image.airflow_version != runtime.airflow_version:
        yield Problem("image", _other_airflow(image.airflow_version, runtime, options))


def _other_airflow(version: str, runtime: RuntimeOption, options: DeploymentOptions) -> str:
    """Say that an image does not fit its runtime, and which one would."""
    fitting = [
        one.version for one in options.runtimes if one.is_offered and one.airflow_version == version
    ]
    if fitting:
        return (
            f"This image has Airflow {version}, and runtime {runtime.version} is Airflow "
            f"{runtime.airflow_version}. Choose the runtime {fitting[0]}."
        )
    return (
        f"This image has Airflow {version}, which no runtime here has. Build it with Airflow "
        f"{runtime.airflow_version}."
    )


def is_allowed(runtime: RuntimeOption, present: Present | None) -> bool:
    """Return whether a Deployment may choose this runtime."""
    is_offered = runtime.is_offered or _is_kept(runtime, present)
    return is_offered and not (present and _is_downgrade(runtime, present))


def _is_kept(runtime: RuntimeOption, present: Present | None) -> bool:
    return present is not None and runtime.version in present.runtimes


def _is_downgrade(runtime: RuntimeOption, present: Present) -> bool:
    database = present.database_airflow
    return bool(database) and Version(runtime.airflow_version) < Version(database)


def _check_executor(configuration: Configuration, options: DeploymentOptions) -> Iterator[Problem]:
    if configuration.executor not in [executor.name for executor in options.executors]:
        yield Problem("executor", f"There is no executor {configuration.executor}.")


def _check_queues(configuration: Configuration, options: DeploymentOptions) -> Iterator[Problem]:
    queues = configuration.queues
    if configuration.executor != "celery":
        if queues:
            name = configuration.executor.capitalize()
            yield Problem("queues", f"The {name} executor has no worker queues.")
        return
    names = [queue.name for queue in queues]
    if DEFAULT_QUEUE not in names:
        yield Problem("queues", "The queue “default” is required: tasks without a queue go there.")
    if len(queues) > options.queues.ceiling:
        yield Problem(
            "queues",
            f"A Deployment can have at most {options.queues.ceiling} queues; "
            f"this one has {len(queues)}.",
        )
    for index, queue in enumerate(queues):
        yield from _check_queue_name(f"queues.{index}", queue.name, names[:index])
        yield from _check_queue_numbers(f"queues.{index}", queue, options)


def _check_queue_name(path: str, name: str, earlier: list[str]) -> Iterator[Problem]:
    if not name:
        yield Problem(f"{path}.name", "Enter a name for the queue.")
    elif len(name) > QUEUE_NAME_LENGTH:
        yield Problem(
            f"{path}.name", f"A queue name can have at most {QUEUE_NAME_LENGTH} characters."
        )
    elif not QUEUE_NAME.fullmatch(name):
        yield Problem(
            f"{path}.name",
            "Use lowercase letters, digits and hyphens; start with a letter and do not end with a "
            "hyphen" + _suggestion(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"), QUEUE_NAME),
        )
    elif name in earlier:
        yield Problem(f"{path}.name", f"There is already a queue called {name}.")


def _check_queue_numbers(
    path: str, queue: WorkerQueue, options: DeploymentOptions
) -> Iterator[Problem]:
    size = options.size(queue.size)
    if size is None:
        yield Problem(f"{path}.size", f"There is no worker size {queue.size}.")
    else:
        yield from _check_concurrency(f"{path}.concurrency", queue.concurrency, size.concurrency)
    yield from _within(f"{path}.min_workers", "Min workers", queue.min_workers, options.min_workers)
    yield from _within(f"{path}.max_workers", "Max workers", queue.max_workers, options.max_workers)
    yield from _check_nodes(path, queue, options)
    if queue.min_workers > queue.max_workers >= options.max_workers.floor:
        yield Problem(
            f"{path}.max_workers",
            f"Max workers ({queue.max_workers}) is less than min workers ({queue.min_workers}).",
        )


def _check_nodes(path: str, queue: WorkerQueue, options: DeploymentOptions) -> Iterator[Problem]:
    usual = replace(
        queue, node_selector=(), tolerations=(), disk_gib=options.disk_gib.default, gpus=0
    )
    if not options.has_nodes and queue != usual:
        yield Problem(f"{path}.size", "Only queues on Kubernetes choose nodes, disk and GPUs.")
        return
    yield from _within(f"{path}.disk_gib", "Disk", queue.disk_gib, options.disk_gib)
    yield from _within(f"{path}.gpus", "GPUs", queue.gpus, options.gpus)


def _check_concurrency(path: str, number: int, bounds: Bounds) -> Iterator[Problem]:
    if not bounds.floor <= number <= bounds.ceiling:
        yield Problem(
            path,
            f"Tasks per worker must be between {bounds.floor} and {bounds.ceiling}, not {number}.",
        )


def _within(path: str, label: str, number: int, bounds: Bounds) -> Iterator[Problem]:
    if not bounds.floor <= number <= bounds.ceiling:
        yield Problem(
            path, f"{label} must be between {bounds.floor} and {bounds.ceiling}, not {number}."
        )


def check_settings(
    configuration: Configuration, options: DeploymentOptions, present: Present | None = None
) -> Iterator[Problem]:
    """Check the settings that a Deployment sets itself, and what holds of them together."""
    offered = {setting.name: setting for setting in options.settings}
    before, inherited = present.settings if present else {}, options.inherited()
    is_good = True
    for name, text in configuration.own_settings.items():
        message = ""
        if name not in offered:
            message = f"There is no setting {name} here."
        elif inherited[name].is_locked and before.get(name) != text:
            message = f"{offered[name].label} is locked by {inherited[name].locker}."
        else:
            message = _wrong(offered[name], text)
        if message:
            is_good = False
            yield Problem(f"settings.{name}", message)
    if is_good:
        yield from _check_together(configuration, options, present)


def _wrong(setting: Setting, text: str) -> str:
    try:
        setting.tidy(text)
    except Invalid as error:
        return f"{setting.label}: {error.message}"
    return ""


def _check_together(
    configuration: Configuration, options: DeploymentOptions, present: Present | None
) -> Iterator[Problem]:
    effective = options.effective(configuration.own_settings)
    found = production_of({name: one.value for name, one in effective.items()})
    chosen, allowed = found.priority_class, found.allowed_priority_classes
    if "priority_class" in configuration.own_settings and chosen and chosen not in allowed:
        can = f"It allows {', '.join(allowed)}." if allowed else "It allows none."
        yield Problem(
            "settings.priority_class",
            f"The cluster does not allow the priority class {chosen}. {can}",
        )
    identity = effective["workload_identity"]
    if identity.refused and identity.origin == "deployment":
        lines = effective["allowed_workload_identities"].value.splitlines()
        yield Problem(
            "settings.workload_identity",
            f"The cluster does not allow the identity {identity.refused}. "
            f"It allows {', '.join(lines) or 'none'}.",
        )
    if found.prometheus and found.otel_metrics and "prometheus" in configuration.own_settings:
        yield Problem(
            "settings.prometheus",
            "Airflow sends metrics to one place, and here that is OpenTelemetry "
            f"({found.otel_metrics}). Switch Prometheus off, or leave OpenTelemetry metrics empty.",
        )
    pods = effective["pod_operator"]
    if pods.refused and pods.origin == "deployment":
        yield Problem(
            "settings.pod_operator",
            "The cluster does not allow KubernetesPodOperator. Its owner switches it on in the "
            "Deployment settings of the cluster.",
        )
    if options.has_images:
        yield from _check_quota(configuration, options, found)
        yield from _check_workspace(configuration, options, found, present)


def _check_workspace(
    configuration: Configuration,
    options: DeploymentOptions,
    found: ProductionSpec,
    present: Present | None,
) -> Iterator[Problem]:
    """Check that all Deployments of the workspace stay below its quota. One that asks for no more
    than before is let through, so that a quota that was lowered stops no repair.
    """
    if any(options.size(queue.size) is None for queue in configuration.queues):
        return
    mine = most_requests(found, executor=configuration.executor, queues=configuration.queues)
    ref = present.ref if present else ""
    others = [most for one, most in options.requested.items() if one != ref]
    before = options.requested.get(ref)
    for name, limit, wanted, had, taken, words in (
        (
            "quota_cpu",
            found.workspace_cpu,
            mine.cpu_millis,
            before.cpu_millis if before else 0,
            sum(most.cpu_millis for most in others),
            cpu_in_words,
        ),
        (
            "quota_memory",
            found.workspace_memory,
            mine.memory_mib,
            before.memory_mib if before else 0,
            sum(most.memory_mib for most in others),
            memory_in_words,
        ),
    ):
        if limit is None or taken + wanted <= limit or wanted <= had:
            continue
        yield Problem(
            f"settings.{name}",
            f"The quota of the workspace is {words(limit)}, and its other Deployments may request "
            f"{words(taken)} of it. This one may request {words(wanted)}: set its own quota to "
            f"{words(max(limit - taken, 0))} at most, or lower that of another.",
        )


def _check_quota(
    configuration: Configuration, options: DeploymentOptions, found: ProductionSpec
) -> Iterator[Problem]:
    """Check that the quota is enough for what is always there. Sizes of workers that do not exist
    are checked elsewhere.
    """
    if any(options.size(queue.size) is None for queue in configuration.queues):
        return
    millis, mebibytes = least_requests(
        found, executor=configuration.executor, queues=configuration.queues
    )
    for name, quota, least, words in (
        ("quota_cpu", found.quota_cpu, millis, f"{millis / 1000:g} CPU"),
        ("quota_memory", found.quota_memory, mebibytes, f"{mebibytes} MiB of memory"),
    ):
        if quota is not None and quota < least:
            yield Problem(
                f"settings.{name}",
                f"The quota is too small: components, database and the least workers request "
                f"{words}.",
            )


def _check_variables(
    variables: tuple[Variable, ...], options: DeploymentOptions
) -> Iterator[Problem]:
    if len(variables) > options.variables.ceiling:
        yield Problem(
            "variables",
            f"A Deployment can have at most {options.variables.ceiling} variables; "
            f"this one has {len(variables)}.",
        )
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        yield from _check_key(f"variables.{index}.key", variable.key, seen)
        yield from check_value(f"variables.{index}.value", variable.value, options)
        seen.add(variable.key)


def _check_key(path: str, key: str, seen: set[str]) -> Iterator[Problem]:
    if not key:
        yield Problem(path, "Enter a name for the variable.")
    elif len(key) > VARIABLE_NAME_LENGTH:
        yield Problem(path, f"A variable name can have at most {VARIABLE_NAME_LENGTH} characters.")
    elif not NAME.fullmatch(key):
        repaired = re.sub(r"[^A-Za-z0-9_]+", "_", key.strip())
        if NAME.fullmatch(repaired):
            yield Problem(path, f"Use an underscore: {repaired}.")
        else:
            yield Problem(
                path, "Use only letters, digits and underscores; do not start with a digit."
            )
    elif refusal := refusal_of(key):
        yield Problem(path, refusal.message)
    elif key in seen:
        yield Problem(path, f"{key} is already in the list.")


def check_value(path: str, value: str, options: DeploymentOptions) -> Iterator[Problem]:
    """Check a value before it is stored, a secret's before it is sealed."""
    size = len(value.encode(errors="surrogatepass"))
    if size > options.value_bytes:
        yield Problem(
            path,
            f"The value can have at most {options.value_bytes // 1024} KiB; "
            f"this one has {size // 1024 + 1} KiB.",
        )
    if "\x00" in value:
        yield Problem(
            path,
            "The value contains a NUL character, which an environment variable cannot contain.",
        )


def _suggestion(repaired: str, pattern: re.Pattern[str]) -> str:
    return f": {repaired}." if pattern.fullmatch(repaired) else "."
