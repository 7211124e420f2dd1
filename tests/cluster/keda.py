"""Real KEDA for a node: its two images, and the objects that its own release installs."""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.builds import KEDA_VERSION

MANIFEST = Path(__file__).with_name("keda.yaml")
NAMESPACE = "keda"


@dataclass(frozen=True)
class KedaImage:
    """`path` is where KEDA's own image has the binary."""

    name: str
    binary: str
    path: str


IMAGES = (
    KedaImage(f"ghcr.io/kedacore/keda:{KEDA_VERSION}", "operator", "keda"),
    KedaImage(f"ghcr.io/kedacore/keda-metrics-apiserver:{KEDA_VERSION}", "adapter", "keda-adapter"),
)


def manifest() -> str:
    """Return all objects but the definitions, for the version that is built."""
    return MANIFEST.read_text().replace("KEDA_VERSION", KEDA_VERSION)
