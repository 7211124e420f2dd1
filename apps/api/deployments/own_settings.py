"""Settings of a Deployment that clients know by names of their own."""

from apps.dataplane.kubernetes.render.sizes import SCHEDULER, core_share
from apps.dataplane.production import ProductionSpec
from apps.deployments.configuration.options import DeploymentOptions
from apps.deployments.configuration.schema import LOCAL_SIZE, Configuration
from apps.layers.catalogue import SETTINGS
from apps.layers.kinds.amounts import SizeKind
from apps.layers.kinds.identities import identity_called, identity_text

SMALL = "SMALL"


def machine_of(size: str) -> str:
    """Name a worker size as clients write it. Those who know only the sizes of Astro get by with
    the smallest for the one size of this machine.
    """
    return "A5" if size == LOCAL_SIZE else size.upper()


def scheduler_size_of(configuration: Configuration) -> str:
    """Return the size of the scheduler that a Deployment sets itself, as clients write it: SMALL
    where it sets none, CUSTOM for CPU and memory of its own.
    """
    text = configuration.own_settings.get("scheduler_size", "small")
    return text.upper().replace("-", "_") if text in SizeKind.NAMED else "CUSTOM"


def is_highly_available(configuration: Configuration) -> bool:
    """Return whether a Deployment sets high availability itself."""
    return configuration.own_settings.get("high_availability") == "on"


def identity_name_of(configuration: Configuration) -> str:
    """Return the name of the identity that a Deployment sets itself, without its kind: clients know
    roles.
    """
    return configuration.own_settings.get("workload_identity", "").rpartition(" ")[2]


def identity_asked_for(name: str, options: DeploymentOptions) -> str:
    """Return the setting for an identity as clients name it. Raises Invalid."""
    allowed = options.inherited()["allowed_workload_identities"].value
    kind = SETTINGS["allowed_workload_identities"].kind
    return identity_text(identity_called(name, kind.parse(allowed)))


def scheduler_replicas_of(configuration: Configuration) -> int:
    """Return how many schedulers a Deployment sets itself."""
    chosen = int(configuration.own_settings.get("scheduler_replicas", "1"))
    return max(chosen, 2) if is_highly_available(configuration) else chosen


def scheduler_memory_and_cpu(configuration: Configuration) -> tuple[int, int]:
    """Return MiB of memory and thousandths of a CPU that its scheduler may use."""
    text = configuration.own_settings.get("scheduler_size", "small")
    size = SizeKind().parse(text)
    share = core_share("scheduler", ProductionSpec(scheduler_size=size)) if size else SCHEDULER
    return share.memory_mib, share.most_cpu_millis
