"""Code in slots, as the pods get it."""

import hashlib
import json
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import render
from apps.dataplane.spec import CodeSpec
from tests.dataplane.kubernetes_render import schemas
from tests.dataplane.kubernetes_render.matrix import make_config, make_spec, manifests
from tests.dataplane.specs import make_code


def _slots(code: CodeSpec | None) -> list[Manifest]:
    objects = manifests(render(spec=make_spec(code=code), config=make_config()))
    return [m for m in objects if m["metadata"]["name"].startswith("code-")]


def _archive(folder: Path, size: int) -> CodeSpec:
    content = Random(size).randbytes(size)
    path = folder / "archive.zip"
    path.write_bytes(content)
    return CodeSpec(digest=hashlib.sha256(content).hexdigest(), archive_path=str(path))


def _joined(slots: list[Manifest]) -> bytes:
    parts = {name: part for slot in slots for name, part in slot["binaryData"].items()}
    return b"".join(b64decode(parts[name]) for name in sorted(parts))


def test_there_are_no_slots_without_code() -> None:
    assert _slots(None) == []


@pytest.mark.parametrize("size", [22, 999_999, 1_000_000, 1_000_001, 11_500_000, 12_000_000])
def test_the_parts_joined_are_the_archive(tmp_path: Path, size: int) -> None:
    code = _archive(tmp_path, size)

    slots = _slots(code)

    assert hashlib.sha256(_joined(slots)).hexdigest() == code.digest
    description = json.loads(slots[0]["data"]["manifest.json"])
    assert description == {"digest": code.digest, "parts": len(slots)}
    assert all("data" not in slot for slot in slots[1:])
    for slot in slots:
        schemas.validate(slot)


def test_every_pod_of_airflow_mounts_all_slots_and_needs_none(tmp_path: Path) -> None:
    objects = manifests(render(spec=make_spec(), config=make_config()))
    names = {slot["metadata"]["name"] for slot in _slots(_archive(tmp_path, 12_000_000))}

    for name in ("dag-processor", "worker-default", "scheduler", "triggerer", "api-server"):
        (workload,) = [m for m in objects if m["metadata"]["name"] == name and "spec" in m][-1:]
        if workload["kind"] != "Deployment":
            continue
        volumes = workload["spec"]["template"]["spec"]["volumes"]
        (slots,) = [volume for volume in volumes if volume["name"] == "code-slots"]
        sources = [source["configMap"] for source in slots["projected"]["sources"]]
        assert {source["name"] for source in sources} == names
        assert all(source["optional"] for source in sources)


def test_more_code_than_there_are_slots_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match=r"has 12\.0 MB.*accepts 12 MB of code"):
        _slots(_archive(tmp_path, 12_000_001))


def test_an_archive_that_is_not_the_one_of_the_spec_is_refused(tmp_path: Path) -> None:
    code = make_code(tmp_path, {"a.py": ""})

    with pytest.raises(Permanent, match="not the one that was deployed"):
        _slots(replace(code, digest="0" * 64))


def test_an_archive_that_cannot_be_read_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(Temporary, match="cannot be read"):
        _slots(CodeSpec(digest="0" * 64, archive_path=str(tmp_path / "gone.zip")))


DAG = "from airflow.sdk import DAG\n"
WITH_PLUGINS = {
    "dags/d.py": DAG,
    "plugins/deep/p.py": "from include.x import y\n",
    "plugins/__pycache__/p.pyc": "no",
    "include/x.py": "y = 1\n",
}
AIRFLOW = ("dag-processor", "worker-default", "scheduler", "triggerer", "api-server")


def _rendered(folder: Path, files: dict[str, str]) -> list[Manifest]:
    spec = make_spec(code=make_code(folder, files))
    return manifests(render(spec=spec, config=make_config()))


def _pods(objects: list[Manifest]) -> dict[str, Manifest]:
    templates = {
        one["metadata"]["name"]: one["spec"]["template"]
        for one in objects
        if "template" in one.get("spec", {})
    }
    return {name: templates[name] for name in AIRFLOW}


def _plugins(objects: list[Manifest]) -> list[Manifest]:
    return [one for one in objects if one["metadata"]["name"].startswith("plugins-")]


def test_plugins_of_a_project_are_files_in_every_pod_of_airflow(tmp_path: Path) -> None:
    objects = _rendered(tmp_path, WITH_PLUGINS)

    [files] = _plugins(objects)
    for one in objects:
        if one["kind"] in ("ConfigMap", "Deployment", "StatefulSet", "Job"):
            schemas.validate(one)
    pods = _pods(objects)
    for pod in pods.values():
        [volume] = [one for one in pod["spec"]["volumes"] if one["name"] == "extension"]
        assert volume["configMap"]["name"] == files["metadata"]["name"]
        found = {
            item["path"]: b64decode(files["binaryData"][item["key"]]).decode()
            for item in volume["configMap"]["items"]
        }
        expected = {path: WITH_PLUGINS[path] for path in ("plugins/deep/p.py", "include/x.py")}
        assert found == {f"extension/{path}": text for path, text in expected.items()}
        [mount] = [
            one
            for one in pod["spec"]["containers"][0]["volumeMounts"]
            if one["name"] == "extension"
        ]
        assert (mount["subPath"], mount["readOnly"]) == ("extension", True)
    [environment] = [one for one in objects if one["metadata"]["name"] == "environment"]
    assert environment["data"]["AIRFLOW__CORE__PLUGINS_FOLDER"] == f"{mount['mountPath']}/plugins"
    own, also = environment["data"]["PYTHONPATH"].split(":")
    assert (own, also) == ("/opt/portal/plugins", mount["mountPath"])


def test_pods_are_replaced_by_other_plugins_and_not_by_other_dags(tmp_path: Path) -> None:
    before = _pods(_rendered(tmp_path, WITH_PLUGINS))
    edited = {**WITH_PLUGINS, "dags/d.py": f"{DAG}# edited\n"}
    changed = {**WITH_PLUGINS, "include/x.py": "y = 2\n"}

    assert _pods(_rendered(tmp_path, edited)) == before
    after = _pods(_rendered(tmp_path, changed))
    assert all(after[name] != before[name] for name in AIRFLOW)
    assert _plugins(_rendered(tmp_path, {"plugins/p.py": DAG, "d.py": DAG})) == []
    assert _plugins(_rendered(tmp_path, {"include/x.py": DAG, "dags/d.py": DAG})) == []


def test_more_plugins_than_a_config_map_holds_are_refused_with_a_sentence(tmp_path: Path) -> None:
    large = {**WITH_PLUGINS, "include/data.csv": "x" * 800_000}
    many = {**WITH_PLUGINS, **{f"plugins/p{number}.py": "" for number in range(300)}}

    with pytest.raises(Permanent, match=r"are 3 files of 0\.8 MB.*accepts 300 files"):
        _rendered(tmp_path, large)
    with pytest.raises(Permanent, match="are 302 files"):
        _rendered(tmp_path, many)
