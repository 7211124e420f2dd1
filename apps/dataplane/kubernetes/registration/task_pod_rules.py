"""What a task pod may ask for, as expressions in CEL, each by the sentence that refuses it.

Two kinds of rules: what would take Airflow's own secrets, and what would hurt others in the cluster
(evicting their pods, going onto their nodes, keeping them from nodes, reaching addresses as a node
does). Pod Security refuses much before: see its level "restricted". Wherever a list is possible it
says what is allowed. What begins with `user-` is left to those who may create it: in the namespace,
or in the cluster.

Sources: "Pod v1 core" of the Kubernetes API, "Taints and Tolerations", "Inter-pod affinity", "Pod
Security Standards" (host probes, which older clusters let pass).
"""

from apps.dataplane.kubernetes.names import (
    AUDIENCE_ANNOTATION,
    COMPONENT_LABEL,
    JOB_LABEL,
    POD_OPERATOR_ANNOTATION,
    PRIORITY_ANNOTATION,
    TOLERATED_ANNOTATION,
)
from apps.dataplane.kubernetes.render.components.workers import GRACE_SECONDS
from apps.dataplane.kubernetes.render.identity import AUDIENCES
from apps.dataplane.kubernetes.render.pods import access
from apps.dataplane.kubernetes.render.pods.configuration import SECRETS_OF_TASKS
from apps.dataplane.kubernetes.render.pods.placement import TASK
from apps.dataplane.kubernetes.render.pods.pods import LOGS_CLAIM

USERS = "user-"
LARGEST_VOLUME = "100Gi"
# What the API server itself adds, and the nodes of two clouds that may go at any time.
TOLERATED = (
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/memory-pressure",
    "kubernetes.azure.com/scalesetpriority",
    "cloud.google.com/gke-spot",
)
# Multus ties pods to networks that no network policy guards.
OTHER_NETWORKS = ("k8s.v1.cni.cncf.io/", "v1.multus-cni.io/")
_OF_JOBS = ("job-name", "controller-uid")
# By these a Job counts a pod as its own, and the portal finds the pods of its Jobs.
LABELS_OF_JOBS = (
    JOB_LABEL,
    *(f"{prefix}{name}" for prefix in ("", "batch.kubernetes.io/") for name in _OF_JOBS),
)
CONTAINERS = (
    "object.spec.containers + (has(object.spec.initContainers) ? object.spec.initContainers : [])"
)
# Hardly anything of a pod's spec can change afterwards, and pods of older versions end in peace.
_LATER = "request.operation != 'CREATE'"
# There is no new pod then.
_REMOVED = "request.operation == 'DELETE'"
# What can be added to a pod later is judged then, too: one that waits is not placed or started yet.
_CHANGED = "request.operation == 'UPDATE'"
_BY_SCHEDULER = f"request.userInfo.username.endsWith(':{access.SCHEDULER}')"


def _named(value: str, *allowed: str) -> str:
    """Return the expression that a name is one of `allowed`, or a user's."""
    return f"({value} in {list(allowed)!r} || {value}.startsWith('{USERS}'))"


def _unless(fields: str, expression: str) -> str:
    """Return the expression that holds where a chain of optional fields ends early."""
    parts = fields.split(".")
    first = 3 if fields.startswith("object.") else 2
    missing = [f"!has({'.'.join(parts[:end])})" for end in range(first, len(parts) + 1)]
    return " || ".join([*missing, expression])


def _each(*expressions: str) -> str:
    return " && ".join(f"({expression})" for expression in expressions)


def _is_task(of: str) -> str:
    """Return the expression that a pod has the label of one that runs a task."""
    labels = f"{of}.metadata.labels"
    return f"has({labels}) && '{COMPONENT_LABEL}' in {labels} && " + (
        f"{labels}['{COMPONENT_LABEL}'] == '{TASK}'"
    )


def _settings(annotation: str, holds: str) -> str:
    """Return the expression that holds where the namespace, which no pod may write, has an
    annotation of the settings of its Deployment, and that one, `{}`, `holds`.
    """
    all_of_them = "namespaceObject.metadata.annotations"
    one = f"{all_of_them}['{annotation}']"
    return f"has({all_of_them}) && '{annotation}' in {all_of_them} && " + holds.format(one)


