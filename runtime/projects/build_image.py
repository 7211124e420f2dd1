"""Put the packages of a lock on top of the image that this runs in, and store the result in a
registry: no daemon, no root, no Dockerfile. The same input gives the same digest.

Nothing of the packages runs here: only wheels are taken, and they are unpacked into a folder that
no Python looks into. So this may hold the credential of the registry.
"""

import hashlib
import importlib.util
import json
import os
import re
import site
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import job
from job import Failed
from layer import Layer, write_layer
from registry import DOCKER, OCI, Repository, parse_image

# Part of the tag: another way to build gets another image.
FORMAT = "1"
LABEL = "dev.astro-portal.packages"
GZIP = {
    OCI: "application/vnd.oci.image.layer.v1.tar+gzip",
    DOCKER: "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
NAME = re.compile(r"^([A-Za-z0-9][\w.-]*)==", re.MULTILINE)


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Return `digest` of the image and its `packages`: [[name, version, bytes]]. `task` has `base`
    (the image to build upon), `repository`, the digest of an earlier build as `known`, and what
    `job.sources` and `job.trust` take.
    """
    context = job.trust(task["ca"], task.get("index_ca", ""))
    credential = job.credential()["registry"]
    name, reference = parse_image(task["base"])
    target = Repository(task["repository"], context=context, **credential)
    if task.get("known") and (earlier := stored(target, task["known"])):
        return earlier
    is_ours = name.partition("/")[0] == target.host
    base = Repository(name, context=context, **(credential if is_ours else {}))
    found = base.manifest(reference)
    if found is None:
        raise Failed("image-missing", f"{name}:{reference}")
    lock = job.joined("lock")
    tag = tag_of(found[2], lock)
    return stored(target, tag) or build(base, target, found, lock, tag, job.sources(task))


def tag_of(base: str, lock: bytes) -> str:
    key = f"{FORMAT}\0{base}\0{hashlib.sha256(lock).hexdigest()}"
    return f"packages-{hashlib.sha256(key.encode()).hexdigest()[:40]}"


def stored(target: Repository, reference: str) -> dict[str, Any] | None:
    """Return the image of an earlier build, if the registry still has it."""
    found = target.manifest(reference)
    if found is None:
        return None
    manifest, _, digest = found
    config = target.json_blob(manifest["config"]["digest"])
    labels = (config.get("config") or {}).get("Labels") or {}
    return {"digest": digest, "packages": json.loads(labels.get(LABEL, "[]")), "is_new": False}


def build(
    base: Repository,
    target: Repository,
    found: tuple[dict[str, Any], str, str],
    lock: bytes,
    tag: str,
    sources: dict[str, str],
) -> dict[str, Any]:
    """Install, pack and push."""
    manifest, kind, _ = found
    if kind not in GZIP:
        raise Failed("image-missing", f"The image has the unknown type {kind}.")
    config = base.json_blob(manifest["config"]["digest"])
    with TemporaryDirectory() as name:
        folder = Path(name)
        prefix = prefix_of_airflow()
        packages = install(folder, prefix, lock, sources)
        packed = write_layer(
            folder / "tree", folder / "layer", below=prefix, is_there=lambda path: path.is_dir()
        )
        for layer in manifest["layers"]:
            bring(layer, base, target)
        target.push_file(packed.path, packed.digest, packed.size)
    body = json.dumps(on_top(config, packed, packages), sort_keys=True, separators=(",", ":"))
    manifest["config"].update(target.push_bytes(body.encode()))
    added = {"mediaType": GZIP[kind], "digest": packed.digest, "size": packed.size}
    whole = {**manifest, "mediaType": kind, "layers": [*manifest["layers"], added]}
    written = json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()
    digest = target.put_manifest(tag, written, kind)
    return {"digest": digest, "packages": packages, "is_new": True, "layer_bytes": packed.size}


def prefix_of_airflow() -> Path:
    """Return the folder with `bin` and `lib` that Airflow is installed in.

    Raises Failed where the image is laid out in another way.
    """
    found = importlib.util.find_spec("airflow")
    if found is None or not found.submodule_search_locations:
        raise Failed("image-layout", "There is no Airflow.")
    packages = Path(found.submodule_search_locations[0]).parent
    own = Path(sysconfig.get_path("purelib"))
    users = Path(site.getusersitepackages())
    if packages not in (own, users) or packages.parent.parent.name != "lib":
        raise Failed("image-layout", str(packages))
    return packages.parent.parent.parent


def install(folder: Path, prefix: Path, lock: bytes, sources: dict[str, str]) -> list[list[Any]]:
    """Unpack the packages of a lock into `tree`, as they would lie below `prefix`."""
    names = {job.canonical(name) for name in NAME.findall(lock.decode())}
    replaced = names & job.installed().keys()
    if replaced:
        raise Failed("replaces", ", ".join(sorted(replaced))[:300])
    (folder / "lock.txt").write_bytes(lock)
    status, output = job.uv(
        *("pip", "install", "--no-deps", "--no-build", "--require-hashes", "--link-mode", "copy"),
        *("--python", sys.executable, "--prefix", str(folder / "tree")),
        *("--requirements", "lock.txt"),
        folder=folder,
        sources=sources,
    )
    if status:
        raise Failed("disk-full" if "No space left" in output else "install", output)
    return sizes(folder / "tree")


def sizes(tree: Path) -> list[list[Any]]:
    """Return name, version and bytes of each package, sorted."""
    found = []
    for record in tree.glob("lib*/python*/site-packages/*.dist-info/RECORD"):
        name, _, version = record.parent.name[: -len(".dist-info")].partition("-")
        numbers = [line.rpartition(",")[2] for line in record.read_text("utf-8").splitlines()]
        size = sum(int(one) for one in numbers if one.isdigit())
        found.append([job.canonical(name), version, size])
    return sorted(found)


def bring(layer: dict[str, Any], base: Repository, target: Repository) -> None:
    """Let the target have a layer of the base, in the cheapest way."""
    digest = layer["digest"]
    if target.has_blob(digest) or target.mount(digest, source=base):
        return
    target.copy_blob(digest, layer["size"], source=base)


def on_top(config: dict[str, Any], layer: Layer, packages: list[list[Any]]) -> dict[str, Any]:
    """Return the configuration of an image with one more layer."""
    run = dict(config.get("config") or {})
    run["Labels"] = {**(run.get("Labels") or {}), LABEL: json.dumps(packages)}
    root = dict(config["rootfs"])
    root["diff_ids"] = [*root["diff_ids"], layer.diff_id]
    made = {"created": "1980-01-01T00:00:00Z", "created_by": "packages of a project"}
    history = [*config["history"], made] if config.get("history") else []
    return {**config, "config": run, "rootfs": root, **({"history": history} if history else {})}


if __name__ == "__main__":
    os.umask(0o002)
    job.run(work)
