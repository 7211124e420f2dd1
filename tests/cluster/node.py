"""A real one-node cluster on this machine: control plane, containerd, kubelet, KEDA.

It lives in network, mount, process and IPC namespaces of its own, joined to the host by one pair of
links, with no way further out. What it touches outside its folder: one link and two routes, empty
control groups and empty mount points. All of it goes with the node, and the node with the process
that began it.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import yaml

from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.registration import task_pod_policy
from tests.cluster import builds, control_groups, keda, machine
from tests.cluster.images import image_sets
from tests.cluster.init import CONTAINERD_FOLDER, CTR, PRIVATE_FOLDERS
from tests.cluster.layout import UPLINK, Layout
from tests.kubernetes import assets
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.go_builds import say

PROJECT = Path(__file__).resolve().parents[2]
NUMBERS = range(201, 251)
LINK = "link"
START_SECONDS = 240
READY_SECONDS = 180


class Node(ControlPlane):
    """A node that runs. `layout` says where everything is."""

    def __init__(self, layout: Layout) -> None:
        config = yaml.safe_load(layout.kubeconfig("admin").read_text())
        connection = Connection(
            server=layout.server,
            ca_certificate=layout.authority.read_text(),
            token=config["users"][0]["user"]["token"],
        )
        super().__init__(layout.folder, connection)
        self.layout = layout

    @contextmanager
    def without(self, program: str) -> Iterator[None]:
        """Keep one of the node's programs away, for example `kube-apiserver`."""
        mark = self.layout.stopped / program
        mark.touch()
        try:
            yield
        finally:
            mark.unlink()

    def forget_images(self, *names: str) -> None:
        """Remove images from the node, as the kubelet does where its disk runs full."""
        self._containerd("images", "rm", "--sync", *names)

    def digest_of(self, image: str) -> str:
        """Return the digest of the manifest of an image that the node has."""
        [_, row] = self._containerd("images", "ls", f"name=={image}").splitlines()
        return row.split()[2]

    def _containerd(self, *arguments: str) -> str:
        folder = str(self.layout.folder)
        [containerd] = [
            one
            for one in psutil.process_iter(["name"])
            if one.info["name"] == "containerd" and one.cwd() == folder
        ]
        inside = ["nsenter", "--target", str(containerd.pid), "--mount"]
        done = subprocess.run(
            [*inside, *CTR, *arguments], check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout


@contextmanager
def running_node() -> Iterator[Node]:
    """Make what is missing, start a node with KEDA in it, and leave nothing of it running."""
    cache = builds.cache()
    cache.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(_only_one(cache / "node.lock"))
        machine.install_packages(cache)
        control_groups.remove_stale()
        layout = _prepare(stack.enter_context(_empty_folder(cache / "node")), cache)
        stack.callback(control_groups.remove, layout.control_group)
        stack.enter_context(_process(layout))
        node = Node(layout)
        _wait_until_ready(node)
        _install_keda(node)
        yield node


def _prepare(folder: Path, cache: Path) -> Layout:
    builds.ensure_all()
    control = assets.find("kube-apiserver")
    assert control
    store = cache / "containerd"
    store.mkdir(exist_ok=True)
    archives = {}
    for images in image_sets(cache):
        key = store / f"{images.name}.key"
        if not key.exists() or key.read_text() != images.key:
            archives[images.key] = images.write(folder / "images")
    for name in ("log", "stopped"):
        (folder / name).mkdir()
    return Layout(
        folder=folder,
        number=_free_number(),
        control=control.parent,
        programs=builds.node_programs(),
        store=store,
        archives=archives,
    )


@contextmanager
def _process(layout: Layout) -> Iterator[None]:
    for name in (*PRIVATE_FOLDERS, CONTAINERD_FOLDER.lstrip("/")):
        Path("/", name).mkdir(parents=True, exist_ok=True)
    control_groups.make(layout.control_group)
    namespaces = ["--mount", "--net", "--pid", "--ipc", "--fork", "--mount-proc"]
    with layout.log("init").open("ab") as log:
        began = subprocess.Popen(
            [
                # Both pass on the end of the one before: nothing outlives the tests.
                *("setpriv", "--pdeathsig", "KILL"),
                *("unshare", "--kill-child", "--propagation", "private", *namespaces),
                *(sys.executable, "-m", "tests.cluster.init", layout.to_json()),
            ],
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _connect(layout, _first_process(began))
        _wait_for_start(layout, began)
        yield
    finally:
        began.kill()
        began.wait()
        _remove_link(layout.link)


def _first_process(began: "subprocess.Popen[bytes]") -> int:
    """Return the process number, seen from here, of process 1 in the new namespaces."""
    own = os.readlink("/proc/self/ns/net")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and began.poll() is None:
        for child in psutil.Process(began.pid).children():
            with suppress(FileNotFoundError):
                if os.readlink(f"/proc/{child.pid}/ns/net") != own:
                    return child.pid
        time.sleep(0.02)
    raise RuntimeError("The namespaces of the node could not be made.")


def _remove_link(name: str) -> None:
    subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)


def _connect(layout: Layout, process: int) -> None:
    (layout.folder / LINK).write_text(layout.link)
    _ip("link", "add", layout.link, "type", "veth", "peer", "name", UPLINK, "netns", str(process))
    _ip("address", "add", f"{layout.host_address}/30", "dev", layout.link)
    _ip("link", "set", layout.link, "up")
    for network in (layout.pods, layout.services):
        _ip("route", "add", network, "via", layout.address)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _wait_for_start(layout: Layout, began: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while not layout.ready.exists():
        if began.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"The node did not start:\n{layout.log('init').read_text()[-3000:]}")
        time.sleep(0.1)


def _wait_until_ready(node: Node) -> None:
    node_name = f"node/{node.layout.name}"
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            node.kubectl("wait", "--for=condition=Ready", node_name, "--timeout=5s")
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            say("The node is ready")
            return


def _install_keda(node: Node) -> None:
    definitions = assets.find(assets.CRDS)
    assert definitions
    apply = ("apply", "--server-side", "-f")
    node.kubectl(*apply, str(definitions))
    node.kubectl(*apply, "-", given=keda.manifest())
    for name in ("keda-operator", "keda-metrics-apiserver"):
        rollout = ("rollout", "status", f"deployment/{name}", "--timeout=110s")
        node.kubectl("-n", keda.NAMESPACE, *rollout)
    node.kubectl(*apply, "-", given=yaml.safe_dump_all(task_pod_policy.manifests()))
    node.kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.external.metrics.k8s.io")
    say("KEDA is ready")


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """The images are in one store, which one containerd may use at a time."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another node runs on this machine: waiting for it to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _empty_folder(folder: Path) -> Iterator[Path]:
    # What a run that was killed has left goes with the next one.
    if (folder / LINK).exists():
        _remove_link((folder / LINK).read_text())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_number() -> int:
    for number in NUMBERS:
        shown = ["ip", "-4", "route", "show", "root", f"10.{number}.0.0/16"]
        if not subprocess.run(shown, capture_output=True, check=True).stdout:
            return number
    raise RuntimeError("Every network from 10.201.0.0/16 to 10.250.0.0/16 is in use here.")
