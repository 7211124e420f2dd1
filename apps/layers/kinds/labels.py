"""Labels of pods and nodes, and the taints that pods may run on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from apps.core.errors import Invalid
from apps.dataplane.production import NodeRequirement, Pairs, Toleration
from apps.layers.kinds.kind import DNS_NAME, lines_of, quoted

_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
# Control planes, and nodes that are going.
KEPT_FREE = ("node-role.kubernetes.io", "node.kubernetes.io")
# As `kubectl --selector` takes it.
_SET = re.compile(r"(\S+)\s+(in|notin)\s*\(([^()]*)\)")
_OPERATORS = {"in": "In", "notin": "NotIn"}
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
# Of these the portal, Kubernetes or a mesh knows the meaning. A person must not take a pod out of a
# NetworkPolicy, a Service or a budget.
RESERVED = (
    "astro-portal.dev",
    "kubernetes.io",
    "k8s.io",
    "keda.sh",
    # By these the webhooks of clouds give a pod the token of an identity.
    "eks.amazonaws.com",
    "azure.workload.identity",
    "iam.gke.io",
)
RESERVED_NAMES = ("dag_id", "task_id", "run_id", "try_number", "airflow_version", "airflow-worker")


@dataclass(frozen=True, kw_only=True)
class LabelsKind:
    """Lines like `name=value`. With `refuses_reserved` those that mean something to the portal, to
    Kubernetes or to Airflow are refused; with `is_free` a value may be any text.
    """

    refuses_reserved: bool = False
    is_free: bool = False
    lines: int = 3
    choices: Sequence[str] = ()

    def parse(self, text: str) -> Pairs:
        pairs = [self._pair(line) for line in lines_of(text)]
        names = [name for name, _ in pairs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise Invalid(f"{twice} is there twice.")
        return tuple(sorted(pairs))

    def tidy(self, text: str) -> str:
        return labels_text(self.parse(text))

    def _pair(self, line: str) -> tuple[str, str]:
        name, equals, value = line.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not is_qualified(name):
            raise Invalid(f"Write one label a line, like pool=airflow, not {quoted(line)}.")
        if not self.is_free and value and not _LABEL_NAME.fullmatch(value):
            raise Invalid(
                f"The value of {name} can have at most 63 letters, digits, hyphens, dots and "
                "underscores, and begins and ends with a letter or digit."
            )
        if not value.isprintable():
            raise Invalid(f"The value of {name} contains a character that cannot be used.")
        if self.refuses_reserved and is_reserved(name):
            raise Invalid(f"{name} is reserved. Choose a prefix of your own, like example.org/.")
        return name, value


@dataclass(frozen=True, kw_only=True)
class TolerationsKind:
    """Lines like `spot=true:NoSchedule`, `gpu:NoSchedule` or `gpu`."""

    lines: int = 3
    choices: Sequence[str] = ()

    def parse(self, text: str) -> tuple[Toleration, ...]:
        found = {self._toleration(line): None for line in lines_of(text)}
        return tuple(sorted(found, key=lambda one: (one.key, one.value, one.effect)))

    def tidy(self, text: str) -> str:
        return tolerations_text(self.parse(text))

    def _toleration(self, line: str) -> Toleration:
        rest, colon, effect = line.partition(":")
        key, equals, value = rest.partition("=")
        is_value_good = bool(_LABEL_NAME.fullmatch(value)) if equals else True
        is_effect_good = effect in EFFECTS if colon else True
        if not (is_qualified(key) and is_value_good and is_effect_good):
            raise Invalid(
                f"Write one taint a line, like spot=true:NoSchedule, not {quoted(line)}. The "
                f"effects are {', '.join(EFFECTS)}."
            )
        if key.partition("/")[0] in KEPT_FREE:
            raise Invalid(f"{key} keeps pods away from nodes that are not for them.")
        return Toleration(key=key, value=value, effect=effect)


@dataclass(frozen=True, kw_only=True)
class NodeAffinityKind:
    """Lines like `pool in (airflow, batch)`, `zone notin (c)`, `gpu` or `!spot`."""

    lines: int = 3
    choices: Sequence[str] = ()

    def parse(self, text: str) -> tuple[NodeRequirement, ...]:
        found = {self._requirement(line): None for line in lines_of(text)}
        return tuple(sorted(found, key=lambda one: (one.key, one.operator, one.values)))

    def tidy(self, text: str) -> str:
        return "\n".join(_requirement_text(one) for one in self.parse(text))

    def _requirement(self, line: str) -> NodeRequirement:
        said = _SET.fullmatch(line)
        values = tuple(sorted({one.strip() for one in said[3].split(",")})) if said else ()
        key = said[1] if said else line.removeprefix("!").strip()
        is_good = is_qualified(key) and all(_LABEL_NAME.fullmatch(one) for one in values)
        if not is_good:
            raise Invalid(
                "Write one requirement a line, like pool in (airflow, batch), zone notin (c), gpu "
                f"or !spot, not {quoted(line)}."
            )
        if said:
            return NodeRequirement(key=key, operator=_OPERATORS[said[2]], values=values)
        absent = line.startswith("!")
        return NodeRequirement(key=key, operator="DoesNotExist" if absent else "Exists")


def is_qualified(name: str) -> bool:
    """Return whether a name is one of a label: up to 63 characters, with a DNS prefix or none."""
    prefix, slash, bare = name.rpartition("/")
    if slash and not DNS_NAME.fullmatch(prefix):
        return False
    return bool(_LABEL_NAME.fullmatch(bare))


def is_reserved(name: str) -> bool:
    """Return whether a label or annotation means something to the portal, Kubernetes or Airflow."""
    prefix, slash, bare = name.rpartition("/")
    if not slash:
        return bare in RESERVED_NAMES
    return any(prefix == one or prefix.endswith(f".{one}") for one in RESERVED)


def labels_text(pairs: Pairs) -> str:
    """Write labels as people do, one a line."""
    return "\n".join(f"{name}={value}" for name, value in pairs)


def tolerations_text(tolerations: Sequence[Toleration]) -> str:
    """Write tolerations as people do, one a line."""
    return "\n".join(_toleration_text(one) for one in tolerations)


def _requirement_text(one: NodeRequirement) -> str:
    if one.values:
        return f"{one.key} {one.operator.lower()} ({', '.join(one.values)})"
    return f"!{one.key}" if one.operator == "DoesNotExist" else one.key


def _toleration_text(one: Toleration) -> str:
    value = f"={one.value}" if one.value else ""
    return f"{one.key}{value}:{one.effect}" if one.effect else f"{one.key}{value}"
