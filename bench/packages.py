"""Packages of a project on this machine, beside `uv pip sync` of the same lock into an empty
environment; what reading a hundred DAG files adds to a deploy; and one layer stored in a real
registry, beside a plain upload of the same bytes.

Everything is downloaded before, so this measures neither the network nor the package index.
"""

import hashlib
import http.client
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import uv

from apps.dataplane.local.airflow.runtimes import RuntimeFolder, lock_file, uv_environment
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.home import Home
from apps.dataplane.local.projects.environments import Environment, make
from apps.dataplane.local.projects.parsing import parse
from apps.dataplane.local.projects.resolving import resolve
from apps.dataplane.spec import PackagesSpec
from bench.report import Line, at_most
from tests.dataplane.local_world import _cache
from tests.dataplane.project_images.servers import PASSWORD, REGISTRY, USER, running_registry
from tests.dataplane.specs import make_code, make_runtime, make_spec
from tests.kubernetes.certificates import Authority

REQUIREMENTS = ("pandas", "apache-airflow-providers-http")
N_ROUNDS = 3
MOST_SECONDS, MOST_AGAIN_SECONDS, MOST_PARSE_SECONDS = 40, 2, 10
# Together 5 MiB.
N_FILES, FILE_BYTES = 100, 52_000
LAYER_BYTES = 64 * 1024**2
MOST_RATIO = 2.0
PROJECTS = Path(__file__).resolve().parent.parent / "runtime" / "projects"


def run() -> tuple[list[Line], list[str]]:
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        lines = [*_environments(Path(name), notes)]
        if REGISTRY is None:
            notes.append("docker-registry is not installed: no upload was measured")
        else:
            lines += _uploads(Path(name))
    return lines, notes


def _environments(folder: Path, notes: list[str]) -> Iterator[Line]:
    config = LocalConfig(database_url="", broker_url="", edge_url="")
    spec, home = make_runtime(), Home(folder / "home")
    home.path.mkdir()
    home.runtimes.symlink_to(_cache() / "runtimes")
    runtime = RuntimeFolder(home, spec.version, lock_file(config, spec))
    if not runtime.has_packages:
        notes.append(f"runtime {spec.version} is not installed here: run a test of a real Airflow")
        return
    lock = resolve(config=config, runtime=spec, requirements=REQUIREMENTS, preferred={})
    packages = _stored(folder, lock.text)
    environment = Environment(runtime, packages.digest)

    def ours() -> None:
        make(environment, config=config, packages=packages)

    def remove() -> None:
        shutil.rmtree(environment.path, ignore_errors=True)

    def alone() -> None:
        _sync(folder / "alone", packages.lock_path)

    remove(), ours(), alone()  # what is downloaded is kept
    times = _by_turns(ours, alone, before=remove)
    first, beside = median(times[0]), median(times[1])
    began = time.perf_counter()
    ours()
    again = time.perf_counter() - began
    remove()
    yield _parsing(folder, config, Environment(runtime))
    yield Line(
        name="packages, new environment",
        ours=f"{first:.1f} s",
        peer=f"uv pip sync {beside:.1f} s",
        ratio=first / beside,
        goal=f"<= {MOST_SECONDS} s",
        is_met=first <= MOST_SECONDS,
    )
    yield Line(
        name="packages, second Deployment",
        ours=f"{again * 1000:.1f} ms",
        goal=f"<= {MOST_AGAIN_SECONDS} s",
        is_met=again <= MOST_AGAIN_SECONDS,
    )


def _parsing(folder: Path, config: LocalConfig, environment: Environment) -> Line:
    text = "from airflow.sdk import DAG\ndag = DAG('large_{}', schedule=None)\n# {}\n"
    files = {f"large_{n}.py": text.format(n, "x" * FILE_BYTES) for n in range(N_FILES)}
    spec = make_spec(code=make_code(folder, files))
    times = []
    for _ in range(N_ROUNDS):
        began = time.perf_counter()
        found = parse(config=config, environment=environment, spec=spec)
        times.append(time.perf_counter() - began)
        if len(found.dags) != N_FILES:
            raise RuntimeError(f"{len(found.dags)} DAGs were read, not {N_FILES}.")
    return Line(
        name=f"packages, {N_FILES} DAG files read",
        ours=f"{median(times):.1f} s",
        goal=f"<= {MOST_PARSE_SECONDS} s",
        is_met=median(times) <= MOST_PARSE_SECONDS,
    )


