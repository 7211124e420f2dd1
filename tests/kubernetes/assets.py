"""Where the programs of a control plane are, by the convention of controller-runtime's envtest.

`TEST_ASSET_KUBE_APISERVER` names one file, `KUBEBUILDER_ASSETS` a folder of them; what neither
names is in the user's cache folder, after `python -m tests.kubernetes.assets` has built it there.
`KUBERNETES_VERSION` chooses another minor than the newest, such as 1.33: one with a folder of its
own beside the newest's, `go/kube-1.33`. That says what it does and how long it takes. A machine
without Go, a network that is away or a build that takes too long is told in a sentence and is no
failure: tests that need the programs are left out.
"""

import os
import re
import time
from functools import cache
from pathlib import Path

from tests.kubernetes import go_builds
from tests.kubernetes.go_builds import BuildFailed, Program, say

MODULES = Path(__file__).parent / "go"
KUBERNETES = "k8s.io/kubernetes"
KEDA = "github.com/kedacore/keda/v2"
CRDS = "keda-crds.yaml"
LEFT_OUT = "Tests on a Kubernetes control plane are left out; all others run."


def kubernetes_modules() -> dict[str, Path]:
    """Return the folders that pin Kubernetes, by minor: `1.33` → `go/kube-1.33`."""
    folders = sorted(MODULES.glob("kube*"))
    versions = {go_builds.version_of(KUBERNETES, folder): folder for folder in folders}
    return {version.rpartition(".")[0]: folder for version, folder in versions.items()}


def _chosen_module() -> Path:
    minor, known = os.environ.get("KUBERNETES_VERSION", ""), kubernetes_modules()
    if minor and minor not in known:
        raise SystemExit(f"KUBERNETES_VERSION can be {', '.join(known)}, and is {minor}.")
    return known[minor] if minor else MODULES / "kube"


_KUBE = _chosen_module()


def _kubernetes(name: str) -> Program:
    version = go_builds.version_of(KUBERNETES, _KUBE)
    major, minor, _ = version.split(".", 2)
    stamp = "-X k8s.io/component-base/version.git"
    return Program(
        name=name,
        module=_KUBE,
        package=f"{KUBERNETES}/cmd/{name}",
        ldflags=f"-s -w {stamp}Version=v{version} {stamp}Major={major} {stamp}Minor={minor}",
    )


PROGRAMS = (
    Program(name="etcd", module=MODULES / "etcd", package="go.etcd.io/etcd/server/v3"),
    _kubernetes("kube-apiserver"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    _kubernetes("kubectl"),
    Program(name="kwok", module=MODULES / "kwok", package="sigs.k8s.io/kwok/cmd/kwok"),
)
# What Airflow's metrics are sent to, which is none of a control plane's.
EXPORTER = Program(
    name="statsd_exporter",
    module=MODULES / "metrics",
    package="github.com/prometheus/statsd_exporter",
)


@cache
def cache_folder() -> Path:
    modules = [MODULES / "etcd", MODULES / "keda", _KUBE, MODULES / "kwok"]
    return go_builds.cache_folder(go_builds.version_of(KUBERNETES, _KUBE), modules)


def exporter_folder() -> Path:
    return go_builds.cache_folder("metrics", [EXPORTER.module])


def find(name: str) -> Path | None:
    """Return the file of an asset, or None."""
    override = os.environ.get("TEST_ASSET_" + re.sub(r"\W", "_", name).upper())
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    candidates = [
        *([Path(override)] if override else []),
        *([Path(folder) / name] if folder else []),
        cache_folder() / name,
    ]
    return next((path for path in candidates if path.is_file()), None)


def missing() -> list[str]:
    """Name the assets that are nowhere."""
    needed = (*(program.name for program in PROGRAMS), CRDS)
    return [name for name in needed if find(name) is None]


def why_left_out() -> str:
    """Say why tests on a control plane are left out and how to include them, "" if they are not."""
    absent = missing()
    if not absent:
        return ""
    reason = go_builds.why_not()
    if reason:
        way = (
            f"{reason}. Install it and run `make kubernetes`, or let KUBEBUILDER_ASSETS name them."
        )
    else:
        way = "`make kubernetes` builds what is missing, in about 9 minutes, once."
    return f"A Kubernetes control plane needs {', '.join(absent)}. {way}"


def main() -> None:
    absent = missing()
    if not absent:
        return
    if go_builds.why_not():
        say(f"{why_left_out()} {LEFT_OUT}")
        return
    folder = cache_folder()
    deadline = time.monotonic() + go_builds.LONGEST_SECONDS
    say(f"Building a Kubernetes control plane into {folder}: about 9 minutes, this once.")
    try:
        go_builds.build([one for one in PROGRAMS if one.name in absent], folder, deadline)
        _gather_crds(folder, deadline)
    except BuildFailed as failed:
        say(f"{failed} {LEFT_OUT}")


def _gather_crds(folder: Path, deadline: float) -> None:
    """Take KEDA's CustomResourceDefinitions out of the module that ships them."""
    go = {"module": MODULES / "keda", "label": "KEDA's definitions", "deadline": deadline}
    go_builds.go("mod", "download", **go)
    shipped = go_builds.go("list", "-m", "-f", "{{.Dir}}", KEDA, **go).strip()
    files = sorted(Path(shipped, "config", "crd", "bases").glob("*.yaml"))
    if not files:
        raise BuildFailed("KEDA's module has no definitions where they were expected.")
    unfinished = folder / f".{CRDS}"
    unfinished.write_text("\n---\n".join(file.read_text() for file in files))
    unfinished.replace(folder / CRDS)


if __name__ == "__main__":
    main()
