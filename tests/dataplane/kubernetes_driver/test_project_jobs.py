"""Jobs of projects as manifests, and what is made of their answers."""

import base64
import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.kubernetes.config import Registry
from apps.dataplane.kubernetes.projects import manifests, work
from apps.dataplane.kubernetes.projects.answers import NONE, Answer, read_answer
from apps.dataplane.kubernetes.projects.errors import failure_of
from apps.dataplane.kubernetes.projects.manifests import ProjectJob
from apps.dataplane.kubernetes.render import render
from apps.dataplane.production import ProductionSpec, WorkloadIdentity
from apps.dataplane.spec import VariableSpec
from tests.dataplane.kubernetes_render.matrix import CANARY, make_config, make_spec
from tests.dataplane.kubernetes_render.matrix import manifests as all_manifests
from tests.dataplane.kubernetes_render.pods import find

PROGRAMS = manifests.RUNTIME_FOLDER / "projects"
REGISTRY = Registry(repository="registry.test/data/airflow", user="me", password=CANARY)
SECRET = VariableSpec(key="TOKEN", value=f"{CANARY}-of-a-variable", is_secret=True)


def make_job(**changes: Any) -> ProjectJob:
    job = ProjectJob(
        name="project-build-1",
        spec=make_spec(variables=(SECRET,)),
        config=make_config(registry=REGISTRY),
        image="apache/airflow:3.3.2",
        program="build_image",
        task={"index": ""},
        share=work.BUILDING,
        seconds=60,
    )
    return replace(job, **changes)


@pytest.fixture
def write_answer(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(PROGRAMS), *sys.path])
    return runpy.run_path(str(PROGRAMS / "job.py"))["answer"]


def test_only_the_job_that_stores_an_image_has_a_secret_and_it_is_the_registrys() -> None:
    reading = make_job(program="read_dags", name="project-read-1")
    building = make_job(credential={"user": "me", "password": CANARY})

    for job, secrets in ((reading, []), (building, [building.name])):
        pod = manifests.job(job, is_suspended=False)["spec"]["template"]["spec"]
        owned = manifests.owned(job, uid="u-1")
        named = [one["secret"]["secretName"] for one in pod["volumes"] if "secret" in one]
        assert named == secrets
        assert [one["metadata"]["name"] for one in owned if one["kind"] == "Secret"] == secrets
        assert pod["automountServiceAccountToken"] is False
        assert "envFrom" not in pod["containers"][0]
        assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
        plain = [manifests.job(job, is_suspended=False), *owned]
        assert CANARY not in json.dumps([one for one in plain if one["kind"] != "Secret"])
        assert {one["metadata"]["ownerReferences"][0]["uid"] for one in owned} == {"u-1"}


@pytest.mark.parametrize("program", ["read_dags", "build_image", "lock_packages"])
def test_what_reads_and_builds_code_has_not_the_identity_of_tasks_in_a_cloud(program: str) -> None:
    """The author of a commit need not be one who may deploy it: see ADR 0070."""
    role = WorkloadIdentity(kind="irsa", name="arn:aws:iam::123456789012:role/etl")
    spec = make_spec(settings=ProductionSpec(workload_identity=role))
    objects = all_manifests(render(spec=spec, config=make_config()))

    template = manifests.job(make_job(spec=spec, program=program), is_suspended=False)["spec"]
    pod = template["template"]["spec"]

    account = find(objects, "ServiceAccount", pod["serviceAccountName"])
    assert "annotations" in find(objects, "ServiceAccount", "tasks")["metadata"]
    assert "annotations" not in account["metadata"]


def test_a_large_file_comes_in_parts_that_join_again() -> None:
    content = bytes(range(256)) * 10_000
    objects = manifests.owned(make_job(files={"code": content}), uid="u-1")

    parts = {
        key: base64.b64decode(value)
        for one in objects
        for key, value in one.get("binaryData", {}).items()
    }
    assert len(parts) == 3
    assert b"".join(parts[name] for name in sorted(parts)) == content
    assert all(len(json.dumps(one)) < 1_300_000 for one in objects)


