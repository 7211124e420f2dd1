"""The kinds of objects that the portal creates or reads: a static table instead of discovery.

Discovery costs dozens of requests and a cache that can go stale; these kinds have been stable for
years.
"""

from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]
HOME_PREFIX = "airflow-"


@dataclass(frozen=True)
class Kind:
    """One kind of the Kubernetes API; `api_version` as it stands in manifests. One that
    `can_be_missed` counts as absent for observations where the portal may not read it.
    """

    api_version: str
    name: str
    plural: str
    is_namespaced: bool = True
    can_be_missed: bool = False

    @property
    def group(self) -> str:
        """The API group, "" for the core one."""
        return self.api_version.rpartition("/")[0]

    @property
    def key(self) -> str:
        """Name the kind as inventories do: `apps/Deployment`, `/Secret`."""
        return f"{self.group}/{self.name}"

    def path(self, *, namespace: str = "", name: str = "", part: str = "") -> str:
        """Return the path of the collection, of one object, or of a subresource of it."""
        root = "/apis" if self.group else "/api"
        pieces = [root, self.api_version]
        if self.is_namespaced and namespace:
            pieces += ["namespaces", namespace]
        pieces += [piece for piece in (self.plural, name, part) if piece]
        return "/".join(pieces)


NAMESPACE = Kind("v1", "Namespace", "namespaces", is_namespaced=False)
QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")
LIMITS = Kind("v1", "LimitRange", "limitranges")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
SECRET = Kind("v1", "Secret", "secrets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
SERVICE = Kind("v1", "Service", "services")
POD = Kind("v1", "Pod", "pods")
EVENT = Kind("v1", "Event", "events")
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
INGRESS = Kind("networking.k8s.io/v1", "Ingress", "ingresses")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
JOB = Kind("batch/v1", "Job", "jobs")
CRON_JOB = Kind("batch/v1", "CronJob", "cronjobs")
AUTOSCALER = Kind(
    "autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", can_be_missed=True
)
SCALED_OBJECT = Kind("keda.sh/v1alpha1", "ScaledObject", "scaledobjects", can_be_missed=True)
TRIGGER_AUTHENTICATION = Kind(
    "keda.sh/v1alpha1", "TriggerAuthentication", "triggerauthentications", can_be_missed=True
)
STORAGE_CLASS = Kind("storage.k8s.io/v1", "StorageClass", "storageclasses", is_namespaced=False)
ACCESS_REVIEW = Kind(
    "authorization.k8s.io/v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    is_namespaced=False,
)
RULES_REVIEW = Kind(
    "authorization.k8s.io/v1",
    "SelfSubjectRulesReview",
    "selfsubjectrulesreviews",
    is_namespaced=False,
)
ADMISSION_POLICY = Kind(
    "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicy",
    "validatingadmissionpolicies",
    is_namespaced=False,
)
ADMISSION_BINDING = Kind(
    "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicyBinding",
    "validatingadmissionpolicybindings",
    is_namespaced=False,
)

KINDS = (
    NAMESPACE,
    QUOTA,
    LIMITS,
    SERVICE_ACCOUNT,
    SECRET,
    CONFIG_MAP,
    CLAIM,
    SERVICE,
    POD,
    EVENT,
    ROLE,
    ROLE_BINDING,
    NETWORK_POLICY,
    INGRESS,
    DISRUPTION_BUDGET,
    DEPLOYMENT,
    STATEFUL_SET,
    JOB,
    CRON_JOB,
    AUTOSCALER,
    SCALED_OBJECT,
    TRIGGER_AUTHENTICATION,
    STORAGE_CLASS,
)
_BY_NAME = {(kind.group, kind.name): kind for kind in KINDS}


def kind_of(manifest: Manifest) -> Kind:
    """Return the kind of a manifest; a KeyError is a bug of the renderer."""
    return _BY_NAME[manifest["apiVersion"].rpartition("/")[0], manifest["kind"]]


def kind_by_key(key: str) -> Kind:
    """Return the kind that an inventory names, as in `apps/Deployment`."""
    group, _, name = key.rpartition("/")
    return _BY_NAME[group, name]


def object_id(manifest: Manifest) -> str:
    """Name an object of a Deployment: `apps/Deployment/scheduler`, `/Secret/database`.

    One outside the Deployment's own namespace has its namespace appended: `/Secret/x@databases`.
    """
    metadata = manifest["metadata"]
    name = f"{kind_of(manifest).key}/{metadata['name']}"
    place = metadata.get("namespace", "")
    return f"{name}@{place}" if place and not place.startswith(HOME_PREFIX) else name


def title(object_id: str) -> str:
    """Name an object as people do: `Deployment/scheduler`."""
    return "/".join(object_id.partition("@")[0].split("/")[-2:])


def split_id(object_id: str) -> tuple[Kind, str]:
    """Return the kind and the name that an id is made of."""
    key, _, name = object_id.partition("@")[0].rpartition("/")
    return kind_by_key(key), name


def place_in(object_id: str, home: str) -> str:
    """Return the namespace of an object of the Deployment whose own namespace is `home`."""
    return object_id.partition("@")[2] or home
