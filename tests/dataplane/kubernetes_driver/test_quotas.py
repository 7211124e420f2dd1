"""Whether a quota has room for one more task, as the API server writes its status."""

from typing import Any

import pytest

from apps.dataplane.kubernetes.observe.quotas import full_quota


def quota(hard: dict[str, str], used: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "team"},
        "spec": {"hard": hard, **spec},
        "status": {"hard": hard, "used": used},
    }


@pytest.mark.parametrize(
    ("hard", "used", "said"),
    [
        ({"pods": "64"}, {"pods": "64"}, "pods 64 of 64"),
        ({"count/pods": "1"}, {"count/pods": "3"}, "count/pods 3 of 1"),
        ({"requests.memory": "8Gi"}, {"requests.memory": "7500Mi"}, "7500Mi of 8Gi"),
        ({"cpu": "2"}, {"cpu": "1900m"}, "cpu 1900m of 2"),
        ({"limits.cpu": "4"}, {"limits.cpu": "3500m"}, "limits.cpu 3500m of 4"),
        (
            {"pods": "2", "memory": "1Gi"},
            {"pods": "2", "memory": "1"},
            "pods 2 of 2, memory 1 of 1Gi.",
        ),
    ],
)
def test_what_has_no_room_is_named(hard: dict[str, str], used: dict[str, str], said: str) -> None:
    found = full_quota([quota({"pods": "9"}, {"pods": "0"}), quota(hard, used)])

    assert found.startswith("team has no room for the pod of one more task: ")
    assert said in found


@pytest.mark.parametrize(
    "one",
    [
        quota({"pods": "64"}, {"pods": "63"}),
        quota({"requests.memory": "8Gi"}, {"requests.memory": "7Gi"}),
        quota({"requests.cpu": "2"}, {"requests.cpu": "1750m"}),
        quota({"persistentvolumeclaims": "1"}, {"persistentvolumeclaims": "1"}),
        # Of some pods alone.
        quota({"pods": "0"}, {"pods": "0"}, scopes=["BestEffort"]),
        quota({"pods": "0"}, {"pods": "0"}, scopeSelector={"matchExpressions": []}),
        # Not counted yet.
        quota({"pods": "0"}, {}),
        {"metadata": {"name": "new"}},
    ],
)
def test_what_has_room_or_is_not_known_is_not_named(one: dict[str, Any]) -> None:
    assert full_quota([one]) == ""
