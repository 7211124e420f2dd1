"""Which layer's value holds for a Deployment. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from apps.layers.catalogue import SETTINGS
from apps.layers.kinds.identities import is_allowed
from apps.layers.setting import LAYERS, LayerName

Origin = LayerName | Literal["default"]
ARTICLES = {"portal": "the portal"}


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one layer says: `values` by name of the setting, and those that are `locked`. `place` is
    the name of the organization, cluster or workspace.
    """

    layer: LayerName
    place: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    locked: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Effective:
    """The value of a setting that holds, and the layer that it comes from. `locked_by` is the one
    that forbids others, None where nothing does. `refused` is the value that would hold, if the
    cluster allowed it.
    """

    value: str
    origin: Origin
    place: str = ""
    locked_by: Said | None = None
    refused: str = ""

    @property
    def is_locked(self) -> bool:
        return self.locked_by is not None

    @property
    def source(self) -> str:
        """Where it comes from, in words: "from the cluster eu-1"."""
        if self.origin == "default":
            return "default"
        found = f"from {place_in_words(self)}"
        return f"{found}: the cluster does not allow {self.refused}" if self.refused else found

    @property
    def locker(self) -> str:
        return place_in_words(self.locked_by) if self.locked_by else ""


def place_in_words(one: Said | Effective) -> str:
    """Name a layer: "the cluster eu-1", "the portal"."""
    layer = one.layer if isinstance(one, Said) else one.origin
    if layer in ("portal", "default"):
        return "the portal"
    if layer == "deployment":
        return "this Deployment"
    return f"the {layer} {one.place}"


def resolve(said: Iterable[Said]) -> dict[str, Effective]:
    """Return what holds of every setting, by name.

    The last layer of those that say something holds; the first that locks what it says ends it. A
    lock without a value locks the default, or what comes from above. What the cluster does not
    allow, or no longer, does not hold: an identity is none, and tasks start no pods.
    """
    ordered = sorted(said, key=lambda one: LAYERS.index(one.layer))
    found = {name: _effective(name, ordered) for name in SETTINGS}
    return found | {
        "workload_identity": _allowed_identity(found),
        "pod_operator": _allowed_pods(found),
    }


def _allowed_identity(found: Mapping[str, Effective]) -> Effective:
    chosen = found["workload_identity"]
    identity = SETTINGS["workload_identity"].kind.parse(chosen.value)
    allowed = SETTINGS["allowed_workload_identities"].kind.parse(
        found["allowed_workload_identities"].value
    )
    if identity is None or is_allowed(identity, allowed):
        return chosen
    return replace(chosen, value="", refused=chosen.value)


def _allowed_pods(found: Mapping[str, Effective]) -> Effective:
    chosen = found["pod_operator"]
    if chosen.value == "off" or found["pod_operator_allowed"].value == "on":
        return chosen
    return replace(chosen, value="off", refused="KubernetesPodOperator")


def _effective(name: str, ordered: Iterable[Said]) -> Effective:
    setting = SETTINGS[name]
    found = Effective(value=setting.default, origin="default")
    for one in ordered:
        if one.layer not in setting.layers:
            continue
        if name in one.values:
            found = Effective(value=one.values[name], origin=one.layer, place=one.place)
        if name in one.locked:
            return Effective(
                value=found.value, origin=found.origin, place=found.place, locked_by=one
            )
    return found
