"""kube-score and checkov on what is applied: `deploy/` and the golden files of Airflows.

Every exception has its reason. One that excuses nothing any more is a failure, too.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy_manifests import linters
from tests.deploy_manifests.test_manifests import DEPLOY, KUSTOMIZATION

PROJECT = Path(__file__).resolve().parents[2]
GOLDENS = PROJECT / "tests" / "dataplane" / "kubernetes_render" / "goldens"
PORTAL = [DEPLOY / name for name in KUSTOMIZATION["resources"]]
AIRFLOWS = sorted(GOLDENS.glob("*.yaml"))

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
    "CKV_K8S_38": "the api-server reads logs of task pods, the scheduler makes them",
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
    "worker": "Celery ends by itself when its broker is silent",
    "dag-processor": "the loop of its log cleanup cannot hang",
}
SCORES_EXCUSED = {
    "container-image-pull-policy": EXCUSED["CKV_K8S_15"],
    "container-resources": EXCUSED["CKV_K8S_11"],
    "container-security-context-readonlyrootfilesystem": EXCUSED["CKV_K8S_22"],
    "container-security-context-user-group-id": "users of the images: Airflow's has the group 0",
    "deployment-replicas": "one API server per Airflow",
    "pod-networkpolicy": "Jobs of the database server reach it, wherever it is",
    "pod-probes-identical": "the liveness probe waits much longer before it ends anything",
    "statefulset-has-servicename": "one pod each, found by the address of its Service",
}


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


@pytest.mark.slow
@pytest.mark.parametrize(("where", "files"), [("portal", PORTAL), ("airflows", AIRFLOWS)])
def test_checkov_finds_nothing_without_a_reason(where: str, files: list[Path]) -> None:
    found = list(checkov(files))

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


@pytest.mark.slow
@pytest.mark.parametrize("files", [PORTAL, AIRFLOWS], ids=["portal", "airflows"])
def test_kube_score_finds_nothing_without_a_reason(files: list[Path]) -> None:
    said = json.loads(lint("kube-score", "score", "--output-format=json", *map(str, files)))

    found = [
        (check["check"]["id"], thing["object_name"])
        for thing in said
        for check in thing["checks"] or ()
        if not check["skipped"]
        and check["grade"] < 7
        and check["check"]["id"] not in SCORES_EXCUSED
    ]
    assert found == []
