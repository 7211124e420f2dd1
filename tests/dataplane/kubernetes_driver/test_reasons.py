import pytest

from apps.dataplane.kubernetes.observe.reasons import owner_of, problem_of
from tests.dataplane.kubernetes_driver.objects import NOW, ago, pod, waiting

UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available: 3 Insufficient memory.",
    "lastTransitionTime": ago(60),
}
OUT_OF_MEMORY = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"containerStatuses": [waiting("ImagePullBackOff", "no such image")]}, "cannot be pulled"),
        (
            {
                "containerStatuses": [
                    waiting("ErrImagePull", "not found")
                    | {"image": "mirror.test/hub/library/redis:7.2"}
                ]
            },
            "The image mirror.test/hub/library/redis:7.2 cannot be pulled from mirror.test: not "
            "found The registry does not have it.",
        ),
        ({"containerStatuses": [waiting("ErrImagePull", "no")]}, "registry.test/airflow:1"),
        (
            {"containerStatuses": [waiting("ErrImagePull", "code = NotFound desc = ab")]},
            "Push it there again, or go back to a revision with another image",
        ),
        (
            {"containerStatuses": [waiting("ErrImagePull", "x" * 300 + ": not found")]},
            "does not have it",
        ),
        (
            {"containerStatuses": [waiting("ErrImagePull", "pull access denied: not found")]},
            "Check the pull secret of the image and of the cluster",
        ),
        (
            {"containerStatuses": [waiting("ErrImagePull", "dial tcp: lookup r: no such host")]},
            "The nodes do not reach the registry",
        ),
        (
            {"initContainerStatuses": [waiting("CreateContainerConfigError", 'secret "x"')]},
            'secret "x"',
        ),
        (
            {
                "containerStatuses": [
                    waiting("CrashLoopBackOff", restartCount=4, lastState=OUT_OF_MEMORY)
                ]
            },
            "exceeded its memory limit",
        ),
        (
            {
                "containerStatuses": [
                    waiting(
                        "CrashLoopBackOff",
                        restartCount=4,
                        lastState={"terminated": {"exitCode": 3}},
                    )
                ]
            },
            "exit code 3",
        ),
        ({"conditions": [UNSCHEDULABLE]}, "Insufficient memory"),
        ({"phase": "Failed", "message": "The node was low on resource"}, "low on resource"),
    ],
)
def test_a_pod_that_does_not_run_says_why(status: dict, words: str) -> None:
    assert words in problem_of(pod(**status), now=NOW)


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"containerStatuses": [waiting("ContainerCreating")]},
        {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    ],
)
def test_a_pod_that_starts_or_runs_has_no_trouble(status: dict) -> None:
    assert problem_of(pod(**status), now=NOW) == ""


def test_a_pod_that_goes_has_no_trouble() -> None:
    going = pod(containerStatuses=[waiting("CrashLoopBackOff")])
    going["metadata"]["deletionTimestamp"] = ago(1)

    assert problem_of(going, now=NOW) == ""


def test_words_of_the_cluster_are_cut_and_printable() -> None:
    loud = pod(containerStatuses=[waiting("ErrImagePull", "\x1b" + "a" * 5000)])

    last_error = problem_of(loud, now=NOW)

    assert len(last_error) < 600
    assert last_error.isprintable()


def test_a_pod_names_its_workload() -> None:
    assert owner_of(pod(owner="worker-a-b-5d9f")) == "Deployment/worker-a-b"
    assert owner_of(pod()) == ""
