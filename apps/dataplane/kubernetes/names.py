"""Names and labels of everything that the portal makes in a cluster."""

from hashlib import sha256

FIELD_MANAGER = "astro-portal"
PREFIX = "astro-portal.dev"

# Which portal, and which of its Deployments; the watches and lists of a cluster select by them.
PORTAL_LABEL = f"{PREFIX}/portal"
DEPLOYMENT_LABEL = f"{PREFIX}/deployment"
QUEUE_LABEL = f"{PREFIX}/queue"
# The name of a Job of a project or of a backup, at all that belongs to it.
JOB_LABEL = f"{PREFIX}/project-job"
REVISION_ANNOTATION = f"{PREFIX}/revision"

COMPONENT_LABEL = "app.kubernetes.io/component"
NAME_ANNOTATION = f"{PREFIX}/name"
# Of a namespace: the audience that tokens of its task pods may have, for one cloud.
AUDIENCE_ANNOTATION = f"{PREFIX}/token-audience"
# Of a namespace: what its task pods may have beside what all may, as the settings say.
POD_OPERATOR_ANNOTATION = f"{PREFIX}/pod-operator"
TOLERATED_ANNOTATION = f"{PREFIX}/tolerated"
PRIORITY_ANNOTATION = f"{PREFIX}/priority-class"
# Such an object is created if it does not exist, and otherwise left as it is.
ONCE_ANNOTATION = f"{PREFIX}/once"
# KEDA keeps this number of workers, whatever waits.
PAUSED_ANNOTATION = "autoscaling.keda.sh/paused-replicas"
SECURITY = "pod-security.kubernetes.io"
# Of service accounts: by these their cloud knows the identity of a pod.
AWS_ROLE = "eks.amazonaws.com/role-arn"
AZURE_CLIENT = "azure.workload.identity/client-id"
GOOGLE_ACCOUNT = "iam.gke.io/gcp-service-account"
# All labels and annotations that an object of the portal may have from it.
OUR_KEYS = frozenset(
    {
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/managed-by",
        COMPONENT_LABEL,
        PORTAL_LABEL,
        DEPLOYMENT_LABEL,
        QUEUE_LABEL,
        REVISION_ANNOTATION,
        NAME_ANNOTATION,
        AUDIENCE_ANNOTATION,
        POD_OPERATOR_ANNOTATION,
        TOLERATED_ANNOTATION,
        PRIORITY_ANNOTATION,
        AWS_ROLE,
        AZURE_CLIENT,
        GOOGLE_ACCOUNT,
        ONCE_ANNOTATION,
        PAUSED_ANNOTATION,
        *(f"{SECURITY}/{mode}" for mode in ("enforce", "audit", "warn")),
    }
)
INVENTORY = "astro-portal-inventory"
LONGEST_WORKLOAD = 45


def namespace_of(ref: str) -> str:
    """Return the namespace of a Deployment: one each."""
    return f"airflow-{ref}"


def restore_job(key: str) -> str:
    """Return the name of the Job that fulfils the wish for a restore with this key."""
    return f"restore-{key[:8]}"


def worker_name(queue: str) -> str:
    """Return the name of the workload that runs the workers of a queue.

    KEDA and the pods add characters to it, and 63 is the limit.
    """
    name = f"worker-{queue}"
    if len(name) <= LONGEST_WORKLOAD:
        return name
    return f"{name[: LONGEST_WORKLOAD - 9]}-{sha256(queue.encode()).hexdigest()[:8]}"
