"""A real registry on this machine that believes the portal, and skopeo as its client."""

import gzip
import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

REGISTRY, SKOPEO = shutil.which("docker-registry"), shutil.which("skopeo")
IS_INSTALLED = bool(REGISTRY and SKOPEO)
WHY_NOT = "Debian's packages docker-registry and skopeo are not installed"
SECONDS = 30
LAYER = bytes(1024)  # a tar of nothing


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def registry(folder: Path, *, port: int, auth: str = "", deletes: bool = True) -> Iterator[str]:
    """Run a registry with this part of configuration; yield its address, host and port."""
    host = f"127.0.0.1:{port}"
    configuration = folder / f"registry-{port}.yml"
    configuration.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'images'}}}, "
        f"delete: {{enabled: {str(deletes).lower()}}}}}\n"
        f'http: {{addr: "{host}"}}\n{auth}'
    )
    with (folder / f"registry-{port}.log").open("w") as log:
        command = [str(REGISTRY), "serve", str(configuration)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(f"http://{host}/v2/")
        yield host
    finally:
        process.kill()
        process.wait()


def _wait(url: str) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            requests.get(url, timeout=1)
            return
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def skopeo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SKOPEO), *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )


def push(
    layout: Path, image: str, secret: str, user: str = "cli"
) -> subprocess.CompletedProcess[str]:
    """Push an image as a client does that was told user and password."""
    to = f"docker://{image}"
    return skopeo(
        "--insecure-policy", "copy", "--dest-tls-verify=false", f"--dest-creds={user}:{secret}",
        f"oci:{layout}", to,
    )  # fmt: skip


def pull(
    image: str, secret: str, folder: Path, user: str = "cli"
) -> subprocess.CompletedProcess[str]:
    shutil.rmtree(folder, ignore_errors=True)
    return skopeo(
        "--insecure-policy", "copy", "--src-tls-verify=false", f"--src-creds={user}:{secret}",
        f"docker://{image}", f"dir:{folder}",
    )  # fmt: skip


def image_layout(
    folder: Path,
    *,
    environment: tuple[str, ...] = ("AIRFLOW_VERSION=3.3.2", "PYTHON_VERSION=3.12.11"),
    labels: dict[str, str] | None = None,
    architecture: str = "amd64",
) -> str:
    """Write an image of one small layer in OCI's layout; return the digest of its manifest."""
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": list(environment), "Labels": labels or {}},
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(LAYER).hexdigest()}"],
            },
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _blob(folder, config, "application/vnd.oci.image.config.v1+json"),
            # Packed: a client packs what is not, and that changes the digest.
            "layers": [
                _blob(
                    folder,
                    gzip.compress(LAYER, mtime=0),
                    "application/vnd.oci.image.layer.v1.tar+gzip",
                )
            ],
        }
    ).encode()
    described = _blob(folder, manifest, "application/vnd.oci.image.manifest.v1+json")
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    return str(described["digest"])


def _blob(folder: Path, content: bytes, kind: str) -> dict[str, object]:
    digest = hashlib.sha256(content).hexdigest()
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    (blobs / digest).write_bytes(content)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}
