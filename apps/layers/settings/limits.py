"""How much may run: quotas, and pods that tasks start."""

from apps.layers.kinds.amounts import CpuKind, MemoryKind, NumberKind, SwitchKind
from apps.layers.setting import OF_CLUSTERS, OF_TEAMS, OF_WORKSPACES, Setting

LIMITS = (
    Setting(
        name="quota_cpu",
        label="CPU quota",
        group="Quota",
        kind=CpuKind(),
        help="The most CPUs that all pods together may request. Empty: as much as components and "
        "workers need, several times over.",
        restarts="nothing",
    ),
    Setting(
        name="quota_memory",
        label="Memory quota",
        group="Quota",
        kind=MemoryKind(),
        help="The most memory that all pods together may request, like 64Gi. Empty: as much as "
        "components and workers need, several times over.",
        restarts="nothing",
    ),
    Setting(
        name="workspace_cpu",
        label="CPU quota of a workspace",
        group="Quota",
        kind=CpuKind(),
        layers=OF_WORKSPACES,
        help="The most CPUs that all Deployments of a workspace may request together, on all "
        "clusters. A change of one that would pass it is refused.",
        restarts="nothing",
        is_rule=True,
    ),
    Setting(
        name="workspace_memory",
        label="Memory quota of a workspace",
        group="Quota",
        kind=MemoryKind(),
        layers=OF_WORKSPACES,
        help="The most memory that all Deployments of a workspace may request together, like "
        "256Gi.",
        restarts="nothing",
        is_rule=True,
    ),
    Setting(
        name="task_pods",
        label="Task pods",
        group="Quota",
        kind=NumberKind(floor=1, ceiling=5000),
        default="64",
        help="How many tasks the Kubernetes executor runs at once, each in a pod of its own. With "
        "KubernetesPodOperator the quota has room for as many pods more.",
        restarts="components",
    ),
    Setting(
        name="pod_operator",
        label="KubernetesPodOperator",
        group="Pods of tasks",
        kind=SwitchKind(),
        default="off",
        layers=OF_TEAMS,
        help="Tasks may start pods in the namespace of the Deployment, read their logs and remove "
        "them. The cluster has to allow it.",
    ),
    Setting(
        name="pod_operator_allowed",
        label="Allow KubernetesPodOperator",
        group="Pods of tasks",
        kind=SwitchKind(),
        default="off",
        layers=OF_CLUSTERS,
        help="Deployments may switch it on. Their pods run under the policies for task pods, and "
        "count in the quota of their Deployment.",
        restarts="nothing",
        is_rule=True,
    ),
)
