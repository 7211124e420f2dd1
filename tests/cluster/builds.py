"""The programs of a node besides the control plane's: built once, from pinned Go modules."""

import time
from pathlib import Path

from tests.kubernetes import assets, go_builds
from tests.kubernetes.go_builds import BuildFailed, Program, say

MODULES = Path(__file__).with_name("go")
LONGEST_SECONDS = 30 * 60
_KUBERNETES = go_builds.version_of(assets.KUBERNETES, MODULES / "node")
_STAMP = "-X k8s.io/component-base/version.git"
_MAJOR, _MINOR, _ = _KUBERNETES.split(".", 2)
_LDFLAGS = f"-s -w {_STAMP}Version=v{_KUBERNETES} {_STAMP}Major={_MAJOR} {_STAMP}Minor={_MINOR}"
KEDA_VERSION = go_builds.version_of(assets.KEDA, MODULES / "keda")

NODE_PROGRAMS = [
    Program(
        name=name,
        module=MODULES / "node",
        package=f"{assets.KUBERNETES}/cmd/{name}",
        ldflags=_LDFLAGS,
    )
    for name in ("kubelet", "kube-proxy")
] + [Program(name="coredns", module=MODULES / "coredns", package=".")]
KEDA_PROGRAMS = [
    Program(
        name=name,
        module=MODULES / "keda",
        package=f"{assets.KEDA}/cmd/{name}",
        ldflags=f"-s -w -X {assets.KEDA}/version.Version={KEDA_VERSION}",
    )
    for name in ("operator", "adapter")
]


def node_programs() -> Path:
    """Return the folder of kubelet, kube-proxy and CoreDNS."""
    return go_builds.cache_folder("node", [MODULES / "node", MODULES / "coredns"])


def keda_programs() -> Path:
    return go_builds.cache_folder("keda", [MODULES / "keda"])


def cache() -> Path:
    """Return the folder that outlives the runs."""
    return node_programs().parent


def ensure_all() -> None:
    """Build what is missing, the control plane too; raise BuildFailed with a sentence."""
    assets.main()
    if reason := assets.why_left_out():
        raise BuildFailed(reason)
    deadline = time.monotonic() + LONGEST_SECONDS
    for folder, programs, minutes in (
        (node_programs(), NODE_PROGRAMS, 3),
        (keda_programs(), KEDA_PROGRAMS, 11),
        (assets.exporter_folder(), [assets.EXPORTER], 1),
    ):
        if any(not (folder / program.name).is_file() for program in programs):
            say(f"Building the node's programs into {folder}: about {minutes} minutes, this once.")
            go_builds.build(programs, folder, deadline)