def _stored(folder: Path, text: str) -> PackagesSpec:
    path = folder / "lock.txt"
    path.write_text(text)
    return PackagesSpec(digest=hashlib.sha256(text.encode()).hexdigest(), lock_path=str(path))


def _sync(target: Path, lock: str) -> None:
    shutil.rmtree(target, ignore_errors=True)
    program, environment = uv.find_uv_bin(), uv_environment()
    made = [program, "venv", "-q", "--python", sys.executable, str(target)]
    python = str(target / "bin" / "python")
    synced = [program, "pip", "sync", "-q", "--no-config", "--require-hashes", "--python", python]
    for command in (made, [*synced, lock]):
        subprocess.run(command, env=environment, check=True)


def _by_turns(
    *calls: Callable[[], None], before: Callable[[], None] = lambda: None
) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(N_ROUNDS):
        for call, found in zip(calls, times, strict=True):
            before()
            began = time.perf_counter()
            call()
            found.append(time.perf_counter() - began)
    before()
    calls[0]()
    return times


def _uploads(folder: Path) -> Iterator[Line]:
    authority, layer = Authority("bench"), folder / "layer"
    with running_registry(folder / "registry", authority, "127.0.0.1") as registry:
        trusted = ssl.create_default_context(cadata=authority.certificate)
        with _programs_of_jobs() as repositories:
            target = repositories.Repository(
                f"{registry.host}/bench/ours", context=trusted, user=USER, password=PASSWORD
            )
            fresh = _fresh_digest(layer)
            times = _by_turns(
                lambda: target.push_file(layer, fresh(), LAYER_BYTES),
                lambda: _plain_upload(registry.host, trusted, target.basic(), layer, fresh()),
            )
    ours, plain = median(times[0]), median(times[1])
    yield Line(
        name="packages, a layer of 64 MiB stored",
        ours=f"{ours:.2f} s",
        peer=f"plain upload {plain:.2f} s",
        ratio=ours / plain,
        **at_most(MOST_RATIO, ours / plain),  # type: ignore[arg-type]
    )


def _fresh_digest(layer: Path) -> Callable[[], str]:
    """Return what writes other bytes each time, because a registry takes no bytes twice."""

    def write() -> str:
        content = os.urandom(1024) + bytes(LAYER_BYTES - 1024)
        layer.write_bytes(content)
        return f"sha256:{hashlib.sha256(content).hexdigest()}"

    return write


def _plain_upload(
    host: str, trusted: ssl.SSLContext, authorization: str, layer: Path, digest: str
) -> None:
    """POST, then one PUT with all bytes: the shortest way that the protocol knows."""
    connection = http.client.HTTPSConnection(host, context=trusted, timeout=60)
    headers = {"Authorization": authorization, "Content-Type": "application/octet-stream"}
    connection.request("POST", "/v2/bench/plain/blobs/uploads/", b"", headers)
    answer = connection.getresponse()
    answer.read()
    place = answer.headers["Location"].partition(host)[2]
    with layer.open("rb") as content:
        sized = {**headers, "Content-Length": str(LAYER_BYTES)}
        connection.request("PUT", f"{place}&digest={digest}", content, sized)
    if connection.getresponse().status != http.client.CREATED:
        raise RuntimeError("The registry did not store the layer.")
    connection.close()


@contextmanager
def _programs_of_jobs() -> Iterator[Any]:
    sys.path.insert(0, str(PROJECTS))
    try:
        yield import_module("registry")
    finally:
        sys.path.remove(str(PROJECTS))
