"""Where pods run, what they are to a cloud, and their labels."""

from apps.layers.kinds.amounts import SwitchKind
from apps.layers.kinds.identities import IdentitiesKind, IdentityKind
from apps.layers.kinds.labels import LabelsKind, NodeAffinityKind, TolerationsKind
from apps.layers.kinds.objects import NameKind, NamesKind
from apps.layers.setting import OF_CLUSTERS, OF_TEAMS, Setting

PLACEMENT = (
    Setting(
        name="node_selector",
        label="Node selector",
        group="Nodes",
        kind=LabelsKind(),
        help="Pods run only on nodes with these labels.",
    ),
    Setting(
        name="node_affinity",
        label="Node affinity",
        group="Nodes",
        kind=NodeAffinityKind(),
        help="What else labels of nodes have to be, one a line: pool in (airflow, batch), zone "
        "notin (c), gpu, !spot. All of them hold.",
    ),
    Setting(
        name="tolerations",
        label="Tolerations",
        group="Nodes",
        kind=TolerationsKind(),
        help="Taints of nodes that pods may run on. One a line, like spot=true:NoSchedule.",
    ),
    Setting(
        name="priority_class",
        label="Priority class",
        group="Nodes",
        kind=NameKind(),
        help="One of those that the cluster allows. Pods with a higher priority get nodes first.",
    ),
    Setting(
        name="allowed_priority_classes",
        label="Allowed priority classes",
        group="Nodes",
        kind=NamesKind(),
        layers=OF_CLUSTERS,
        help="Priority classes that Deployments may choose. One a line.",
        restarts="nothing",
        is_rule=True,
    ),
    Setting(
        name="workload_identity",
        label="Workload identity",
        group="Identity in the cloud",
        kind=IdentityKind(),
        layers=OF_TEAMS,
        help="What workers, task pods and the triggerer are to AWS, Azure or Google Cloud, so that "
        "no key is needed. One of those that the cluster allows.",
    ),
    Setting(
        name="allowed_workload_identities",
        label="Allowed workload identities",
        group="Identity in the cloud",
        kind=IdentitiesKind(),
        layers=OF_CLUSTERS,
        help="Identities that Deployments may choose, one a line, like irsa "
        "arn:aws:iam::123456789012:role/etl-*. A star stands for a part of a name. The kinds are "
        "irsa, eks-pod-identity, azure and google. Who is taken off the list loses the identity.",
        restarts="nothing",
        is_rule=True,
    ),
    Setting(
        name="pod_labels",
        label="Pod labels",
        group="Labels",
        kind=LabelsKind(refuses_reserved=True),
        help="Added to every pod, for cost reports or policies.",
    ),
    Setting(
        name="pod_annotations",
        label="Pod annotations",
        group="Labels",
        kind=LabelsKind(refuses_reserved=True, is_free=True),
        help="Added to every pod.",
    ),
    Setting(
        name="mesh_opt_out",
        label="Jobs without mesh",
        group="Labels",
        kind=SwitchKind(),
        default="off",
        layers=OF_CLUSTERS,
        restarts="nothing",
        help="Keeps the sidecars of Istio and Linkerd out of Jobs, which would never end beside "
        "them.",
    ),
)