def test_an_answer_survives_its_way_and_a_lie_is_none(write_answer: Any) -> None:
    said = {"digest": "sha256:1", "text": "ü" * 30_000, "failed": "", "detail": ""}
    lines = write_answer(said)

    answer = read_answer(f"noise\n{lines}more noise\n")

    assert answer.fields == said
    assert max(map(len, lines.splitlines())) < 16_000
    assert read_answer(f"{lines}{write_answer({'failed': 'late'})}").failed == "late"
    for lie in (
        "",
        "portal-answer end\n",
        f"portal-answer end {64 * '0'}\n",
        lines.replace("portal-answer end", "portal-answer ending"),
        f"portal-answer AAAA\n{lines}",
        write_answer(["no", "dict"]),
    ):
        assert read_answer(lie) == NONE
    bomb = Answer(fields={"installed": 7, "lock": [], "packages": "x", "found": None})
    with pytest.raises(Permanent):
        work._parsed(bomb, 1.0)
    assert work._versions(bomb.fields["installed"]) == {}
    assert work._packages(bomb.fields["packages"]) == ()


@pytest.mark.parametrize(
    ("failed", "detail", "kind", "says"),
    [
        ("registry-away", "r.test: refused", Temporary, "does not answer"),
        ("registry-lost", "", Temporary, "went away while"),
        ("registry-refused", "", Permanent, "refuses the credential"),
        ("registry-full", "", Permanent, "no room"),
        ("disk-full", "", Permanent, "8 GiB"),
        ("install", "error: No space left on device", Permanent, "disk is full"),
        ("install", "error: Failed to fetch x", Temporary, "does not answer from this cluster"),
        (
            "install",
            "first\nlast \x1b[31mwords",
            Permanent,
            "could not be installed. first last words",
        ),
        ("who-knows", "<b>\x00", Permanent, "failed. <b>"),
    ],
)
def test_each_failure_is_a_sentence(
    failed: str, detail: str, kind: type[DataPlaneError], says: str
) -> None:
    error = failure_of(Answer(failed=failed, detail=detail))

    assert type(error) is kind
    assert says in error.message


def test_a_runtime_is_read_where_it_is_or_from_a_copy() -> None:
    copies = replace(REGISTRY, runtime_repository="registry.test/mirror/airflow")

    assert work.base_of("apache/airflow:3.3.2", REGISTRY) == "apache/airflow:3.3.2"
    assert work.base_of("apache/airflow:3.3.2", copies) == "registry.test/mirror/airflow:3.3.2"
    own = f"registry.test/team/airflow@sha256:{'1' * 64}"
    assert work.base_of(own, copies) == own


@pytest.mark.parametrize(
    ("image", "repository", "reference"),
    [
        ("apache/airflow:3.3.2", "registry-1.docker.io/apache/airflow", "3.3.2"),
        ("docker.io/apache/airflow:3.3.2", "registry-1.docker.io/apache/airflow", "3.3.2"),
        ("redis", "registry-1.docker.io/library/redis", "latest"),
        ("r.test:5000/a/b:1", "r.test:5000/a/b", "1"),
        ("r.test:5000/a/b", "r.test:5000/a/b", "latest"),
        ("r.test/a@sha256:11", "r.test/a", "sha256:11"),
    ],
)
def test_names_of_images_are_read_as_nodes_read_them(
    image: str, repository: str, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(PROGRAMS), *sys.path])
    parse = runpy.run_path(str(PROGRAMS / "registry.py"))["parse_image"]

    assert parse(image) == (repository, reference)


def test_the_programs_are_all_shipped() -> None:
    [shipped] = [
        one["data"]
        for one in manifests.owned(make_job(), uid="u-1")
        if one["metadata"]["name"].endswith("-programs")
    ]

    folders = (Path(PROGRAMS), Path(PROGRAMS).with_name("checks"))
    assert set(shipped) == {path.name for folder in folders for path in folder.glob("*.py")}
