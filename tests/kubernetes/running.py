"""Run etcd, API server, controller manager, scheduler, and KWOK as the kubelet of two nodes.

    with running_control_plane(folder) as plane:
        plane.kubectl("get", "nodes")

Everything listens on loopback and ends with the process that asked for it. A test run shares one:
`python -m tests.kubernetes.running FOLDER PID` runs it until the process PID has ended, whatever
ended that, and removes FOLDER.
"""

import ctypes
import json
import os
import secrets
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.registration import task_pod_policy
from tests.kubernetes import assets
from tests.kubernetes.certificates import Authority, private_pem
from tests.kubernetes.control_plane import ControlPlane, kubeconfig
from tests.kubernetes.machines import STORAGE_CLASS, VOLUMES, node, volume

STAGES = Path(__file__).parent / "stages.yaml"
START_SECONDS = 60
STOP_SECONDS = 5
STOPPING = ("kwok", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
READY = "ready.json"


class RunningControlPlane(ControlPlane):
    """One that nobody shares: its API server may be taken away."""

    def __init__(self, folder: Path, *, flags: tuple[str, ...] = ()) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._flags = flags
        self._ports = {name: _free_port() for name in ("etcd", "peer", "api", "kubelet")}
        self.authority = Authority("astro-portal tests")
        self.token = secrets.token_urlsafe(24)
        super().__init__(
            folder,
            Connection(
                server=f"https://127.0.0.1:{self._ports['api']}",
                ca_certificate=self.authority.certificate,
                token=self.token,
            ),
        )

    def start(self) -> None:
        self._start_store()
        self._start_controllers()
        self.create(node("node-a"), node("node-b"), STORAGE_CLASS)
        self.create(*(volume(number) for number in range(VOLUMES)))
        self.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=60s")

    def start_bare(self, *, has_keda: bool) -> None:
        """Start nothing that acts by itself: objects stay as they are written."""
        self._flags += ("--disable-admission-plugins=ResourceQuota",)
        self._start_store(has_keda=has_keda)

    def stop(self) -> None:
        """End everything, etcd last: an API server whose etcd went first hangs in its shutdown."""
        for name in STOPPING:
            self._end(name)

    def restart_api_server(self) -> None:
        self.stop_api_server()
        self.start_api_server()

    def stop_api_server(self) -> None:
        self._end("kube-apiserver")

    def start_api_server(self) -> None:
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._ports['etcd']}",
            f"--secure-port={self._ports['api']}",
            "--bind-address=127.0.0.1",
            "--cert-dir=certs",
            "--tls-cert-file=server.crt",
            "--tls-private-key-file=server.key",
            "--client-ca-file=ca.crt",
            "--token-auth-file=tokens.csv",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=accounts.pub",
            "--service-account-signing-key-file=accounts.key",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            *self._flags,
        )
        context = ssl.create_default_context(cadata=self.authority.certificate)
        self._wait(f"{self.connection.server}/readyz", "kube-apiserver", context)

    def _start_store(self, *, has_keda: bool = True) -> None:
        self._write_files()
        self._start_etcd()
        self.start_api_server()
        if has_keda:
            self.kubectl("apply", "--server-side", "-f", str(assets.find(assets.CRDS)))
            self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        policy = yaml.safe_dump_all(task_pod_policy.manifests())
        self.kubectl("apply", "--server-side", "-f", "-", given=policy)

    def _start_etcd(self) -> None:
        clients = f"http://127.0.0.1:{self._ports['etcd']}"
        peers = f"http://127.0.0.1:{self._ports['peer']}"
        self._run(
            "etcd",
            "--data-dir=etcd",
            "--unsafe-no-fsync",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        )
        self._wait(f"{clients}/health", "etcd", None)

    def _start_controllers(self) -> None:
        alone = (
            *("--leader-elect=false", "--secure-port=0"),
            *("--kube-api-qps=200", "--kube-api-burst=400"),
        )
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            "--service-account-private-key-file=accounts.key",
            "--root-ca-file=ca.crt",
            "--node-monitor-grace-period=24h",  # nodes that KWOK plays have no heartbeat
            *alone,
        )
        self._run("kube-scheduler", f"--kubeconfig={self.kubeconfig}", *alone)
        self._run(
            "kwok",
            f"--kubeconfig={self.kubeconfig}",
            "--manage-all-nodes=true",
            "--config",
            str(STAGES),
        )

    def _write_files(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        server = self.authority.server("127.0.0.1", "localhost", "kubernetes.default.svc")
        accounts = ec.generate_private_key(ec.SECP256R1())
        public = accounts.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        files = {
            "ca.crt": self.authority.certificate,
            "server.crt": server.certificate,
            "server.key": server.key,
            "accounts.key": private_pem(accounts),
            "accounts.pub": public.decode(),
            "tokens.csv": f'{self.token},admin,admin,"system:masters"\n',
            self.kubeconfig.name: kubeconfig(self.connection),
        }
        for name, lasts in (("valid", timedelta(days=1)), ("expired", timedelta(minutes=-1))):
            signed = self.authority.client("alice", "system:masters", lasts=lasts)
            files |= {f"{name}.crt": signed.certificate, f"{name}.key": signed.key}
        for name, text in files.items():
            (self.folder / name).write_text(text)

    def _run(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(assets.find(name)), *arguments],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=_end_with_parent,
            )

    def _end(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait(self, url: str, name: str, context: ssl.SSLContext | None) -> None:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.token}"})
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(request, context=context, timeout=2).close()
            except (OSError, urllib.error.URLError) as error:
                if self._processes[name].poll() is not None or time.monotonic() > deadline:
                    log = (self.folder / f"{name}.log").read_text().splitlines()[-20:]
                    raise AssertionError("\n".join([f"{name}: {error}", *log])) from error
                time.sleep(0.1)
            else:
                return


@contextmanager
def running_control_plane(
    folder: Path, *, is_bare: bool = False, has_keda: bool = True
) -> Iterator[RunningControlPlane]:
    plane = RunningControlPlane(folder)
    try:
        if is_bare:
            plane.start_bare(has_keda=has_keda)
        else:
            plane.start()
        yield plane
    finally:
        plane.stop()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _end_with_parent() -> None:
    """Ask Linux for a SIGKILL when the parent ends, however it ends."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(folder: Path, pid: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        with running_control_plane(folder) as plane:
            unfinished = folder / f".{READY}"
            unfinished.write_text(json.dumps(asdict(plane.connection)))
            unfinished.replace(folder / READY)
            _wait_for_the_end_of(pid)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_the_end_of(pid: int) -> None:
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([watched], [], [])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
