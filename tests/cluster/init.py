"""Process 1 of a node's namespaces: mounts, network, then the node's programs, which it keeps
running. With it ends everything in there.

Started by `node.py` as `python -m tests.cluster.init <layout>`.
"""

import contextlib
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.cluster import programs
from tests.cluster.credentials import write_credentials
from tests.cluster.layout import UPLINK, Layout
from tests.kubernetes.go_builds import say

START_SECONDS = 120
# Folders of this node are mounted over the usual places: every default holds, nothing is left.
PRIVATE_FOLDERS = (
    "etc/cni",
    "opt/cni",
    "run/containerd",
    "run/netns",
    "var/lib/cni",
    "var/lib/kubelet",
    "var/log/containers",
    "var/log/pods",
)
CONTAINERD_FOLDER = "/var/lib/containerd"
CTR = ["ctr", "--namespace", "k8s.io"]


class Supervisor:
    """Starts programs, and starts again what ended, unless somebody asked for it to be away."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.commands: dict[str, list[str]] = {}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str]) -> None:
        self.commands[name] = command
        with self.layout.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                command,
                cwd=self.layout.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def keep(self) -> None:
        while True:
            for name, command in self.commands.items():
                is_running = self.running[name].poll() is None
                is_wanted = not (self.layout.stopped / name).exists()
                if is_running and not is_wanted:
                    self.running[name].terminate()
                elif is_wanted and not is_running:
                    say(f"{name} is started again")
                    self.start(name, command)
            _take_in_orphans()
            time.sleep(0.5)


def main(layout: Layout) -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    _mount(layout)
    _connect(layout)
    token = write_credentials(layout)["admin"]
    supervisor = Supervisor(layout)
    supervisor.start("etcd", programs.etcd(layout))
    supervisor.start("containerd", programs.containerd(layout))
    _wait("etcd", f"{programs.ETCD}/health")
    supervisor.start("kube-apiserver", programs.api_server(layout))
    _import_images(layout)
    while not layout.authority.exists():
        time.sleep(0.05)
    _wait("kube-apiserver", f"{layout.server}/readyz", layout, token)
    for name, command in (
        ("kube-controller-manager", programs.controller_manager(layout)),
        ("kube-scheduler", programs.scheduler(layout)),
        ("kubelet", programs.kubelet(layout)),
        ("kube-proxy", programs.kube_proxy(layout)),
        ("coredns", programs.coredns(layout)),
        ("controllers", [sys.executable, "-m", "tests.cluster.controllers", layout.to_json()]),
    ):
        supervisor.start(name, command)
    layout.ready.touch()
    supervisor.keep()


def _mount(layout: Layout) -> None:
    _run("mount", "--make-rshared", "/")
    for name in PRIVATE_FOLDERS:
        private = layout.folder / "root" / name
        private.mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", str(private), f"/{name}")
        _run("mount", "--make-shared", f"/{name}")
    _run("mount", "--bind", str(layout.store), CONTAINERD_FOLDER)


def _connect(layout: Layout) -> None:
    _run("ip", "link", "set", "lo", "up")
    # /sys shows the host's links, /proc this namespace's.
    while not Path("/proc/sys/net/ipv4/conf", UPLINK).exists():
        time.sleep(0.02)
    _run("ip", "address", "add", f"{layout.address}/30", "dev", UPLINK)
    _run("ip", "link", "set", UPLINK, "up")
    # The node's own programs need some route to Services: kube-proxy rewrites the address first.
    _run("ip", "route", "add", layout.services, "dev", UPLINK)
    for name in ("ipv4/ip_forward", "bridge/bridge-nf-call-iptables"):
        Path("/proc/sys/net", name).write_text("1")


def _import_images(layout: Layout) -> None:
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run([*CTR, "version"], capture_output=True).returncode:
        if time.monotonic() > deadline:
            raise SystemExit("containerd does not answer.")
        time.sleep(0.1)
    for key, archive in layout.archives.items():
        say(f"Importing {archive.name}")
        _run(*CTR, "images", "import", "--snapshotter", "overlayfs", str(archive))
        (layout.store / f"{archive.stem}.key").write_text(key)


def _wait(what: str, url: str, layout: Layout | None = None, token: str = "") -> None:
    context = ssl.create_default_context(cafile=layout.authority if layout else None)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    deadline, last = time.monotonic() + START_SECONDS, ""
    while time.monotonic() < deadline:
        try:
            opener.open(request, timeout=2).close()
        except OSError as error:
            last = str(error)
            time.sleep(0.1)
        else:
            say(f"{what} is ready")
            return
    raise SystemExit(f"{what} did not become ready: {last}")


def _take_in_orphans() -> None:
    """Reap what pods and shims left behind; the supervisor's own children stay its own."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main(Layout.from_json(sys.argv[1]))
