"""What the machine must be and have so that a real node can run on it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster import control_groups
from tests.cluster.progress import run_logged
from tests.kubernetes import go_builds
from tests.kubernetes.go_builds import say

PACKAGES = [
    "containerd",
    "runc",
    "containernetworking-plugins",
    "conntrack",
    "debootstrap",
    "docker-registry",
    "gcc",
    "iproute2",
    "iptables",
    "libc6-dev",
    "nftables",
]
BRIDGE_FILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
FREE_BYTES = 12 * 1024**3
MEMORY_BYTES = 14 * 1024**3


def reason_against() -> str:
    """Say why no node can run here; "" if it can. Installs nothing."""
    if sys.platform != "linux":
        return "A real node needs Linux."
    if os.geteuid() != 0:
        return "A real node needs root: it makes namespaces, mounts and network links."
    if os.uname().machine != "x86_64":
        return "The images of the node are made for x86_64 alone so far."
    if not shutil.which("apt-get"):
        return "A real node takes containerd, runc and the CNI plugins from Debian packages."
    if reason := go_builds.why_not():
        return f"The node's programs have to be built, and {reason}."
    if os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") < MEMORY_BYTES:
        return "An Airflow with three workers reserves 12 GiB of memory, and the machine has less."
    free = shutil.disk_usage(Path.home()).free
    if free < FREE_BYTES:
        return f"The images need {FREE_BYTES // 1024**3} GiB of free disk below {Path.home()}."
    if not _makes_namespaces():
        return "A real node needs namespaces and control groups, which root may not make here."
    return ""


def _makes_namespaces() -> bool:
    namespaces = ["--mount", "--net", "--pid", "--ipc", "--fork", "--mount-proc"]
    try:
        subprocess.run(["unshare", *namespaces, "true"], capture_output=True, check=True)
        for root in control_groups.roots():
            (root / "astro-portal-try").mkdir(exist_ok=True)
            (root / "astro-portal-try").rmdir()
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def install_packages(folder: Path) -> None:
    """Install the Debian packages that are missing, and load the bridge's packet filter."""
    missing = [name for name in PACKAGES if not _is_installed(name)]
    if missing:
        say(f"Installing the Debian packages {', '.join(missing)}")
        log = folder / "packages.log"
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run_logged(["apt-get", "update"], log, environment)
        install = ["apt-get", "install", "-y", "--no-install-recommends"]
        run_logged([*install, *missing], log, environment)
    if not BRIDGE_FILTER.exists():
        subprocess.run(["modprobe", "br_netfilter"], check=True)


def _is_installed(package: str) -> bool:
    asked = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    told = subprocess.run(asked, capture_output=True, text=True, check=False)
    return told.stdout == "installed"
