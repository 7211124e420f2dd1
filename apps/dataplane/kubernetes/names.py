"""Names and labels of everything that the portal makes in a cluster."""

from hashlib import sha256

FIELD_MANAGER = "astro-portal"
PREFIX = "astro-portal.dev"

# Which portal, and which of its Deployments; the watches and lists of a cluster select by them.
PORTAL_LABEL = f"{PREFIX}/portal"
DEPLOYMENT_LABEL = f"{PREFIX}/deployment"
QUEUE_LABEL = f"{PREFIX}/queue"
REVISION_ANNOTATION = f"{PREFIX}/revision"
HASH_ANNOTATION = f"{PREFIX}/hash"

COMPONENT_LABEL = "app.kubernetes.io/component"
INVENTORY = "astro-portal-inventory"
LONGEST_WORKLOAD = 45


def namespace_of(ref: str) -> str:
    """Return the namespace of a Deployment: one each."""
    return f"airflow-{ref}"


def worker_name(queue: str) -> str:
    """Return the name of the workload that runs the workers of a queue.

    KEDA and the pods put more characters around it, and 63 are all there is.
    """
    name = f"worker-{queue}"
    if len(name) <= LONGEST_WORKLOAD:
        return name
    return f"{name[: LONGEST_WORKLOAD - 9]}-{sha256(queue.encode()).hexdigest()[:8]}"
