"""One Debian root file system with Airflow, PostgreSQL and Redis: what all images of the node hold.

No image registry is asked for anything: Debian packages come from this machine's own mirror, Python
packages from its own index, by hash. A step that is done is not done again; each has a mark with
the hash of what went into it.
"""

import os
import re
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import uv

from tests.cluster.progress import run_logged
from tests.kubernetes.go_builds import BuildFailed, say

SUITE = "bookworm"
SOURCES = Path(__file__).with_name("image")
SERVICE_USER = "999"
AIRFLOW_USER = "50000"
DEBIAN_PACKAGES = [
    "ca-certificates",
    "curl",
    "dumb-init",
    "git",
    "iproute2",
    "libpq5",
    "netcat-openbsd",
    "openssh-client",
    "postgresql",
    "procps",
    "python3",
    "python3-venv",
    "redis-server",
]
# The official images let any user id use these. Not by way of /var/run: that link is absolute, and
# would lead out of the tree.
SERVICE_FOLDERS = ("data", "run/postgresql", "var/lib/postgresql/data")
ENTRYPOINTS = ("airflow-entrypoint", "postgres-entrypoint", "redis-entrypoint")
HOST_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
IN_ROOT = """
set -e
mount --bind "$UV" "$ROOT/run/uv"
mkdir -p "$UV_CACHE" && mount --bind "$UV_CACHE" "$ROOT/run/uv-cache"
exec chroot "$ROOT" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive SSL_CERT_FILE=/run/host-certificates \
    UV_CACHE_DIR=/run/uv-cache UV_LINK_MODE=copy UV_HTTP_TIMEOUT=180 "$@"
"""


def ensure_root_file_system(folder: Path) -> Path:
    """Make or bring up to date the tree in `folder/root`; return it."""
    root = folder / "root"
    folder.mkdir(parents=True, exist_ok=True)
    _step(folder, "debian", " ".join([SUITE, *DEBIAN_PACKAGES]), lambda: _debian(folder, root))
    locked = (SOURCES / "airflow.txt").read_text()
    _step(folder, "airflow", locked, lambda: _airflow(folder, root))
    _step(folder, "uv", f"{locked} {_uv_size()}", lambda: _uv(root))
    scripts = "".join((SOURCES / name).read_text() for name in ENTRYPOINTS)
    _step(folder, "entrypoints", f"{SERVICE_FOLDERS} {scripts}", lambda: _entrypoints(root))
    return root


def contents_hash(folder: Path) -> str:
    """Return what the tree was made of, as one hash."""
    marks = sorted(folder.glob("*.mark"))
    return sha256("".join(mark.read_text() for mark in marks).encode()).hexdigest()


def _step(folder: Path, name: str, made_of: str, make: Callable[[], None]) -> None:
    mark = folder / f"{name}.mark"
    wanted = sha256(made_of.encode()).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return
    mark.unlink(missing_ok=True)
    make()
    mark.write_text(wanted)


def _debian(folder: Path, root: Path) -> None:
    say("Making a Debian root file system (about half a minute)")
    shutil.rmtree(root, ignore_errors=True)
    for mark in folder.glob("*.mark"):
        mark.unlink()
    run_logged(
        ["debootstrap", "--variant=minbase", SUITE, str(root), _mirror()], folder / "debian.log"
    )
    _prepare_chroot(root)
    # Nothing starts, and no database is made, while packages are installed.
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    (root / "etc/postgresql-common").mkdir(parents=True, exist_ok=True)
    (root / "etc/postgresql-common/createcluster.conf").write_text("create_main_cluster = false\n")
    log = folder / "debian.log"
    _in_root(root, ["apt-get", "update"], log)
    _in_root(root, ["apt-get", "install", "-y", "--no-install-recommends", *DEBIAN_PACKAGES], log)
    _in_root(root, ["apt-get", "clean"], log)
    _in_root(
        root, ["useradd", "-u", AIRFLOW_USER, "-g", "0", "-m", "-s", "/bin/bash", "airflow"], log
    )
    for user in ("redis", "postgres"):
        _in_root(root, ["groupmod", "-o", "-g", SERVICE_USER, user], log)
        _in_root(root, ["usermod", "-o", "-u", SERVICE_USER, user], log)


def _airflow(folder: Path, root: Path) -> None:
    say("Installing Airflow and its providers (about half a minute)")
    log = folder / "airflow.log"
    _prepare_chroot(root)
    shutil.rmtree(root / "home/airflow/.local", ignore_errors=True)
    shutil.copy(SOURCES / "airflow.txt", root / "run/airflow.txt")
    _in_root(root, ["/run/uv", "venv", "--python", "/usr/bin/python3", "/home/airflow/.local"], log)
    install = ["/run/uv", "pip", "install", "--require-hashes", "--compile-bytecode", "--python"]
    python = "/home/airflow/.local/bin/python"
    _in_root(root, [*install, python, "-r", "/run/airflow.txt"], log)
    for name in ("dags", "logs", "plugins", "config"):
        (root / "opt/airflow" / name).mkdir(parents=True, exist_ok=True)
    _in_root(root, ["chown", "-R", f"{AIRFLOW_USER}:0", "/opt/airflow", "/home/airflow"], log)
    _in_root(root, ["chmod", "-R", "g=u", "/opt/airflow", "/home/airflow"], log)


def _uv_size() -> int:
    return Path(uv.find_uv_bin()).stat().st_size


def _uv(root: Path) -> None:
    """The official image has uv beside Airflow."""
    program = root / "home/airflow/.local/bin/uv"
    shutil.copy2(uv.find_uv_bin(), program)
    os.chown(program, int(AIRFLOW_USER), 0)


def _entrypoints(root: Path) -> None:
    for name in ENTRYPOINTS:
        shutil.copy(SOURCES / name, root / name)
        (root / name).chmod(0o755)
    for name in SERVICE_FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(0o1777)
        os.chown(root / name, int(SERVICE_USER), int(SERVICE_USER))
    (root / "etc/passwd").chmod(0o666)


def _prepare_chroot(root: Path) -> None:
    (root / "run/uv").touch()
    (root / "run/uv-cache").mkdir(exist_ok=True)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copy(HOST_CERTIFICATES, root / "run/host-certificates")


def _in_root(root: Path, command: list[str], log: Path) -> None:
    """Run a command in the tree, in a mount namespace of its own: no mount can be left behind."""
    environment = {
        **os.environ,
        "ROOT": str(root),
        "UV": uv.find_uv_bin(),
        "UV_CACHE": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache/uv")),
    }
    wrapped = ["unshare", "--mount", "--propagation", "private", "sh", "-c", IN_ROOT, "in-root"]
    run_logged([*wrapped, *command], log, environment)


def _mirror() -> str:
    """Return the Debian mirror that this machine itself uses."""
    lists = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for path in lists:
        text = path.read_text() if path.suffix in (".list", ".sources") and path.exists() else ""
        for address in re.findall(r"^(?:URIs:|deb\s+(?:\[[^]]*\]\s*)?)\s*(http\S+)", text, re.M):
            if address.rstrip("/").endswith("/debian"):
                return str(address)
    raise BuildFailed("apt on this machine names no Debian mirror.")