# The webhook of a cloud adds the token of the identity that the Deployment has.
_OF_IDENTITY = (
    "has(s.serviceAccountToken) && has(s.serviceAccountToken.audience) && "
    f"s.serviceAccountToken.audience in {list(AUDIENCES)!r} && "
    + _settings(AUDIENCE_ANNOTATION, "{} == s.serviceAccountToken.audience")
)
# With that one a task starts pods. The pods that it starts have none.
_OF_OPERATOR = (
    "has(s.serviceAccountToken) && !has(s.serviceAccountToken.audience) && "
    f"object.spec.serviceAccountName == '{access.TASKS}' && {_BY_SCHEDULER} && "
    + _settings(POD_OPERATOR_ANNOTATION, "{} == 'on'")
)
# Which taints all pods of the Deployment tolerate.
_OF_SETTINGS = _settings(
    TOLERATED_ANNOTATION, "(t.key + '=' + (has(t.value) ? t.value : '')) in {}.split(',')"
)
_VOLUME = " || ".join(
    (
        "has(v.configMap)",
        "has(v.emptyDir)",
        "has(v.downwardAPI)",
        f"has(v.secret) && {_named('v.secret.secretName', *SECRETS_OF_TASKS)}",
        "has(v.persistentVolumeClaim) && "
        f"{_named('v.persistentVolumeClaim.claimName', LOGS_CLAIM)}",
        "has(v.projected) && v.projected.sources.all(s, has(s.configMap) || has(s.downwardAPI) || "
        f"{_OF_IDENTITY} || {_OF_OPERATOR} || "
        f"has(s.secret) && {_named('s.secret.name', *SECRETS_OF_TASKS)})",
        # Not one that begins as a copy of another claim.
        "has(v.ephemeral) && !has(v.ephemeral.volumeClaimTemplate.spec.dataSource) && "
        "!has(v.ephemeral.volumeClaimTemplate.spec.dataSourceRef) && "
        "!has(v.ephemeral.volumeClaimTemplate.spec.volumeName)",
    )
)
# The API server's own types of a pod lack maps of quantities: these are read without types.
_ASKED = "dyn(v.ephemeral.volumeClaimTemplate.spec.resources).requests"
_SMALL = (
    f"!has({_ASKED}) || !('storage' in {_ASKED}) || "
    f"quantity(string({_ASKED}['storage'])).compareTo(quantity('{LARGEST_VOLUME}')) <= 0"
)
# A resource that only some nodes have is asked for by the name of their taint: a GPU, for example.
_ASKED_FOR = (
    "t.key.contains('/') && variables.containers.exists(c, has(c.resources) && "
    "has(dyn(c.resources).requests) && t.key in dyn(c.resources).requests)"
)
_CLAIM = _each(
    *(
        _unless(f"r.{field}", _named(f"r.{field}"))
        for field in ("resourceClaimName", "resourceClaimTemplateName")
    )
)
_SCHEDULER = _named("object.spec.schedulerName", "default-scheduler")
_OWN = "!has({t}.namespaceSelector) && (!has({t}.namespaces) || {t}.namespaces.all(n, n == {own}))"


def _own_terms(affinity: str) -> str:
    """Return the expression that an affinity between pods is about the own namespace alone.

    The scheduler heeds the terms of a pod that runs when it places others, of all namespaces.
    """
    terms = f"object.spec.affinity.{affinity}"
    hard = f"{terms}.requiredDuringSchedulingIgnoredDuringExecution"
    soft = f"{terms}.preferredDuringSchedulingIgnoredDuringExecution"
    own = "request.namespace"
    return _each(
        _unless(hard, f"{hard}.all(t, {_OWN.format(t='t', own=own)})"),
        _unless(soft, f"{soft}.all(t, {_OWN.format(t='t.podAffinityTerm', own=own)})"),
    )


def _no_host(action: str) -> str:
    """Return the expression that the node asks no other host for a container's sake."""
    ways = (f"c.{action}.{way}.host" for way in ("httpGet", "tcpSocket"))
    return _each(*(_unless(way, f"{way} == ''") for way in ways))


_ACTIONS = (
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle.postStart",
    "lifecycle.preStop",
)
_HAD_TOLERATION = (
    f"{_CHANGED} && has(oldObject.spec.tolerations) && oldObject.spec.tolerations.exists(o, o == t)"
)
_HAD_ANNOTATION = (
    f"{_CHANGED} && has(oldObject.metadata.annotations) && a in oldObject.metadata.annotations && "
    "oldObject.metadata.annotations[a] == object.metadata.annotations[a]"
)
_OF_OTHERS = " || ".join(f"a.startsWith('{prefix}')" for prefix in OTHER_NETWORKS)

