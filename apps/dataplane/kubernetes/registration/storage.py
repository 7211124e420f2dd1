"""What a cluster's storage classes offer, as far as their provisioners tell. `storage_trial` tries
them.
"""

from apps.dataplane.kubernetes.api import errors as refusals
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import STORAGE_CLASS, Manifest
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.status import Finding

SHARED = "Shared storage"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
# Whose volumes one node alone can use. What other provisioners offer is not known here.
ONE_NODE = frozenset(
    {
        "ebs.csi.aws.com",
        "ebs.csi.eks.amazonaws.com",
        "pd.csi.storage.gke.io",
        "disk.csi.azure.com",
        "kubernetes.io/aws-ebs",
        "kubernetes.io/gce-pd",
        "kubernetes.io/azure-disk",
        "dobs.csi.digitalocean.com",
        "cinder.csi.openstack.org",
        "csi.hetzner.cloud",
        "linodebs.csi.linode.com",
        "blockvolume.csi.oraclecloud.com",
        "rancher.io/local-path",
        "k8s.io/minikube-hostpath",
        "openebs.io/local",
        "topolvm.io",
    }
)


def classes_of(api: Api) -> list[Manifest]:
    """List the storage classes, the default one first; none where they may not be listed."""
    try:
        classes = api.list(STORAGE_CLASS)
    except refusals.Refused:
        return []
    classes.sort(key=lambda item: (not _is_default(item), name_of(item)))
    return classes


def storage_finding(classes: tuple[str, ...]) -> Finding:
    """Say which storage classes there are, by their names."""
    return Finding(
        title="Storage",
        is_ok=bool(classes),
        detail=f"Storage classes: {', '.join(classes)}." if classes else "No storage class found.",
        remedy=""
        if classes
        else "Databases and task logs need one, unless both are stored elsewhere.",
    )


def shared_finding(config: ClusterConfig, classes: list[Manifest]) -> tuple[Finding, ...]:
    """Say whether the volume that all pods of an Airflow share can be had, where it is needed."""
    if config.object_store is not None or config.logs_access != "ReadWriteMany" or not classes:
        return ()
    wanted = config.logs_storage_class or config.storage_class
    chosen = next(
        (one for one in classes if (name_of(one) == wanted if wanted else _is_default(one))), None
    )
    if chosen is None:
        problem = f"There is no storage class {wanted}." if wanted else "No class is the default."
    elif _is_of_one_node(chosen):
        problem = (
            f"Volumes of the storage class {name_of(chosen)} belong to one node each; "
            "pods on several nodes share the one of logs and code."
        )
    else:
        detail = (
            f"Logs and code use the class {name_of(chosen)}. Test the storage to see whether pods "
            "on several nodes can write there."
        )
        return (Finding(title=SHARED, is_ok=True, detail=detail),)
    others = [name_of(one) for one in classes if not _is_of_one_node(one)]
    remedy = "Choose one that offers ReadWriteMany in the settings, or an object store for logs."
    if others:
        remedy += f" It may be one of {', '.join(others)}."
    return (Finding(title=SHARED, is_ok=False, detail=problem, remedy=remedy),)


def name_of(manifest: Manifest) -> str:
    """Return an object's name."""
    return str(manifest["metadata"]["name"])


def _is_of_one_node(storage_class: Manifest) -> bool:
    return str(storage_class.get("provisioner", "")) in ONE_NODE


def _is_default(storage_class: Manifest) -> bool:
    annotations = storage_class["metadata"].get("annotations") or {}
    return bool(annotations.get(_DEFAULT_CLASS) == "true")
