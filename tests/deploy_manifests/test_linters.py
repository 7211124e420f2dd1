"""kube-score and checkov on what is applied: `deploy/`, Airflows of every kind, and what the portal
runs beside them.

Every exception has its reason. One that excuses nothing any more is a failure, too.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy_manifests import applied, linters
from tests.deploy_manifests.test_manifests import DEPLOY, KUSTOMIZATION

PORTAL = [DEPLOY / name for name in KUSTOMIZATION["resources"]]
WHERE = ("portal", "airflows")

EXCUSED = {
    "CKV_K8S_11": "a limit of CPU would slow a portal that could be quick",
    "CKV_K8S_15": "tags are versions and never move; an Always pull makes the registry a part of "
    "every start",
    "CKV_K8S_35": "Airflow and Django read their settings from variables",
    "CKV_K8S_43": "the image is the operator's: a digest is written into the overlay "
    "or the runtime's image, where it is known",
    "CKV_K8S_21": "kustomization.yaml sets the namespace",
    "CKV_K8S_9": "processes that nothing connects to have nothing to be ready for",
    "CKV_K8S_22": "containers with code of users: DAGs write beside themselves and into the home",
    "CKV_K8S_38": "the api-server reads logs of task pods, the scheduler makes them, CronJobs put "
    "Airflow to sleep",
    "CKV_K8S_40": "999 is the user of the images of PostgreSQL and Redis",
}
ONLY_IN = {
    "CKV_K8S_11": "portal",
    "CKV_K8S_21": "portal",
    "CKV_K8S_22": "airflows",
    "CKV_K8S_38": "airflows",
    "CKV_K8S_40": "airflows",
}
# Containers that are excused from a probe that finds one that hangs.
WITHOUT_LIVENESS = {
    ".dag-processor": "the loop of its log cleanup cannot hang",
    "Pod.airflow-tidy-comet.task": "the scheduler ends a task whose heartbeat stops",
    "Pod.astro-portal-storage-test.": "activeDeadlineSeconds ends it",
}
SCORES_EXCUSED = {
    "portal": {
        "container-image-pull-policy": EXCUSED["CKV_K8S_15"],
        "container-resources": EXCUSED["CKV_K8S_11"],
        "pod-probes-identical": "the liveness probe waits much longer before it ends anything",
    },
    "airflows": {
        "container-image-pull-policy": EXCUSED["CKV_K8S_15"],
        "container-security-context-readonlyrootfilesystem": EXCUSED["CKV_K8S_22"],
        "container-security-context-user-group-id": "users of the images: Airflow's has the "
        "group 0",
        "deployment-has-host-podantiaffinity": "topologySpreadConstraints spread what there are "
        "several of",
        "deployment-replicas": "one API server per Airflow",
        "deployment-strategy": "two exporters of metrics would each have counted a part",
        "pod-probes-identical": "the liveness probe waits much longer before it ends anything",
        "statefulset-has-servicename": "one pod each, found by the address of its Service",
    },
}


@pytest.fixture(scope="module")
def applied_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    return {"portal": PORTAL, "airflows": applied.write_all(tmp_path_factory.mktemp("applied"))}


def lint(name: str, *arguments: str) -> str:
    program = linters.find(name)
    if program is None:
        pytest.skip(f"{name} is not here; `make linters` gets it")
    done = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.stdout, done.stderr
    return done.stdout


def checkov(files: list[Path]) -> Iterator[tuple[str, str, str]]:
    named = [argument for file in files for argument in ("-f", str(file))]
    said = json.loads(
        lint("checkov", "--framework", "kubernetes", "--compact", "--quiet", "-o", "json", *named)
    )
    results = said if isinstance(said, list) else [said]
    for result in results:
        for one in result["results"]["failed_checks"]:
            yield one["check_id"], one["resource"], one["check_name"]


def kube_score(files: list[Path]) -> Iterator[tuple[str, str]]:
    for thing in json.loads(lint("kube-score", "score", "--output-format=json", *map(str, files))):
        for check in thing["checks"] or ():
            if not check["skipped"] and check["grade"] < 7:
                yield check["check"]["id"], thing["object_name"]


@pytest.mark.slow
@pytest.mark.parametrize("where", WHERE)
def test_checkov_finds_nothing_without_a_reason(
    where: str, applied_files: dict[str, list[Path]]
) -> None:
    found = list(checkov(applied_files[where]))

    unexcused = [
        one
        for one in found
        if one[0] not in EXCUSED
        and not (one[0] == "CKV_K8S_8" and any(name in one[1] for name in WITHOUT_LIVENESS))
    ]
    wrong_place = [one for one in found if ONLY_IN.get(one[0], where) != where]
    assert unexcused == []
    assert wrong_place == []
    used = {one[0] for one in found}
    expected = {check for check in EXCUSED if ONLY_IN.get(check, where) == where}
    assert expected <= used, "an exception that excuses nothing"
    silent = [one[1] for one in found if one[0] == "CKV_K8S_8"]
    if where == "airflows":
        assert all(any(name in one for one in silent) for name in WITHOUT_LIVENESS)


@pytest.mark.slow
@pytest.mark.parametrize("where", WHERE)
def test_kube_score_finds_nothing_without_a_reason(
    where: str, applied_files: dict[str, list[Path]]
) -> None:
    files = applied_files[where]
    # Of two objects with one name it tells the last one alone.
    runs = [files] if where == "portal" else [[file] for file in files]

    found = {one for run in runs for one in kube_score(run)}

    assert {one for one in found if one[0] not in SCORES_EXCUSED[where]} == set()
    assert SCORES_EXCUSED[where].keys() == {one[0] for one in found}, "one that excuses nothing"