RULES = {
    "A task pod runs as the service account tasks, or one whose name begins with user-.": (
        f"{_REMOVED} || {_named('object.spec.serviceAccountName', access.TASKS)}"
    ),
    "A task pod keeps its label as a task: it must not be taken for another component.": (
        f"{_REMOVED} || {_is_task('object')}"
    ),
    "A task pod has no label of a Job: it must not be taken for a pod of one.": (
        f"{_REMOVED} || !has(object.metadata.labels) || "
        f"!object.metadata.labels.exists(l, l in {list(LABELS_OF_JOBS)!r})"
    ),
    "A task pod is all that tasks change or remove: the other pods are Airflow's own.": (
        f"request.operation == 'CREATE' || {_is_task('oldObject')}"
    ),
    "A task pod has no variables of Airflow's own secrets, only of those that begin with user-.": (
        f"{_LATER} || variables.containers.all(c, "
        "(!has(c.envFrom) || c.envFrom.all(f, "
        f"{_unless('f.secretRef', _named('f.secretRef.name', *SECRETS_OF_TASKS))})) && "
        "(!has(c.env) || c.env.all(e, "
        + _unless(
            "e.valueFrom.secretKeyRef",
            _named("e.valueFrom.secretKeyRef.name", *SECRETS_OF_TASKS),
        )
        + ")))"
    ),
    "A task pod mounts no secret, claim or token of Airflow's own, nor a copy of a claim.": (
        f"{_LATER} || !has(object.spec.volumes) || object.spec.volumes.all(v, {_VOLUME})"
    ),
    f"A task pod has ephemeral volumes of at most {LARGEST_VOLUME} each.": (
        f"{_LATER} || !has(object.spec.volumes) || object.spec.volumes.all(v, "
        f"{_unless('v.ephemeral.volumeClaimTemplate.spec.resources', _SMALL)})"
    ),
    "A task pod claims no devices but those of claims whose names begin with user-.": (
        f"{_LATER} || !has(object.spec.resourceClaims) || "
        f"object.spec.resourceClaims.all(r, {_CLAIM})"
    ),
    "A task pod does not choose its node, only the cluster's default scheduler does.": (
        f"{_LATER} || !has(object.spec.nodeName) && "
        f"({_unless('object.spec.schedulerName', _SCHEDULER)})"
    ),
    "A task pod runs with no runtime class but one whose name begins with user-.": (
        f"{_LATER} || "
        + _unless("object.spec.runtimeClassName", _named("object.spec.runtimeClassName"))
    ),
    "A task pod tolerates no taints of nodes that are for others, only those that begin with "
    "user- and those of devices that it asks for.": (
        f"{_REMOVED} || !has(object.spec.tolerations) || object.spec.tolerations.all(t, "
        f"{_HAD_TOLERATION} || has(t.key) && "
        f"({_named('t.key', *TOLERATED)} || {_ASKED_FOR} || {_OF_SETTINGS}))"
    ),
    "A task pod names no other namespaces in its affinities: they would hold for the pods there.": (
        f"{_LATER} || {_each(_own_terms('podAffinity'), _own_terms('podAntiAffinity'))}"
    ),
    "A task pod ends within a day of being told to.": (
        f"{_LATER} || "
        + _unless(
            "object.spec.terminationGracePeriodSeconds",
            f"object.spec.terminationGracePeriodSeconds <= {GRACE_SECONDS}",
        )
    ),
    "A task pod ends when it is told to: no finalizer holds it.": (
        f"{_REMOVED} || !has(object.metadata.finalizers) || "
        f"{_CHANGED} && has(oldObject.metadata.finalizers) && "
        "object.metadata.finalizers.all(f, f in oldObject.metadata.finalizers)"
    ),
    "A task pod has no probes or hooks that let its node ask another host.": (
        f"{_LATER} || variables.containers.all(c, {_each(*map(_no_host, _ACTIONS))})"
    ),
    "A task pod joins no network but the cluster's own.": (
        f"{_REMOVED} || !has(object.metadata.annotations) || "
        f"object.metadata.annotations.all(a, !({_OF_OTHERS}) || {_HAD_ANNOTATION})"
    ),
}
# Judged for each PriorityClass of the cluster, which is then `params`.
PRIORITY = {
    "A task pod has the cluster's default priority: with another one it could evict others.": (
        f"{_LATER} || !has(object.spec.priorityClassName) || "
        "object.spec.priorityClassName != params.metadata.name || "
        "has(params.globalDefault) && params.globalDefault || "
        + _settings(PRIORITY_ANNOTATION, "{} == params.metadata.name")
    ),
}
