"""What a setting with layers is: what it is called, what it takes, and who may set it."""

from dataclasses import dataclass
from typing import Literal

from apps.core.errors import Invalid
from apps.layers.kinds.kind import LONGEST, Kind

LayerName = Literal["portal", "organization", "cluster", "workspace", "deployment"]
# The last one that says something holds.
LAYERS: tuple[LayerName, ...] = ("portal", "organization", "cluster", "workspace", "deployment")
# What a cluster has is for its owners to say.
OF_CLUSTERS: tuple[LayerName, ...] = ("portal", "organization", "cluster")
OF_TEAMS: tuple[LayerName, ...] = ("workspace", "deployment")
# What a workspace may have is for it and those above it to say, whatever the cluster.
OF_WORKSPACES: tuple[LayerName, ...] = ("portal", "organization", "workspace")
Restarts = Literal["nothing", "components", "everything"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting. `layers` may set it; `default` is the text that holds where none does. Only
    Deployments on Kubernetes have it unless `is_for_local`. `restarts` is what a change of it
    replaces. One that `is_rule` says what others may be, and changes no Deployment by itself.
    """

    name: str
    label: str
    group: str
    kind: Kind
    help: str
    default: str = ""
    layers: tuple[LayerName, ...] = LAYERS
    is_for_local: bool = False
    restarts: Restarts = "everything"
    is_rule: bool = False

    def is_lockable(self, layer: LayerName) -> bool:
        """Return whether a layer below `layer` may set it, too."""
        return any(LAYERS.index(one) > LAYERS.index(layer) for one in self.layers)

    def tidy(self, text: str) -> str:
        """Return a text in its one form. Raises Invalid for what the kind refuses."""
        if len(text) > self.longest or "\x00" in text:
            raise Invalid(f"At most {self.longest} characters that can be stored.")
        return self.kind.tidy(text)

    @property
    def longest(self) -> int:
        """How many characters a text may have."""
        return int(getattr(self.kind, "longest", LONGEST))
